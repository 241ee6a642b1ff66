//! Which runs are watched here, and word of their new events.

use std::{
    collections::{HashMap, hash_map::Entry},
    sync::{Arc, Mutex, MutexGuard, PoisonError, atomic::AtomicUsize},
};

use restroy_run_queue::wake::Wake;
use restroy_sdk::ids::{RunId, TeamId, UserId};
use tokio::sync::{
    OwnedSemaphorePermit, Semaphore,
    broadcast::{self, Receiver, error::RecvError},
    watch,
};

use super::reader::{Reader, Waiting};
use crate::{
    metrics::Metrics,
    runs::limits::{MAX_WATCHERS, MAX_WATCHERS_PER_USER},
    store::Db,
};

/// How many words of changed rights may wait for one who watches; beyond, they look in any case.
const ACCESS_BACKLOG: usize = 256;

/// The runs that are watched in this process. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Watchers {
    readers: Arc<Mutex<HashMap<RunId, Arc<Reader>>>>,
    /// How many they are.
    count: watch::Sender<usize>,
    seats: Arc<Semaphore>,
    /// Teams in which members may do other things than before; none for all of them.
    access: broadcast::Sender<Option<TeamId>>,
    /// What each person has; who has no seat is not in it.
    taken: Arc<Mutex<HashMap<UserId, Taken>>>,
    /// How many bytes wait for all who watch.
    waiting: Arc<AtomicUsize>,
}

/// What a person has.
#[derive(Debug, Default)]
struct Taken {
    seats: usize,
    /// How many bytes wait for all the person's streams.
    waiting: Arc<AtomicUsize>,
}

/// A place among those who watch, as long as it is held.
#[derive(Debug)]
pub(crate) struct Seat {
    user: UserId,
    taken: Arc<Mutex<HashMap<UserId, Taken>>>,
    waiting: Waiting,
    _permit: OwnedSemaphorePermit,
}

impl Seat {
    /// Whose it is.
    pub(super) fn user(&self) -> UserId {
        self.user
    }

    /// What waits for the one who has it.
    pub(super) fn waiting(&self) -> Waiting {
        self.waiting.clone()
    }
}

impl Drop for Seat {
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
pub(crate) struct Rights {
    team: Option<TeamId>,
    access: Receiver<Option<TeamId>>,
}

impl Rights {
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
pub(crate) enum NoSeat {
    /// This process has none left.
    Full,
    /// The person has as many as one may have.
    TooMany,
}

impl Default for Watchers {
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
                Ok(Wake::Admit | Wake::Released { .. }) => {}
                // Nobody watching is no fault.
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
    pub(crate) fn rights(&self) -> Rights {
        Rights { team: None, access: self.access.subscribe() }
    }

    fn wake_all(&self) {
        let _ = self.access.send(None);
        self.readers().values().for_each(|reader| reader.wake());
    }

    /// A place among those who watch, as long as it is held.
    pub(crate) fn seat(&self, user: UserId) -> Result<Seat, NoSeat> {
        let permit = Arc::clone(&self.seats).try_acquire_owned().map_err(|_| NoSeat::Full)?;
        let mut taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        let own = taken.entry(user).or_default();
        if own.seats >= MAX_WATCHERS_PER_USER {
            return Err(NoSeat::TooMany);
        }
        own.seats += 1;
        let waiting = Waiting::new(&own.waiting, &self.waiting);
        Ok(Seat { user, taken: Arc::clone(&self.taken), waiting, _permit: permit })
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
        *self.count.borrow()
    }

    /// Waits until no run is watched.
    pub async fn unwatched(&self) {
        // The sender is this one's own: there is always one in the end.
        let _ = self.count.subscribe().wait_for(|count| *count == 0).await;
    }

    /// The reader of a run; started when it is not there, standing at `seq`.
    pub(super) fn reader(&self, db: &Db, team: TeamId, run: RunId, seq: i64) -> Arc<Reader> {
        let mut readers = self.readers();
        if let Some(reader) = readers.get(&run) {
            return Arc::clone(reader);
        }
        let reader = Arc::new(Reader::new(team, run, seq));
        readers.insert(run, Arc::clone(&reader));
        self.count.send_replace(readers.len());
        tokio::spawn(Arc::clone(&reader).run(db.clone(), self.clone()));
        reader
    }

    /// Takes a reader off, if nobody joined it meanwhile; true when it is off.
    pub(super) fn retire(&self, reader: &Reader) -> bool {
        let mut readers = self.readers();
        if reader.close_if_alone() {
            readers.remove(&reader.run);
            self.count.send_replace(readers.len());
            return true;
        }
        false
    }

    fn readers(&self) -> MutexGuard<'_, HashMap<RunId, Arc<Reader>>> {
        // Nothing panics while it is held; if it did, the map would still be whole.
        self.readers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
