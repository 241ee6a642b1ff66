//! Which runs are watched here, and word of their new events.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use restroy_run_queue::wake::Wake;
use restroy_sdk::ids::{RunId, TeamId};
use tokio::sync::{
    OwnedSemaphorePermit, Semaphore,
    broadcast::{Receiver, error::RecvError},
};

use super::reader::Reader;
use crate::{metrics::Metrics, runs::limits::MAX_WATCHERS, store::Db};

/// The runs that are watched in this process. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Watchers {
    readers: Arc<Mutex<HashMap<RunId, Arc<Reader>>>>,
    seats: Arc<Semaphore>,
}

impl Default for Watchers {
    fn default() -> Self {
        Self { readers: Arc::default(), seats: Arc::new(Semaphore::new(MAX_WATCHERS)) }
    }
}

impl Watchers {
    /// Passes wake-ups on to the readers of the runs they are about, until the sender is gone.
    pub(crate) async fn route(self, mut wake: Receiver<Wake>, metrics: Metrics) {
        loop {
            match wake.recv().await {
                Ok(Wake::Run { run_id, .. }) => {
                    if let Some(reader) = self.readers().get(&run_id) {
                        reader.wake();
                    }
                }
                Ok(Wake::Admit) => {}
                Ok(Wake::Missed) => self.wake_all(),
                Err(RecvError::Lagged(count)) => {
                    metrics.wake_ups_missed(count);
                    self.wake_all();
                }
                Err(RecvError::Closed) => return,
            }
        }
    }

    fn wake_all(&self) {
        self.readers().values().for_each(|reader| reader.wake());
    }

    /// A place among those who watch, as long as it is held; nothing when there is none left.
    pub(crate) fn seat(&self) -> Option<OwnedSemaphorePermit> {
        Arc::clone(&self.seats).try_acquire_owned().ok()
    }

    /// How many watch.
    pub fn watching(&self) -> usize {
        MAX_WATCHERS - self.seats.available_permits()
    }

    /// Waits until nobody watches, and gives out no seat any more.
    pub async fn all_gone(&self) {
        let all = u32::try_from(MAX_WATCHERS).unwrap_or(u32::MAX);
        let _ = self.seats.acquire_many(all).await;
        self.seats.close();
    }

    /// How many runs are watched.
    pub fn watched(&self) -> usize {
        self.readers().len()
    }

    /// The reader of a run; started when it is not there, standing at `seq`.
    pub(super) fn reader(&self, db: &Db, team: TeamId, run: RunId, seq: i64) -> Arc<Reader> {
        let mut readers = self.readers();
        if let Some(reader) = readers.get(&run) {
            return Arc::clone(reader);
        }
        let reader = Arc::new(Reader::new(team, run, seq));
        readers.insert(run, Arc::clone(&reader));
        tokio::spawn(Arc::clone(&reader).run(db.clone(), self.clone()));
        reader
    }

    /// Takes a reader off, if nobody joined it meanwhile; true when it is off.
    pub(super) fn retire(&self, reader: &Reader) -> bool {
        let mut readers = self.readers();
        if reader.close_if_alone() {
            readers.remove(&reader.run);
            return true;
        }
        false
    }

    fn readers(&self) -> MutexGuard<'_, HashMap<RunId, Arc<Reader>>> {
        // Nothing panics while it is held; if it did, the map would still be whole.
        self.readers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
