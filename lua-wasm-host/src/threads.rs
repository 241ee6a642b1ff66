//! Threads for what tenants wrote.
//!
//! Sandboxes, their calls and whatever else a tenant can make expensive run here, so that they cannot
//! hold up the threads that serve requests, renew leases and feed streams.

use std::future::Future;
use std::sync::Arc;

use tokio::runtime::{Builder, Handle, Runtime};
use tokio::task::JoinSet;

/// How much these threads yield to others when processors are scarce and sandboxes run on them.
const NICE: i32 = 10;

/// The most threads for work that blocks (files, checks), all together.
const BLOCKING: usize = 64;

/// What runs on the threads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Running {
    /// Sandboxes themselves: the threads have a lower priority than those that serve.
    Sandboxes,
    /// What goes with sandboxes that run elsewhere, in worker processes: the threads have the usual priority, or every
    /// team's steps would wait behind the busy sandboxes of one.
    Calls,
}

/// Threads of their own. Cheap to clone; they end with the last clone.
#[derive(Clone, Debug)]
pub struct SandboxThreads(Arc<Threads>);

#[derive(Debug)]
struct Threads {
    handle: Handle,
    /// Taken when it ends.
    runtime: Option<Runtime>,
}

impl SandboxThreads {
    /// So many threads, which are named after `name`. None: as many as there are processors.
    pub fn new(name: &str, count: Option<usize>, running: Running) -> std::io::Result<Self> {
        let count = match count {
            Some(count) => count.max(1),
            None => std::thread::available_parallelism().map_or(2, usize::from),
        };
        let runtime = Builder::new_multi_thread()
            .worker_threads(count)
            .max_blocking_threads(BLOCKING)
            .thread_name(name)
            .on_thread_start(move || {
                if running == Running::Sandboxes {
                    lower_priority();
                }
            })
            .enable_all()
            .build()?;
        Ok(Self(Arc::new(Threads { handle: runtime.handle().clone(), runtime: Some(runtime) })))
    }

    /// Runs `future` on these threads. Dropped, it ends there at its next yield. A panic in it continues in the caller.
    pub async fn run<T: Send + 'static>(&self, future: impl Future<Output = T> + Send + 'static) -> T {
        // A set of one: it aborts its tasks when it is dropped.
        let mut tasks = JoinSet::new();
        tasks.spawn_on(future, &self.0.handle);
        match tasks.join_next().await {
            Some(Ok(value)) => value,
            Some(Err(error)) if error.is_panic() => std::panic::resume_unwind(error.into_panic()),
            // The threads are gone, so the process ends: nobody waits for an answer.
            Some(Err(_)) | None => std::future::pending().await,
        }
    }
}

impl Drop for Threads {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            // May happen on an async thread, which must not wait.
            runtime.shutdown_background();
        }
    }
}

/// Of the calling thread; where it is not possible, things continue as they are.
fn lower_priority() {
    #[cfg(target_os = "linux")]
    let _ = rustix::process::setpriority_process(None, NICE);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn work_runs_on_threads_of_that_name() {
        let threads = SandboxThreads::new("tenants", Some(1), Running::Sandboxes).unwrap();
        let name = threads.run(async { std::thread::current().name().map(str::to_owned) }).await;
        assert_eq!(name.as_deref(), Some("tenants"));
        assert_ne!(std::thread::current().name(), Some("tenants"));
    }

    #[tokio::test]
    async fn work_that_is_dropped_ends() {
        struct Told(Option<tokio::sync::oneshot::Sender<()>>);
        impl Drop for Told {
            fn drop(&mut self) {
                let _ = self.0.take().map(|told| told.send(()));
            }
        }
        let threads = SandboxThreads::new("tenants", Some(1), Running::Sandboxes).unwrap();
        let (told, ended) = tokio::sync::oneshot::channel();
        let told = Told(Some(told));
        let work = threads.run(async move {
            let _told = told;
            std::future::pending::<()>().await;
        });
        tokio::select! {
            biased;
            () = work => {}
            () = tokio::task::yield_now() => {}
        }
        ended.await.unwrap();
    }
}
