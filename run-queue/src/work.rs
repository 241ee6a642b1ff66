//! The consumer's worker: apalis takes what was taken from the queue, calls the handler, drains on
//! stop.
//!
//! A delivery comes with the slot that was free for it, so nothing is taken before there is a slot. The handler
//! runs as a task of its own: whatever becomes of the worker, work that was begun continues.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use apalis_core::{
    backend::memory::{MemorySink, MemoryStorage, MemoryStorageError},
    error::WorkerError,
    task::Task,
    worker::builder::WorkerBuilder,
};
use futures_util::{FutureExt, SinkExt, StreamExt, future::BoxFuture, stream};
use tokio::sync::{OwnedSemaphorePermit, mpsc};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::queue::{Handler, Message};

/// A message that is out of the queue, and the slot that was free for it.
#[derive(Debug)]
pub(crate) struct Delivery<P> {
    /// The message.
    pub(crate) message: Message,
    /// Where it stood in the queue, to put it back.
    pub(crate) place: P,
    /// Free again when it is dropped.
    pub(crate) slot: OwnedSemaphorePermit,
}

/// What is out of the queue and not begun: on its way from whoever takes to the worker.
#[derive(Debug)]
pub(crate) struct TaskSource<P>(Arc<Mutex<mpsc::Receiver<Delivery<P>>>>);

impl<P: Send + Sync + 'static> TaskSource<P> {
    /// Room for a delivery per slot: sending never waits.
    pub(crate) fn channel(slots: usize) -> (mpsc::Sender<Delivery<P>>, Self) {
        let (sender, receiver) = mpsc::channel(slots);
        (sender, Self(Arc::new(Mutex::new(receiver))))
    }

    /// All that has not been begun, to be put back. May be called while a worker is at its end.
    pub(crate) fn drain(&self) -> Vec<Delivery<P>> {
        let mut receiver = lock(&self.0);
        std::iter::from_fn(|| receiver.try_recv().ok()).collect()
    }

    /// Has every delivery handled until `stopped` is cancelled, or nothing can come any more, then waits for the
    /// running handlers.
    pub(crate) async fn run_workers(&self, handler: &Handler, stopped: &CancellationToken) {
        let at_work = TaskTracker::new();
        // A worker ends on the first error of its backend; ours has none, but a queue that goes silent would be the
        // worst of errors, so another worker follows.
        while !stopped.is_cancelled() {
            let ended = run_worker(self.storage(), Arc::clone(handler), at_work.clone(), stopped.clone()).await;
            match ended {
                _ if stopped.is_cancelled() => {}
                Err(error) => {
                    tracing::error!(%error, "the queue's worker ended; another one takes over");
                    tokio::task::yield_now().await;
                }
                Ok(()) => {
                    // Whoever takes from the queue outlives this, unless it panicked.
                    tracing::error!("nothing is taken from the queue any more");
                    break;
                }
            }
        }
        at_work.close();
        at_work.wait().await;
    }

    /// apalis' storage over this. Pushes do not come that way, so its sink stays unused.
    fn storage(&self) -> MemoryStorage<Delivery<P>> {
        // Locked for the length of a poll only: a worker that drains polls no more, and must not
        // keep the others from what is left.
        let receiver = Arc::clone(&self.0);
        let deliveries = stream::poll_fn(move |context| lock(&receiver).poll_recv(context)).map(Task::new);
        let unused = futures_util::sink::drain().sink_map_err(|never| match never {});
        let unused: Box<dyn futures_util::Sink<Task<Delivery<P>>, Error = MemoryStorageError> + Send + Sync + Unpin> =
            Box::new(unused);
        MemoryStorage::new_with(MemorySink::new(Arc::new(futures_util::lock::Mutex::new(unused))), deliveries.boxed())
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // Nothing panics while it is held; if it did, the channel would still be whole.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// One worker, until it is asked to stop or breaks down.
fn run_worker<P: Send + Sync + 'static>(
    storage: MemoryStorage<Delivery<P>>,
    handler: Handler,
    at_work: TaskTracker,
    stopped: CancellationToken,
) -> BoxFuture<'static, Result<(), WorkerError>> {
    let worker = WorkerBuilder::new("restroy").backend(storage).build(move |delivery: Delivery<P>| {
        let work = handler(delivery.message);
        let task = at_work.spawn(async move {
            work.await;
            drop(delivery.slot);
        });
        async move {
            if let Err(error) = task.await {
                tracing::error!(%error, "a task's handler failed");
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
