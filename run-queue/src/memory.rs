//! The queue within one process. What is in it is lost with the process; the database admits it
//! again.
//!
//! A bounded channel of ours feeds the worker rather than apalis' own unbounded one, so that a push
//! to a full queue is refused.

use std::{future::Future, pin::Pin, sync::Arc};

use async_trait::async_trait;
use futures_util::{StreamExt, stream};
use tokio::sync::{Mutex, Semaphore, mpsc};
use tokio_util::sync::CancellationToken;

use crate::{
    queue::{Handler, Message, Queue, QueueError},
    work::{Delivery, work},
};

/// How many messages may wait. The dispatcher admits far fewer.
const CAPACITY: usize = 10_000;

/// A queue in memory.
#[derive(Debug)]
pub struct MemoryQueue {
    sender: mpsc::Sender<Message>,
    receiver: Arc<Mutex<mpsc::Receiver<Message>>>,
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
        Self { sender, receiver: Arc::new(Mutex::new(receiver)) }
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
        let slots = Arc::new(Semaphore::new(slots.max(1)));
        let stopped = CancellationToken::new();
        let deliveries = || {
            let (receiver, slots) = (Arc::clone(&self.receiver), Arc::clone(&slots));
            // A message when there is one and a slot is free.
            stream::unfold((receiver, slots), |(receiver, slots)| async move {
                let slot = Arc::clone(&slots).acquire_owned().await.ok()?;
                let message = receiver.lock().await.recv().await?;
                Some((Delivery { message, slot }, (receiver, slots)))
            })
            .boxed()
        };
        tokio::join!(work(deliveries, &handler, &stopped), async {
            stop.await;
            stopped.cancel();
        });
    }
}
