//! One who watches a run: its history after a number, then what comes.

use std::{collections::VecDeque, sync::Arc};

use restroy_sdk::ids::{RunId, TeamId};

use super::{
    Chunk,
    reader::{Live, ROWS, ReadError},
    registry::Watchers,
};
use crate::{
    error::{ApiError, ApiResult},
    runs::events::read_after,
    store::Db,
};

/// What comes next for a watcher.
#[derive(Debug)]
pub(crate) enum Next {
    /// Some events.
    Chunk(Arc<Chunk>),
    /// The watcher did not keep up: it has all up to its place and resumes from there.
    FellBehind,
}

/// One who watches a run.
#[derive(Debug)]
pub(crate) struct Watcher {
    db: Db,
    registry: Watchers,
    team: TeamId,
    run: RunId,
    /// The newest event that was given.
    seq: i64,
    /// Read and not given yet.
    ready: VecDeque<Arc<Chunk>>,
    live: Option<Live>,
}

impl Watcher {
    /// Watches a run from after the event numbered `after`.
    pub(crate) fn new(db: Db, registry: Watchers, team: TeamId, run: RunId, after: i64) -> Self {
        Self { db, registry, team, run, seq: after, ready: VecDeque::new(), live: None }
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
            if self.live.is_none() {
                self.catch_up().await?;
                continue;
            }
            let Some(live) = &mut self.live else { continue };
            match live.next().await {
                None => return Ok(Next::FellBehind),
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
        if self.read_page().await? {
            return Ok(());
        }
        // Caught up. The reader may stand further on by now: what lies between is read once more,
        // after joining, so that nothing falls between the two.
        let reader = self.registry.reader(&self.db, self.team, self.run, self.seq);
        let Some(live) = reader.join() else {
            // It was just about to end; the next call finds another.
            tokio::task::yield_now().await;
            return Ok(());
        };
        self.read_page().await?;
        self.live = Some(live);
        reader.wake();
        Ok(())
    }

    /// Whether there was anything.
    async fn read_page(&mut self) -> ApiResult<bool> {
        let from = self.ready.back().map_or(self.seq, |chunk| chunk.last_seq());
        let chunks = self.read(from).await.map_err(|error| match error {
            ReadError::Sql(error) => ApiError::from(error),
            ReadError::Json(error) => error.into(),
        })?;
        let any = !chunks.is_empty();
        self.ready.extend(chunks);
        Ok(any)
    }

    async fn read(&self, mut seq: i64) -> Result<Vec<Arc<Chunk>>, ReadError> {
        let mut tx = self.db.team_read(self.team).await?;
        let rows = read_after(&mut tx, self.run, seq, ROWS).await?;
        let mut chunks = Vec::with_capacity(rows.len());
        for row in &rows {
            let chunk = Chunk::from_stored(row, seq)?;
            seq = chunk.last_seq();
            chunks.push(Arc::new(chunk));
        }
        Ok(chunks)
    }
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
