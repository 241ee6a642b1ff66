//! The executors that listen here for what becomes of their tasks.

use std::{
    collections::{HashMap, hash_map::Entry},
    sync::{Arc, Mutex, PoisonError},
};

use restroy_sdk::ids::ExecutorId;

/// How many connections of one executor may listen, in one process: a new one, and those that it lost.
pub(crate) const CONNECTIONS_PER_EXECUTOR: usize = 4;

/// Who listens, in this process. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct Listeners(Arc<Mutex<HashMap<ExecutorId, usize>>>);

/// A connection that listens, as long as it is held.
#[derive(Debug)]
pub(crate) struct ListenPermit {
    executor: ExecutorId,
    listeners: Listeners,
}

impl Listeners {
    pub(crate) fn permit(&self, executor: ExecutorId) -> Option<ListenPermit> {
        let mut count = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let count = count.entry(executor).or_default();
        if *count >= CONNECTIONS_PER_EXECUTOR {
            return None;
        }
        *count += 1;
        Some(ListenPermit { executor, listeners: self.clone() })
    }
}

impl Drop for ListenPermit {
    fn drop(&mut self) {
        let mut count = self.listeners.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Entry::Occupied(mut count) = count.entry(self.executor) {
            *count.get_mut() -= 1;
            if *count.get() == 0 {
                count.remove();
            }
        }
    }
}
