//! The queue: task ids on their way to executors. A hint that may be lost, doubled or late.

use std::{future::Future, pin::Pin, sync::Arc};

use async_trait::async_trait;
use restroy_sdk::ids::TaskId;
use serde::{Deserialize, Serialize};

/// A task to be claimed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Message {
    /// The task's id.
    pub task_id: TaskId,
}

/// Why a message could not be handed over. The task stays recorded and is admitted again.
#[derive(Debug, thiserror::Error)]
#[error("the queue does not take the message: {0}")]
pub struct QueueError(pub String);

/// Why the queue takes and gives no messages.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum QueueUnavailable {
    /// It does not answer; it may come back by itself.
    #[error("Redis does not answer")]
    Away,
    /// It has no memory left (`maxmemory`).
    #[error("Redis is out of memory and refuses writes")]
    OutOfMemory,
    /// It takes no writes: it is a replica, or cannot write to its disk.
    #[error("Redis takes no writes")]
    ReadOnly,
    /// Something else than a queue is under the queue's key.
    #[error("the queue's key in Redis holds a value of another type: find out what wrote it, and delete it")]
    WrongType,
}

/// What is done with a message: claim the task and execute it. Returns when the slot is free again.
pub type Handler = Arc<dyn Fn(Message) -> Pin<Box<dyn Future<Output = ()> + Send>> + Send + Sync>;

/// The queue, at either end.
#[async_trait]
pub trait Queue: Send + Sync {
    /// Hands a message over to whichever executor takes it first.
    async fn push(&self, message: Message) -> Result<(), QueueError>;

    /// Whether it takes messages, tried out at most every few seconds.
    async fn check(&self) -> Result<(), QueueUnavailable> {
        Ok(())
    }

    /// Takes messages, at most `slots` at once, until `stop` resolves; then waits for the handlers that are running.
    async fn consume(&self, slots: usize, handler: Handler, stop: Pin<Box<dyn Future<Output = ()> + Send>>);
}
