//! The threads themselves.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{Arc, Mutex, PoisonError, mpsc},
};

/// Work to be done.
pub(super) type Job = Box<dyn FnOnce() + Send>;

/// How much the threads yield to others when processors are scarce.
const NICE: i32 = 10;
/// Their stack: what is done here may recurse as deep as bounded documents do.
const STACK: usize = 4 * 1024 * 1024;

/// Threads that take jobs from one queue. They end when this is dropped and the queue is done.
#[derive(Debug)]
pub(super) struct Threads(Mutex<mpsc::Sender<Job>>);

impl Threads {
    pub(super) fn start(count: usize) -> Self {
        let (sender, receiver) = mpsc::channel::<Job>();
        let receiver = Arc::new(Mutex::new(receiver));
        for number in 0..count.max(1) {
            let receiver = Arc::clone(&receiver);
            let thread = std::thread::Builder::new().name(format!("tenants-{number}")).stack_size(STACK);
            if let Err(error) = thread.spawn(move || work(&receiver)) {
                tracing::error!(%error, "a thread for the work of tenants cannot be started");
            }
        }
        Self(Mutex::new(sender))
    }

    /// Whether there is a thread to take it.
    pub(super) fn push(&self, job: Job) -> bool {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).send(job).is_ok()
    }
}

fn work(jobs: &Mutex<mpsc::Receiver<Job>>) {
    // Where it is not possible, things go on as they are.
    #[cfg(target_os = "linux")]
    let _ = rustix::process::setpriority_process(None, NICE);
    loop {
        // Held while waiting: the others wait for the lock instead.
        let job = jobs.lock().unwrap_or_else(PoisonError::into_inner).recv();
        let Ok(job) = job else { return };
        if catch_unwind(AssertUnwindSafe(job)).is_err() {
            tracing::error!("work of a tenant panicked");
        }
    }
}
