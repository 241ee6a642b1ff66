//! Admission: which pending tasks may be taken on now. The queue holds no more than what is
//! admitted; who waits, waits in the database, where fairness is decided.
//!
//! A team has as many tasks in flight as its `max_running` allows, a pipeline as many as its
//! document's `concurrency`, the installation as many as its executors have slots for, a few times
//! over, and at most [`MAX_IN_FLIGHT`]. All of these count
//! rows: a slot cannot leak. A run on an archived board does not start, but waits; one that was started before
//! goes on. Among teams the one with the fewest in flight goes first, within a
//! team the oldest task.
//!
//! One dispatcher is at work at a time, whatever the number of replicas: what it counts in its
//! transaction grows by its hand only.

use std::collections::{HashMap, HashSet};

use restroy_run_queue::queue::Message;
use restroy_sdk::{
    ids::{Id as _, PipelineId, TaskId, TeamId},
    time::Timestamp,
};
use sqlx::{query, query_as, query_scalar};

use super::leader::lead;
use super::limits::{EXECUTOR_SILENT, IN_FLIGHT_PER_SLOT, MAX_IN_FLIGHT, MIN_IN_FLIGHT, UNCLAIMED};
use crate::{error::ApiResult, sql, state::AppState, store::Tx};

/// The work, among those that one replica at a time does.
pub(crate) const WORK: &str = "dispatch";
/// How many admitted tasks are pushed again in one go.
const REPUSH: i64 = 500;

/// Admits what may be admitted now and hands it to the queue. Gives how many.
pub async fn admit(state: &AppState) -> ApiResult<usize> {
    let mut total = 0;
    loop {
        // Most wake-ups find nothing to admit: look before taking the writer.
        if teams(&mut state.db.system_read().await?).await?.is_empty() {
            return Ok(total);
        }
        let now = state.ambient.now();
        let mut tx = state.db.system_write().await?;
        if !lead(&mut tx, WORK, state.replica, now).await? {
            return Ok(total);
        }
        let chosen = choose(&mut tx, now).await?;
        let admitted = mark(&mut tx, "pending", &chosen, now).await?;
        tx.commit().await?;
        total += admitted.len();
        state.metrics.admitted(admitted.len());
        if admitted.is_empty() {
            return Ok(total);
        }
        push(state, &admitted).await;
    }
}

/// Pushes admitted tasks again that nobody claimed for a while; all of them when `every`: at boot
/// the queue may have lost what it held. Gives how many.
pub async fn push_again(state: &AppState, every: bool) -> ApiResult<usize> {
    let now = state.ambient.now();
    let before = if every { now } else { now.before(UNCLAIMED) };
    let mut tx = state.db.system_read().await?;
    let stale: Vec<TaskId> = sql!(
        &mut tx,
        fetch_all,
        query_scalar("SELECT id FROM tasks WHERE state = 'admitted' AND admitted_at <= $1 ORDER BY id LIMIT $2")
            .bind(before)
            .bind(if every { MAX_IN_FLIGHT } else { REPUSH })
    )?;
    drop(tx);
    if stale.is_empty() {
        return Ok(0);
    }
    let mut tx = state.db.system_write().await?;
    if !lead(&mut tx, WORK, state.replica, now).await? {
        return Ok(0);
    }
    // The next push is due a while from now.
    let pushed = mark(&mut tx, "admitted", &stale, now).await?;
    tx.commit().await?;
    push(state, &pushed).await;
    Ok(pushed.len())
}

/// Makes those of the tasks `admitted` as of now that are still in a state; gives them in the same
/// order. A row that another transaction holds is left out, and looked at again with the next pass:
/// whoever ends several runs at once holds several tasks, and neither must wait for the other.
async fn mark(tx: &mut Tx, from: &'static str, tasks: &[TaskId], now: Timestamp) -> ApiResult<Vec<TaskId>> {
    let marked: HashSet<TaskId> = match tx {
        Tx::Sqlite(..) => {
            let mut marked = HashSet::with_capacity(tasks.len());
            for task in tasks {
                let changed = sql!(
                    &mut *tx,
                    execute,
                    query("UPDATE tasks SET state = 'admitted', admitted_at = $3 WHERE id = $1 AND state = $2")
                        .bind(task)
                        .bind(from)
                        .bind(now)
                )?;
                if changed.rows_affected() > 0 {
                    marked.insert(*task);
                }
            }
            marked
        }
        Tx::Postgres(tx) => query_scalar(
            "UPDATE tasks SET state = 'admitted', admitted_at = $3
             WHERE id = ANY(ARRAY(SELECT id FROM tasks WHERE id = ANY($1) AND state = $2 FOR NO KEY UPDATE SKIP LOCKED))
             RETURNING id",
        )
        .bind(tasks.iter().map(|task| task.uuid()).collect::<Vec<_>>())
        .bind(from)
        .bind(now)
        .fetch_all(&mut **tx)
        .await?
        .into_iter()
        .collect(),
    };
    Ok(tasks.iter().filter(|task| marked.contains(task)).copied().collect())
}

/// A push that fails is made up for by [`push_again`].
async fn push(state: &AppState, tasks: &[TaskId]) {
    for task_id in tasks {
        if let Err(error) = state.queue.push(Message { task_id: *task_id }).await {
            tracing::warn!(%task_id, %error, "a task waits for the queue");
            state.metrics.push_failed();
        }
    }
}

/// A team that has something pending and a slot for it.
#[derive(Debug, sqlx::FromRow)]
struct Waiting {
    team_id: TeamId,
    max_running: i64,
    in_flight: i64,
}

/// A pending task that may go, as far as its team and pipeline stand now.
#[derive(Debug, sqlx::FromRow)]
struct Candidate {
    id: TaskId,
    pipeline_id: PipelineId,
    concurrency_limit: Option<i64>,
    in_flight: i64,
}

/// The tasks that may go now, in the order in which they should.
async fn choose(tx: &mut Tx, now: Timestamp) -> ApiResult<Vec<TaskId>> {
    let teams = teams(tx).await?;
    if teams.is_empty() {
        return Ok(Vec::new());
    }
    let in_flight: i64 =
        sql!(&mut *tx, fetch_one, query_scalar("SELECT COUNT(*) FROM tasks WHERE state IN ('admitted', 'leased')"))?;
    let slots: i64 = sql!(
        &mut *tx,
        fetch_one,
        query_scalar(
            "SELECT CAST(COALESCE(SUM(CASE WHEN slots < slot_limit THEN slots ELSE slot_limit END), 0) AS BIGINT)
             FROM executors
             WHERE revoked_at IS NULL AND heartbeat_at > $1 AND (expires_at IS NULL OR expires_at > $2)"
        )
        .bind(now.before(EXECUTOR_SILENT))
        .bind(now)
    )?;
    let most = slots.saturating_mul(IN_FLIGHT_PER_SLOT).clamp(MIN_IN_FLIGHT, MAX_IN_FLIGHT);
    let room = usize::try_from(most - in_flight).unwrap_or(0);
    let mut chosen: Vec<(i64, TaskId)> = Vec::new();
    for team in teams {
        let mut taken: HashMap<PipelineId, i64> = HashMap::new();
        let mut place = team.in_flight;
        for candidate in candidates(tx, &team).await? {
            let more = taken.entry(candidate.pipeline_id).or_default();
            if candidate.concurrency_limit.is_some_and(|limit| candidate.in_flight + *more >= limit) {
                continue;
            }
            *more += 1;
            place += 1;
            chosen.push((place, candidate.id));
        }
    }
    chosen.sort_unstable();
    chosen.truncate(room);
    Ok(chosen.into_iter().map(|(_, task)| task).collect())
}

/// The teams that have something pending and a slot for it.
async fn teams(tx: &mut Tx) -> ApiResult<Vec<Waiting>> {
    Ok(sql!(
        tx,
        fetch_all,
        query_as(
            "SELECT team_id, max_running, in_flight FROM (
                 SELECT t.id AS team_id, t.max_running,
                        (SELECT COUNT(*) FROM tasks f
                         WHERE f.team_id = t.id AND f.state IN ('admitted', 'leased')) AS in_flight
                 FROM teams t
                 WHERE t.deleted_at IS NULL AND t.id IN (SELECT DISTINCT team_id FROM tasks WHERE state = 'pending')) AS waiting
             WHERE in_flight < max_running"
        )
    )?)
}

/// A team's oldest tasks whose pipelines have a slot and whose boards start something, as many as the team has
/// slots.
async fn candidates(tx: &mut Tx, team: &Waiting) -> ApiResult<Vec<Candidate>> {
    Ok(sql!(
        tx,
        fetch_all,
        query_as(
            "WITH busy AS (
                 SELECT r.pipeline_id, COUNT(*) AS n
                 FROM tasks t JOIN runs r ON r.team_id = t.team_id AND r.id = t.run_id
                 WHERE t.team_id = $1 AND t.state IN ('admitted', 'leased') GROUP BY r.pipeline_id)
             SELECT t.id, r.pipeline_id, r.concurrency_limit, COALESCE(b.n, 0) AS in_flight
             FROM tasks t
             JOIN runs r ON r.team_id = t.team_id AND r.id = t.run_id
             JOIN pipelines p ON p.team_id = r.team_id AND p.id = r.pipeline_id
             JOIN boards o ON o.team_id = p.team_id AND o.id = p.board_id
             LEFT JOIN busy b ON b.pipeline_id = r.pipeline_id
             WHERE t.team_id = $1 AND t.state = 'pending'
               AND (r.concurrency_limit IS NULL OR COALESCE(b.n, 0) < r.concurrency_limit)
               AND (r.status <> 'queued'
                    OR (o.archived_at IS NULL AND o.deleted_at IS NULL AND p.deleted_at IS NULL))
             ORDER BY t.id LIMIT $2"
        )
        .bind(team.team_id)
        .bind(team.max_running - team.in_flight)
    )?)
}
