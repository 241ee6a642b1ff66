//! The consumer's worker: apalis takes deliveries from a stream, calls the handler, drains on stop.
//!
//! A delivery comes with the slot that was free for it, so nothing is taken before there is a slot.
//! The handler runs as a task of its own: whatever becomes of the worker, work that was begun goes
//! on.

use apalis_core::{
    backend::memory::{MemorySink, MemoryStorage, MemoryStorageError},
    error::WorkerError,
    task::Task,
    worker::builder::WorkerBuilder,
};
use futures_util::{FutureExt, SinkExt, StreamExt, future::BoxFuture, stream::BoxStream};
use std::sync::Arc;
use tokio::sync::OwnedSemaphorePermit;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::queue::{Handler, Message};

/// A message and the slot that was free for it.
pub(crate) struct Delivery {
    /// The message.
    pub(crate) message: Message,
    /// Free again when it is dropped.
    pub(crate) slot: OwnedSemaphorePermit,
}

/// Has every delivery handled until `stopped` is cancelled, then waits for the handlers at work.
/// `deliveries` gives the stream anew when a worker broke down.
pub(crate) async fn work(
    deliveries: impl Fn() -> BoxStream<'static, Delivery> + Send,
    handler: &Handler,
    stopped: &CancellationToken,
) {
    let at_work = TaskTracker::new();
    // A worker ends on the first error of its backend; ours has none, but a queue that goes
    // silent would be the worst of faults, so another worker follows.
    while !stopped.is_cancelled() {
        let ended = worker(storage(deliveries()), Arc::clone(handler), at_work.clone(), stopped.clone()).await;
        if let Err(error) = ended
            && !stopped.is_cancelled()
        {
            tracing::error!(%error, "the queue's worker ended; another one takes over");
            tokio::task::yield_now().await;
        }
    }
    at_work.close();
    at_work.wait().await;
}

/// apalis' storage over a stream of ours. Pushes do not come this way, so its sink stays unused.
fn storage(deliveries: BoxStream<'static, Delivery>) -> MemoryStorage<Delivery> {
    let unused = futures_util::sink::drain().sink_map_err(|never| match never {});
    let unused: Box<dyn futures_util::Sink<Task<Delivery>, Error = MemoryStorageError> + Send + Sync + Unpin> =
        Box::new(unused);
    MemoryStorage::new_with(
        MemorySink::new(Arc::new(futures_util::lock::Mutex::new(unused))),
        deliveries.map(Task::new).boxed(),
    )
}

/// One worker, until it is told to stop or breaks down.
fn worker(
    storage: MemoryStorage<Delivery>,
    handler: Handler,
    at_work: TaskTracker,
    stopped: CancellationToken,
) -> BoxFuture<'static, Result<(), WorkerError>> {
    let worker = WorkerBuilder::new("restroy").backend(storage).build(move |delivery: Delivery| {
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
