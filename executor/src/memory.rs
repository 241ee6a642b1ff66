//! How much of the executor's memory one task may hold.
//!
//! Counted is what a tenant makes large, before it is held: the sources, parameters and what is searched for secrets,
//! what steps return for as long as others may need it, bodies of HTTP requests under way, and what waits to be reported.
//! Not counted are the sandboxes' own memories, which have a limit of their own.

use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

/// What one task may hold, in bytes.
pub(crate) const TASK_BYTES: u64 = 128 * 1024 * 1024;

/// The memory of one task.
#[derive(Debug)]
pub(crate) struct TaskMemory {
    left: AtomicU64,
}

/// There is not enough left.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct MemoryExceeded;

impl fmt::Display for MemoryExceeded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "the run holds too much in the executor's memory (limit: {} MiB for sources, secrets, outputs and HTTP bodies \
             together): let its steps return and request less at once",
            TASK_BYTES / (1024 * 1024)
        )
    }
}

/// The code of a step or run that would hold too much.
pub(crate) const TASK_MEMORY_LIMIT: &str = "task_memory_limit";

impl TaskMemory {
    pub(crate) fn new(bytes: u64) -> Arc<Self> {
        Arc::new(Self { left: AtomicU64::new(bytes) })
    }

    /// Counts `bytes` as held, until they are released.
    pub(crate) fn hold(&self, bytes: usize) -> Result<(), MemoryExceeded> {
        let take = |left: u64| left.checked_sub(bytes as u64);
        self.left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, take).map(drop).map_err(|_| MemoryExceeded)
    }

    /// Counts `bytes` as held no more.
    pub(crate) fn release(&self, bytes: usize) {
        self.left.fetch_add(bytes as u64, Ordering::Relaxed);
    }

    /// Holds `bytes` for as long as the guard lives.
    pub(crate) fn guard(self: &Arc<Self>, bytes: usize) -> Result<MemoryGuard, MemoryExceeded> {
        self.hold(bytes)?;
        Ok(MemoryGuard { memory: Arc::clone(self), bytes })
    }
}

/// See [`TaskMemory::guard`].
#[derive(Debug)]
pub(crate) struct MemoryGuard {
    memory: Arc<TaskMemory>,
    bytes: usize,
}

impl Drop for MemoryGuard {
    fn drop(&mut self) {
        self.memory.release(self.bytes);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_held_is_counted_and_what_is_released_is_free_again() {
        let memory = TaskMemory::new(10);
        let guard = memory.guard(6).unwrap();
        assert_eq!(memory.hold(5), Err(MemoryExceeded));
        assert_eq!(memory.hold(4), Ok(()));
        assert_eq!(memory.hold(1), Err(MemoryExceeded));
        drop(guard);
        assert_eq!(memory.hold(6), Ok(()));
        memory.release(10);
        assert_eq!(memory.hold(10), Ok(()));
    }
}
