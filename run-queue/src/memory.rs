//! The queue within one process: apalis with its in-memory storage. What is in it is lost with the
//! process; the database admits it again.
//!
//! apalis brings the worker: it takes a message, calls the handler, drains on stop. Fed through a
//! bounded channel of ours rather than through its own unbounded one, so that a push to a full
//! queue is refused, and through a gate of permits, so that no message is taken before there is a
//! slot for it. The handler runs as a task of its own: whatever becomes of the worker, work that
//! was begun goes on.

use std::{future::Future, pin::Pin, sync::Arc};

use apalis_core::{
    backend::memory::{MemorySink, MemoryStorage, MemoryStorageError},
    error::WorkerError,
    task::Task,
    worker::builder::WorkerBuilder,
};
use async_trait::async_trait;
use futures_util::{FutureExt, SinkExt, StreamExt, future::BoxFuture, stream};
use tokio::sync::{Mutex, OwnedSemaphorePermit, Semaphore, mpsc};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::queue::{Handler, Message, Queue, QueueError};

/// How many messages may wait. The dispatcher admits far fewer.
const CAPACITY: usize = 10_000;

/// A queue in memory.
#[derive(Debug)]
pub struct MemoryQueue {
    sender: mpsc::Sender<Message>,
    receiver: Arc<Mutex<mpsc::Receiver<Message>>>,
}

/// A message and the slot that was free for it.
struct Delivery {
    message: Message,
    slot: OwnedSemaphorePermit,
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

    /// apalis' storage over this queue: yields a message when there is one and a slot is free.
    fn storage(&self, slots: &Arc<Semaphore>) -> MemoryStorage<Delivery> {
        let receiver = Arc::clone(&self.receiver);
        let slots = Arc::clone(slots);
        let deliveries = stream::unfold((receiver, slots), |(receiver, slots)| async move {
            let slot = Arc::clone(&slots).acquire_owned().await.ok()?;
            let message = receiver.lock().await.recv().await?;
            Some((Task::new(Delivery { message, slot }), (receiver, slots)))
        });
        // Pushes come through our own channel, so the storage's own sink stays unused.
        let unused = futures_util::sink::drain().sink_map_err(|never| match never {});
        let unused: Box<dyn futures_util::Sink<Task<Delivery>, Error = MemoryStorageError> + Send + Sync + Unpin> =
            Box::new(unused);
        MemoryStorage::new_with(MemorySink::new(Arc::new(futures_util::lock::Mutex::new(unused))), deliveries.boxed())
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
        let at_work = TaskTracker::new();
        let stopped = CancellationToken::new();
        let stopping = tokio::spawn({
            let stopped = stopped.clone();
            async move {
                stop.await;
                stopped.cancel();
            }
        });
        // A worker ends on the first error of its backend; ours has none, but a queue that goes
        // silent would be the worst of faults, so another worker follows.
        while !stopped.is_cancelled() {
            let ended = worker(self.storage(&slots), Arc::clone(&handler), at_work.clone(), stopped.clone()).await;
            if let Err(error) = ended
                && !stopped.is_cancelled()
            {
                tracing::error!(%error, "the queue's worker ended; another one takes over");
                tokio::task::yield_now().await;
            }
        }
        stopping.abort();
        at_work.close();
        at_work.wait().await;
    }
}

/// One worker, until it is told to stop or breaks down.
fn worker(
    storage: MemoryStorage<Delivery>,
    handler: Handler,
    at_work: TaskTracker,
    stopped: CancellationToken,
) -> BoxFuture<'static, Result<(), WorkerError>> {
    let worker = WorkerBuilder::new("memory").backend(storage).build(move |delivery: Delivery| {
        let work = handler(delivery.message);
        let task = at_work.spawn(async move {
            work.await;
            drop(delivery.slot);
        });
        async move {
            if let Err(error) = task.await {
                tracing::error!(%error, "a task's handler broke down");
            }
        }
    });
    worker
        .run_until(async move {
            stopped.cancelled().await;
            Ok::<_, WorkerError>(())
        })
        .boxed()
}
