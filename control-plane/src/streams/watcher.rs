//! One who watches a run: its history after a number, then what comes.

use std::{collections::VecDeque, sync::Arc};

use restroy_sdk::{
    ids::{RunId, TeamId, UserId},
    problem::ProblemCode,
};
use tokio::task::JoinSet;

use super::{
    Chunk,
    hub::{StreamHub, StreamPermit},
    tailer::{ReadError, StreamReceiver},
};
use crate::{
    concurrency::response_budget::{Reservation, ResponseBudget},
    error::{ApiError, ApiResult},
    runs::events::{read_after, size_after},
    store::Db,
};

/// What comes next for a watcher.
#[derive(Debug)]
pub(crate) enum Next {
    /// Some events.
    Chunk(Arc<Chunk>),
    /// The watcher did not keep up: it has all up to its place and resumes from there.
    Lagged,
}

/// A page of history, and what it takes of the answers' budget; nothing at the end.
type History = Result<Option<(Vec<Arc<Chunk>>, Reservation)>, ReadError>;

/// One who watches a run.
pub(crate) struct Watcher {
    db: Db,
    registry: StreamHub,
    answers: ResponseBudget,
    seat: StreamPermit,
    team: TeamId,
    run: RunId,
    /// The newest event that was given.
    seq: i64,
    /// Read and not given yet.
    ready: VecDeque<Arc<Chunk>>,
    /// What the history in `ready`, and what was given of it last, takes of the answers' budget.
    reserved: Option<Reservation>,
    /// The page that is being read, by a task: whoever drops a call of `next` does not have it read again, and
    /// nothing that it holds, such as a connection, waits for the next call.
    reading: JoinSet<History>,
    live: Option<StreamReceiver>,
    /// Whether the run's reader was joined, and what lies between it and here is still to be read.
    gap: bool,
}

impl Watcher {
    /// Watches a run from after the event numbered `after`, as long as the seat is its.
    pub(crate) fn new(
        (db, registry, answers): (Db, StreamHub, ResponseBudget),
        seat: StreamPermit,
        team: TeamId,
        run: RunId,
        after: i64,
    ) -> Self {
        Self {
            db,
            registry,
            answers,
            seat,
            team,
            run,
            seq: after,
            ready: VecDeque::new(),
            reserved: None,
            reading: JoinSet::new(),
            live: None,
            gap: false,
        }
    }

    /// The newest event that was given.
    pub(crate) fn seq(&self) -> i64 {
        self.seq
    }

    /// Waits for what comes next. May be dropped and called again without a loss.
    pub(crate) async fn next(&mut self) -> ApiResult<Next> {
        loop {
            if let Some(chunk) = self.ready.pop_front() {
                self.seq = chunk.last_seq();
                return Ok(Next::Chunk(chunk));
            }
            if self.gap || self.live.is_none() {
                self.catch_up().await?;
                continue;
            }
            let Some(live) = &mut self.live else { continue };
            // All of the history is out.
            self.reserved = None;
            match live.next().await {
                None => return Ok(Next::Lagged),
                // What the history brought already is not given twice.
                Some(chunk) if chunk.last_seq() <= self.seq => {}
                Some(chunk) if chunk.first_seq > self.seq + 1 => {
                    // Only if rows went missing; then the database decides.
                    self.live = None;
                }
                Some(chunk) => self.ready.push_back(after(chunk, self.seq)),
            }
        }
    }

    /// Reads a page of history; at its end joins the run's reader.
    async fn catch_up(&mut self) -> ApiResult<()> {
        if self.live.is_none() {
            if self.read_page().await? {
                return Ok(());
            }
            // Caught up. The reader may stand further on now: what lies between is read once more, after joining, so
            // that nothing falls between the two.
            let reader = self.registry.tailer(&self.db, self.team, self.run, self.seq);
            let Some(live) = reader.subscribe(&self.seat) else {
                // It was just about to end; the next call finds another.
                tokio::task::yield_now().await;
                return Ok(());
            };
            self.live = Some(live);
            self.gap = true;
            reader.wake();
        }
        self.read_page().await?;
        self.gap = false;
        Ok(())
    }

    /// Whether there was anything. Only when all that was read before is out.
    async fn read_page(&mut self) -> ApiResult<bool> {
        self.reserved = None;
        if self.reading.is_empty() {
            let (db, answers) = (self.db.clone(), self.answers.clone());
            self.reading.spawn(read(db, answers, self.seat.user(), self.team, self.run, self.seq));
        }
        let read = match self.reading.join_next().await {
            Some(Ok(read)) => read,
            Some(Err(error)) => {
                tracing::error!(%error, "the history of a run was not read to its end");
                return Err(ApiError::new(ProblemCode::Internal));
            }
            None => return Ok(false),
        };
        let page = read.map_err(|error| match error {
            ReadError::Sql(error) => ApiError::from(error),
            ReadError::Json(error) => error.into(),
        })?;
        let Some((chunks, reserved)) = page else { return Ok(false) };
        self.ready.extend(chunks);
        self.reserved = Some(reserved);
        Ok(true)
    }
}

/// A page, once the budget has room for it: as it is stored, and once more in pieces.
async fn read(db: Db, answers: ResponseBudget, user: UserId, team: TeamId, run: RunId, mut seq: i64) -> History {
    let mut tx = db.team_read(team).await?;
    let size = size_after(&mut tx, run, seq).await?;
    drop(tx);
    if size == 0 {
        return Ok(None);
    }
    let reserved = answers.reserve_when_free(user, 2 * size).await;
    let mut tx = db.team_read(team).await?;
    let rows = read_after(&mut tx, run, seq).await?;
    drop(tx);
    let mut chunks = Vec::with_capacity(rows.len());
    for row in &rows {
        let chunk = Chunk::from_stored(row, seq)?;
        seq = chunk.last_seq();
        chunks.push(Arc::new(chunk));
    }
    Ok(Some((chunks, reserved)))
}

/// A chunk without what lies at or before `seq`.
fn after(chunk: Arc<Chunk>, seq: i64) -> Arc<Chunk> {
    if chunk.first_seq > seq {
        return chunk;
    }
    let skip = usize::try_from(seq + 1 - chunk.first_seq).unwrap_or(0);
    Arc::new(Chunk {
        first_seq: seq + 1,
        frames: chunk.frames.iter().skip(skip).cloned().collect(),
        last: chunk.last,
        bytes: chunk.bytes,
    })
}
