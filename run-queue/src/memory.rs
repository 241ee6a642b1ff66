//! The queue within one process. What is in it is lost with the process; the database admits it
//! again.
//!
//! A bounded channel of ours feeds the worker rather than apalis' own unbounded one, so that a push
//! to a full queue is refused.

use std::{future::Future, pin::Pin, sync::Arc};

use async_trait::async_trait;
use tokio::sync::{Mutex, Semaphore, mpsc};
use tokio_util::sync::CancellationToken;

use crate::{
    queue::{Handler, Message, Queue, QueueError},
    work::{Delivery, TaskSource},
};

/// How many messages may wait. The dispatcher admits far fewer.
const CAPACITY: usize = 10_000;

/// A queue in memory.
#[derive(Debug)]
pub struct MemoryQueue {
    sender: mpsc::Sender<Message>,
    receiver: Mutex<mpsc::Receiver<Message>>,
}

impl Default for MemoryQueue {
    fn default() -> Self {
        Self::new()
    }
}

impl MemoryQueue {
    /// An empty queue.
    pub fn new() -> Self {
        Self::with_capacity(CAPACITY)
    }

    /// An empty queue that takes so many messages at once, at least one.
    pub fn with_capacity(capacity: usize) -> Self {
        let (sender, receiver) = mpsc::channel(capacity.max(1));
        Self { sender, receiver: Mutex::new(receiver) }
    }
}

#[async_trait]
impl Queue for MemoryQueue {
    async fn push(&self, message: Message) -> Result<(), QueueError> {
        self.sender.try_send(message).map_err(|refused| {
            QueueError(match refused {
                mpsc::error::TrySendError::Full(_) => "it is full".to_owned(),
                mpsc::error::TrySendError::Closed(_) => "it is closed".to_owned(),
            })
        })
    }

    async fn consume(&self, slots: usize, handler: Handler, stop: Pin<Box<dyn Future<Output = ()> + Send>>) {
        let slots = slots.max(1);
        let (sender, taken) = TaskSource::channel(slots);
        let slots = Arc::new(Semaphore::new(slots));
        let stopped = CancellationToken::new();
        let taking = stopped.run_until_cancelled(async {
            while let Ok(slot) = Arc::clone(&slots).acquire_owned().await
                && let Some(message) = self.receiver.lock().await.recv().await
            {
                // There is room for as many as there are slots.
                let _ = sender.try_send(Delivery { message, place: (), slot });
            }
        });
        let stopping = async {
            stop.await;
            stopped.cancel();
        };
        let handing = async {
            tokio::join!(taking, stopping);
            for delivery in taken.drain() {
                // Where it does not fit any more the database admits it again.
                let _ = self.sender.try_send(delivery.message);
            }
        };
        tokio::join!(taken.run_workers(&handler, &stopped), handing);
    }
}
