//! Which runs are watched here, and word of their new events.

use std::{
    collections::{HashMap, hash_map::Entry},
    sync::{Arc, Mutex, MutexGuard, PoisonError, atomic::AtomicUsize},
};

use restroy_domain::metrics::Metrics;
use restroy_run_queue::wake::Wake;
use restroy_sdk::ids::{RunId, TeamId, UserId};
use tokio::sync::{
    OwnedSemaphorePermit, Semaphore,
    broadcast::{self, Receiver, error::RecvError},
    watch,
};

use super::tailer::{PendingBytes, RunTailer};
use crate::{
    runs::limits::{MAX_WATCHERS, MAX_WATCHERS_PER_USER},
    store::Db,
};

/// How many words of changed rights may wait for one who watches; beyond, they look in any case.
const ACCESS_BACKLOG: usize = 256;

/// The runs that are watched in this process. Cheap to clone.
#[derive(Debug, Clone)]
pub struct StreamHub {
    readers: Arc<Mutex<HashMap<RunId, Arc<RunTailer>>>>,
    /// How many they are.
    count: watch::Sender<usize>,
    seats: Arc<Semaphore>,
    /// Teams in which members may do other things than before; none for all of them.
    access: broadcast::Sender<Option<TeamId>>,
    /// What each person has; who has no seat is not in it.
    taken: Arc<Mutex<HashMap<UserId, UserStreams>>>,
    /// How many bytes wait for all who watch.
    waiting: Arc<AtomicUsize>,
}

/// What a person has.
#[derive(Debug, Default)]
struct UserStreams {
    seats: usize,
    /// How many bytes wait for all the person's streams.
    waiting: Arc<AtomicUsize>,
}

/// A place among those who watch, as long as it is held.
#[derive(Debug)]
pub(crate) struct StreamPermit {
    user: UserId,
    taken: Arc<Mutex<HashMap<UserId, UserStreams>>>,
    waiting: PendingBytes,
    _permit: OwnedSemaphorePermit,
}

impl StreamPermit {
    /// The account that it belongs to.
    pub(super) fn user(&self) -> UserId {
        self.user
    }

    /// What waits for the one who has it.
    pub(super) fn waiting(&self) -> PendingBytes {
        self.waiting.clone()
    }
}

impl Drop for StreamPermit {
    fn drop(&mut self) {
        if let Entry::Occupied(mut count) = self.taken.lock().unwrap_or_else(PoisonError::into_inner).entry(self.user) {
            if count.get().seats > 1 {
                count.get_mut().seats -= 1;
            } else {
                count.remove();
            }
        }
    }
}

/// Word that what members of a team may do has changed.
#[derive(Debug)]
pub(crate) struct AccessChanges {
    team: Option<TeamId>,
    access: Receiver<Option<TeamId>>,
}

impl AccessChanges {
    /// Of this team only.
    pub(crate) fn within(self, team: TeamId) -> Self {
        Self { team: Some(team), ..self }
    }

    /// Waits until they have, or may have.
    pub(crate) async fn changed(&mut self) {
        loop {
            match self.access.recv().await {
                Ok(Some(team)) if self.team.is_some_and(|own| own != team) => {}
                Ok(_) | Err(RecvError::Lagged(_)) => return,
                // Cannot be while the state is held; who watches is looked at by the clock in any case.
                Err(RecvError::Closed) => std::future::pending().await,
            }
        }
    }
}

/// Why there is no place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum StreamLimit {
    /// This process has none left.
    Full,
    /// The person has as many as one may have.
    TooMany,
}

impl Default for StreamHub {
    fn default() -> Self {
        Self {
            readers: Arc::default(),
            count: watch::Sender::new(0),
            seats: Arc::new(Semaphore::new(MAX_WATCHERS)),
            access: broadcast::Sender::new(ACCESS_BACKLOG),
            taken: Arc::default(),
            waiting: Arc::default(),
        }
    }
}

impl StreamHub {
    /// Passes wake-ups on to the readers of the runs they are about, until the sender is gone.
    pub(crate) async fn route(self, mut wake: Receiver<Wake>, metrics: Metrics) {
        loop {
            match wake.recv().await {
                Ok(Wake::Run { run_id, .. }) => {
                    if let Some(reader) = self.tailers().get(&run_id) {
                        reader.wake();
                    }
                }
                Ok(Wake::Admit | Wake::Released { .. }) => {}
                // Nobody watching is not an error.
                Ok(Wake::Access { team_id }) => drop(self.access.send(Some(team_id))),
                Ok(Wake::Missed) => self.wake_all(),
                Err(RecvError::Lagged(count)) => {
                    metrics.wake_ups_missed(count);
                    self.wake_all();
                }
                Err(RecvError::Closed) => return,
            }
        }
    }

    /// Word of changed rights, in any team, from now on.
    pub(crate) fn access_changes(&self) -> AccessChanges {
        AccessChanges { team: None, access: self.access.subscribe() }
    }

    fn wake_all(&self) {
        let _ = self.access.send(None);
        self.tailers().values().for_each(|reader| reader.wake());
    }

    /// A place among those who watch, as long as it is held.
    pub(crate) fn acquire_permit(&self, user: UserId) -> Result<StreamPermit, StreamLimit> {
        let permit = Arc::clone(&self.seats).try_acquire_owned().map_err(|_| StreamLimit::Full)?;
        let mut taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        let own = taken.entry(user).or_default();
        if own.seats >= MAX_WATCHERS_PER_USER {
            return Err(StreamLimit::TooMany);
        }
        own.seats += 1;
        let waiting = PendingBytes::new(&own.waiting, &self.waiting);
        Ok(StreamPermit { user, taken: Arc::clone(&self.taken), waiting, _permit: permit })
    }

    /// How many watch.
    pub fn watching(&self) -> usize {
        MAX_WATCHERS - self.seats.available_permits()
    }

    /// Waits until nobody watches, and gives out no seat any more.
    pub async fn drained(&self) {
        let all = u32::try_from(MAX_WATCHERS).unwrap_or(u32::MAX);
        let _ = self.seats.acquire_many(all).await;
        self.seats.close();
    }

    /// How many runs are watched.
    pub fn watched(&self) -> usize {
        *self.count.borrow()
    }

    /// Waits until no run is watched.
    pub async fn unwatched(&self) {
        // The sender is this one's own: there is always one in the end.
        let _ = self.count.subscribe().wait_for(|count| *count == 0).await;
    }

    /// The reader of a run; started when it is not there, standing at `seq`.
    pub(super) fn tailer(&self, db: &Db, team: TeamId, run: RunId, seq: i64) -> Arc<RunTailer> {
        let mut readers = self.tailers();
        if let Some(reader) = readers.get(&run) {
            return Arc::clone(reader);
        }
        let reader = Arc::new(RunTailer::new(team, run, seq));
        readers.insert(run, Arc::clone(&reader));
        self.count.send_replace(readers.len());
        tokio::spawn(Arc::clone(&reader).run(db.clone(), self.clone()));
        reader
    }

    /// Takes a reader off, if nobody joined it meanwhile; true when it is off.
    pub(super) fn remove_tailer(&self, reader: &RunTailer) -> bool {
        let mut readers = self.tailers();
        if reader.close_if_unwatched() {
            readers.remove(&reader.run);
            self.count.send_replace(readers.len());
            return true;
        }
        false
    }

    fn tailers(&self) -> MutexGuard<'_, HashMap<RunId, Arc<RunTailer>>> {
        // Nothing panics while it is held; if it did, the map would still be whole.
        self.readers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
