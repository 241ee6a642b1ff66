//! The event log: one numbered sequence per run, one row per batch.

use restroy_sdk::{
    event::EventKind,
    ids::{RunId, TaskId},
    time::Timestamp,
};
use sqlx::{query, query_as, query_scalar};

use crate::{
    DomainResult, sql,
    store::{TeamTx, storage},
};

/// Which batch of which holder of a task the events came in.
#[derive(Debug, Clone, Copy)]
pub(crate) struct BatchOrigin {
    pub(crate) task: TaskId,
    pub(crate) fence: i64,
    pub(crate) n: i64,
}

/// What an event takes in its log beside its kind: number, time and their names, in bytes.
const EVENT_FRAME: usize = 59;

/// Where a run's log stands.
#[derive(Debug, Clone, Copy)]
pub(crate) struct LogPosition {
    /// Its newest event.
    pub(crate) last_seq: i64,
    /// What all its events take, in bytes.
    pub(crate) bytes: i64,
}

/// Appends events to a run's log, numbered without gaps: the update of the run's row holds off
/// whoever else appends until this transaction ends. They are recorded as of `now`, or as of the newest event
/// if that is later: who waits for the row may have looked at the clock long before.
pub(crate) async fn append(
    tx: &mut TeamTx,
    run: RunId,
    now: Timestamp,
    events: &[EventKind],
    origin: Option<BatchOrigin>,
) -> DomainResult<LogPosition> {
    append_with_bytes(tx, run, now, events, origin, 0).await
}

/// The same when the run takes so many bytes more beside its log.
pub(crate) async fn append_with_bytes(
    tx: &mut TeamTx,
    run: RunId,
    now: Timestamp,
    events: &[EventKind],
    origin: Option<BatchOrigin>,
    beside: i64,
) -> DomainResult<LogPosition> {
    let team = tx.team();
    let kinds = events.iter().map(serde_json::to_string).collect::<Result<Vec<_>, _>>()?;
    let size: usize = kinds.iter().map(|kind| kind.len() + EVENT_FRAME).sum();
    let count = i64::try_from(kinds.len()).unwrap_or(i64::MAX);
    let (last_seq, bytes, at): (i64, i64, Timestamp) = sql!(
        &mut **tx,
        fetch_one,
        query_as(
            "UPDATE runs SET last_seq = last_seq + $3, event_bytes = event_bytes + $4,
                             stored_bytes = stored_bytes + $4 + $6,
                    last_event_at = CASE WHEN last_event_at > $5 THEN last_event_at ELSE $5 END
             WHERE team_id = $1 AND id = $2 RETURNING last_seq, event_bytes, last_event_at"
        )
        .bind(team)
        .bind(run)
        .bind(count)
        .bind(i64::try_from(size).unwrap_or(i64::MAX))
        .bind(now)
        .bind(beside + if kinds.is_empty() { 0 } else { storage::ROW })
    )?;
    let (recorded_at, at) = (at, at.to_string());
    if kinds.is_empty() {
        return Ok(LogPosition { last_seq, bytes });
    }
    let first_seq = last_seq - count + 1;
    let mut text = String::with_capacity(size + 2);
    text.push('[');
    for (seq, kind) in (first_seq..).zip(&kinds) {
        if seq > first_seq {
            text.push(',');
        }
        // An event's kind is an object with at least its `type`: seq and time go before it.
        text.push_str("{\"seq\":");
        text.push_str(&seq.to_string());
        text.push_str(",\"at\":\"");
        text.push_str(&at);
        text.push_str("\",");
        text.push_str(&kind[1..]);
    }
    text.push(']');
    sql!(
        &mut **tx,
        execute,
        query(
            "INSERT INTO run_events (run_id, first_seq, last_seq, team_id, task_id, fence, n, events, created_at)
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)"
        )
        .bind(run)
        .bind(first_seq)
        .bind(last_seq)
        .bind(team)
        .bind(origin.map(|origin| origin.task))
        .bind(origin.map(|origin| origin.fence))
        .bind(origin.map(|origin| origin.n))
        .bind(text)
        .bind(recorded_at)
    )?;
    Ok(LogPosition { last_seq, bytes })
}

/// A stored batch.
#[derive(Debug, sqlx::FromRow)]
pub struct StoredBatch {
    /// The number of its first event.
    pub first_seq: i64,
    /// A JSON array of whole events.
    pub events: String,
    /// How many batches follow, itself counted, of which at most [`ROWS`] are counted.
    found: i64,
}

/// Whether more may follow what [`read_after`] gave.
pub fn more_follow(rows: &[StoredBatch]) -> bool {
    rows.first().is_some_and(|first| first.found >= ROWS || usize::try_from(first.found).is_ok_and(|n| n > rows.len()))
}

/// How many batches are read at once.
const ROWS: i64 = 16;
/// How many bytes of them, unless the first alone has more.
const ROWS_BYTES: i64 = 1024 * 1024;

/// How much [`read_after`] would give, in bytes.
pub async fn size_after(tx: &mut TeamTx, run: RunId, after: i64) -> Result<usize, sqlx::Error> {
    let team = tx.team();
    let sizes: Vec<i64> = sql!(
        &mut **tx,
        fetch_all,
        query_scalar(
            "SELECT CAST(octet_length(events) AS BIGINT) FROM run_events
             WHERE team_id = $1 AND run_id = $2 AND last_seq > $3
               AND first_seq >= COALESCE(
                   (SELECT MAX(first_seq) FROM run_events
                    WHERE team_id = $1 AND run_id = $2 AND first_seq <= $3 + 1), 0)
             ORDER BY first_seq LIMIT $4"
        )
        .bind(team)
        .bind(run)
        .bind(after)
        .bind(ROWS)
    )?;
    let mut total = 0;
    for (n, size) in sizes.into_iter().enumerate() {
        if n > 0 && total + size > ROWS_BYTES {
            break;
        }
        total += size;
    }
    Ok(usize::try_from(total).unwrap_or(0))
}

/// The batches that hold what follows `after`, in order: at most [`ROWS`] of them, and [`ROWS_BYTES`] unless the
/// first alone has more. The first may begin at or before `after`. None only when nothing follows.
pub async fn read_after(tx: &mut TeamTx, run: RunId, after: i64) -> Result<Vec<StoredBatch>, sqlx::Error> {
    let team = tx.team();
    // Sizes alone go through the window: what does not fit is not read.
    sql!(
        &mut **tx,
        fetch_all,
        query_as(
            "WITH sized AS (
                 SELECT first_seq, octet_length(events) AS bytes FROM run_events
                 WHERE team_id = $1 AND run_id = $2 AND last_seq > $3
                   AND first_seq >= COALESCE(
                       (SELECT MAX(first_seq) FROM run_events
                        WHERE team_id = $1 AND run_id = $2 AND first_seq <= $3 + 1), 0)
                 ORDER BY first_seq LIMIT $4),
             summed AS (
                 SELECT first_seq, SUM(bytes) OVER (ORDER BY first_seq) AS total,
                        ROW_NUMBER() OVER (ORDER BY first_seq) AS n FROM sized)
             SELECT e.first_seq, e.events, (SELECT COUNT(*) FROM sized) AS found FROM summed s
             JOIN run_events e ON e.team_id = $1 AND e.run_id = $2 AND e.first_seq = s.first_seq
             WHERE s.n = 1 OR s.total <= $5
             ORDER BY e.first_seq"
        )
        .bind(team)
        .bind(run)
        .bind(after)
        .bind(ROWS)
        .bind(ROWS_BYTES)
    )
}
