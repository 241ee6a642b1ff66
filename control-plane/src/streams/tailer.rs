//! The one reader of a watched run: it reads new rows once and hands them to every watcher.

use std::{
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use restroy_sdk::ids::{RunId, TeamId};
use tokio::sync::{Notify, mpsc};

use super::{
    Chunk,
    hub::{StreamHub, StreamPermit},
};
use crate::{
    runs::events::{more_follow, read_after},
    store::{Db, DbError},
};

/// How many batches may wait for a watcher before it is cut off.
const QUEUE: usize = 256;
/// How many bytes may wait for a watcher, unless it is one batch.
const QUEUE_BYTES: usize = 1024 * 1024;
/// How many bytes may wait for all streams of a person, unless it is one batch.
const PERSON_BYTES: usize = 8 * 1024 * 1024;
/// How many bytes may wait for all watchers.
const ALL_BYTES: usize = 64 * 1024 * 1024;
/// How often the reader looks although nothing woke it.
const POLL_INTERVAL: Duration = Duration::from_secs(1);

#[derive(Debug)]
pub(super) struct RunTailer {
    team: TeamId,
    pub(super) run: RunId,
    woken: Notify,
    state: Mutex<TailerState>,
}

#[derive(Debug)]
struct TailerState {
    /// The newest event that was handed to the watchers.
    seq: i64,
    /// Whoever watches.
    watchers: Vec<StreamSender>,
    /// Nobody may join any more.
    closed: bool,
}

/// What waits, in bytes: for a watcher, for all streams of its person, and for all watchers. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub(super) struct PendingBytes {
    own: Arc<AtomicUsize>,
    person: Arc<AtomicUsize>,
    all: Arc<AtomicUsize>,
}

impl PendingBytes {
    /// Of a new watcher.
    pub(super) fn new(person: &Arc<AtomicUsize>, all: &Arc<AtomicUsize>) -> Self {
        Self { own: Arc::default(), person: Arc::clone(person), all: Arc::clone(all) }
    }

    /// Counts a chunk; nothing when that is too much.
    fn count(&self, bytes: usize) -> Option<CountedChunk> {
        // Counted first: dropping it takes it back.
        let counted = CountedChunk { waiting: self.clone(), bytes };
        let fits = |count: &AtomicUsize, most| {
            let before = count.fetch_add(bytes, Ordering::Relaxed);
            before == 0 || before + bytes <= most
        };
        let own = fits(&self.own, QUEUE_BYTES);
        let person = fits(&self.person, PERSON_BYTES);
        let all = fits(&self.all, ALL_BYTES);
        (own && person && all).then_some(counted)
    }
}

/// A chunk that waits, as it counts.
#[derive(Debug)]
struct CountedChunk {
    waiting: PendingBytes,
    bytes: usize,
}

impl Drop for CountedChunk {
    fn drop(&mut self) {
        for count in [&self.waiting.own, &self.waiting.person, &self.waiting.all] {
            count.fetch_sub(self.bytes, Ordering::Relaxed);
        }
    }
}

/// A watcher's queue, as the reader has it. Dropping it ends the watcher once it has what waits.
#[derive(Debug)]
struct StreamSender {
    sender: mpsc::Sender<(Arc<Chunk>, CountedChunk)>,
    waiting: PendingBytes,
}

impl StreamSender {
    /// False when the queue is full or nobody reads it. Never waits.
    fn try_send(&self, chunk: &Arc<Chunk>) -> bool {
        self.waiting
            .count(chunk.bytes)
            .is_some_and(|counted| self.sender.try_send((Arc::clone(chunk), counted)).is_ok())
    }
}

/// A watcher's queue, as the watcher has it.
#[derive(Debug)]
pub(super) struct StreamReceiver {
    receiver: mpsc::Receiver<(Arc<Chunk>, CountedChunk)>,
}

impl StreamReceiver {
    /// The next chunk; nothing when the watcher was cut off. May be dropped without a loss.
    pub(super) async fn next(&mut self) -> Option<Arc<Chunk>> {
        self.receiver.recv().await.map(|(chunk, _)| chunk)
    }
}

impl RunTailer {
    pub(super) fn new(team: TeamId, run: RunId, seq: i64) -> Self {
        let state = TailerState { seq, watchers: Vec::new(), closed: false };
        Self { team, run, woken: Notify::new(), state: Mutex::new(state) }
    }

    /// There may be something new. One that comes while the reader reads is not lost.
    pub(super) fn wake(&self) {
        self.woken.notify_one();
    }

    /// Joins: what is handed out from now on. Nothing when the reader is about to end; a new one
    /// takes its place.
    pub(super) fn subscribe(&self, seat: &StreamPermit) -> Option<StreamReceiver> {
        let mut state = self.state();
        if state.closed {
            return None;
        }
        let (sender, receiver) = mpsc::channel(QUEUE);
        state.watchers.push(StreamSender { sender, waiting: seat.waiting() });
        Some(StreamReceiver { receiver })
    }

    /// Closes the reader unless somebody watches.
    pub(super) fn close_if_unwatched(&self) -> bool {
        let mut state = self.state();
        state.watchers.retain(|watcher| !watcher.sender.is_closed());
        state.closed = state.watchers.is_empty();
        state.closed
    }

    /// Reads until nobody watches.
    pub(super) async fn run(self: Arc<Self>, db: Db, registry: StreamHub) {
        let mut idle = false;
        loop {
            match self.read(&db).await {
                Ok(read) => idle = !read,
                // What is not read now is read a moment later.
                Err(error) => tracing::warn!(run_id = %self.run, %error, "new events cannot be read"),
            }
            if idle && registry.remove_tailer(&self) {
                return;
            }
            tokio::select! {
                () = self.woken.notified() => {}
                () = tokio::time::sleep(POLL_INTERVAL) => {}
            }
        }
    }

    /// Reads until caught up; whether there was anything.
    async fn read(&self, db: &Db) -> Result<bool, ReadError> {
        let mut any = false;
        loop {
            let after = self.state().seq;
            let mut tx = db.team_read(self.team).await?;
            let rows = read_after(&mut tx, self.run, after).await?;
            drop(tx);
            let mut seq = after;
            for row in &rows {
                let chunk = Arc::new(Chunk::from_stored(row, seq)?);
                seq = chunk.last_seq();
                self.broadcast(seq, &chunk);
                any = true;
            }
            if !more_follow(&rows) {
                return Ok(any);
            }
        }
    }

    fn broadcast(&self, seq: i64, chunk: &Arc<Chunk>) {
        let mut state = self.state();
        state.seq = seq;
        // Never waits: who is full has fallen behind, and resumes from the database.
        state.watchers.retain(|watcher| watcher.try_send(chunk));
    }

    fn state(&self) -> MutexGuard<'_, TailerState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Why rows could not be read.
#[derive(Debug, thiserror::Error)]
pub(super) enum ReadError {
    #[error(transparent)]
    Sql(#[from] DbError),
    #[error("a stored batch is not JSON: {0}")]
    Json(#[from] serde_json::Error),
}
