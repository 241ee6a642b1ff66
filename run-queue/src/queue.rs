//! The queue: task ids on their way to executors. A hint that may be lost, doubled or late.

use std::{future::Future, pin::Pin, sync::Arc};

use async_trait::async_trait;
use restroy_sdk::ids::TaskId;
use serde::{Deserialize, Serialize};

/// A task to be claimed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Message {
    /// Which.
    pub task_id: TaskId,
}

/// Why a message could not be handed over. The task stays recorded and is admitted again.
#[derive(Debug, thiserror::Error)]
#[error("the queue does not take the message: {0}")]
pub struct QueueError(pub String);

/// What is done with a message: claim the task and execute it. Returns when the slot is free again.
pub type Handler = Arc<dyn Fn(Message) -> Pin<Box<dyn Future<Output = ()> + Send>> + Send + Sync>;

/// The queue, at either end.
#[async_trait]
pub trait Queue: Send + Sync {
    /// Hands a message over to whichever executor takes it first.
    async fn push(&self, message: Message) -> Result<(), QueueError>;

    /// Takes messages, at most `slots` at once, until `stop` resolves; then waits for the handlers
    /// that are at work.
    async fn consume(&self, slots: usize, handler: Handler, stop: Pin<Box<dyn Future<Output = ()> + Send>>);
}
