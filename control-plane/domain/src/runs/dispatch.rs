//! Admission: which pending tasks may be taken on now. The queue holds no more than what is
//! admitted; who waits, waits in the database, where fairness is decided.
//!
//! A team has as many tasks in flight as its `max_running` allows, an owner of teams as many in all of them as the
//! installation's `runs_per_owner`, a pipeline as many as its document's `concurrency`, the installation as many as
//! its executors have slots for, a few times over, and at most [`MAX_IN_FLIGHT`]. All of these count rows: a slot
//! cannot leak. A run on an archived board does not start, but waits; one that was started before continues. Among
//! owners the one with the fewest in flight goes first, then among the owner's teams, within a team the oldest
//! task.
//!
//! A task that was ended by others counts until its executor confirms that it has stopped. One that is suspended
//! ([`suspend`]) counts for its pipeline only, and becomes pending again when it is due.
//!
//! One dispatcher is running at a time, whatever the number of replicas: what it counts in its transaction grows by
//! its hand only.

use std::collections::{HashMap, HashSet};

use restroy_run_queue::queue::Message;
use restroy_sdk::{
    ids::{Id as _, PipelineId, TaskId, TeamId},
    time::Timestamp,
};
use sqlx::{query, query_as, query_scalar};
use uuid::Uuid;

use super::{
    leader::acquire,
    limits::{EXECUTOR_SILENCE_TIMEOUT, IN_FLIGHT_PER_SLOT, MAX_IN_FLIGHT, MIN_IN_FLIGHT, UNCLAIMED_TIMEOUT},
    suspend,
};
use crate::{DomainResult, sql, state::DomainState, store::Tx};

/// The work, among those that one replica at a time does.
pub(crate) const LEADER_WORK: &str = "dispatch";
/// How many admitted tasks are pushed again, and suspended ones woken, in one go.
const REPUSH_BATCH: i64 = 500;

/// Admits what may be admitted now and hands it to the queue. Gives how many.
pub async fn admit(state: &DomainState) -> DomainResult<usize> {
    let mut total = 0;
    loop {
        // Most wake-ups find nothing to admit: look before taking the writer.
        let mut tx = state.db.system_read().await?;
        let now = state.ambient.now();
        let limit = i64::from(state.settings.runs_per_owner);
        if owners(&mut tx, limit).await?.is_empty() && !suspend::is_due(&mut tx, now).await? {
            return Ok(total);
        }
        drop(tx);
        let mut tx = state.db.system_write().await?;
        if !acquire(&mut tx, LEADER_WORK, state.replica, now).await? {
            return Ok(total);
        }
        suspend::wake_due(&mut tx, now, REPUSH_BATCH).await?;
        let chosen = choose(state, &mut tx, now).await?;
        let admitted = mark_admitted(&mut tx, "pending", &chosen, now).await?;
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
pub async fn push_again(state: &DomainState, every: bool) -> DomainResult<usize> {
    let now = state.ambient.now();
    let before = if every { now } else { now.before(UNCLAIMED_TIMEOUT) };
    let mut tx = state.db.system_read().await?;
    let stale: Vec<TaskId> = sql!(
        &mut tx,
        fetch_all,
        query_scalar("SELECT id FROM tasks WHERE state = 'admitted' AND admitted_at <= $1 ORDER BY id LIMIT $2")
            .bind(before)
            .bind(if every { MAX_IN_FLIGHT } else { REPUSH_BATCH })
    )?;
    drop(tx);
    if stale.is_empty() {
        return Ok(0);
    }
    let mut tx = state.db.system_write().await?;
    if !acquire(&mut tx, LEADER_WORK, state.replica, now).await? {
        return Ok(0);
    }
    // The next push is due a while from now.
    let pushed = mark_admitted(&mut tx, "admitted", &stale, now).await?;
    tx.commit().await?;
    push(state, &pushed).await;
    Ok(pushed.len())
}

/// Makes those of the tasks `admitted` as of now that are still in a state; gives them in the same
/// order. A row that another transaction holds is left out, and looked at again with the next pass:
/// whoever ends several runs at once holds several tasks, and neither must wait for the other.
async fn mark_admitted(tx: &mut Tx, from: &'static str, tasks: &[TaskId], now: Timestamp) -> DomainResult<Vec<TaskId>> {
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
        Tx::Postgres(tx, _) => query_scalar(
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
async fn push(state: &DomainState, tasks: &[TaskId]) {
    for task_id in tasks {
        if let Err(error) = state.queue.push(Message { task_id: *task_id }).await {
            tracing::warn!(%task_id, %error, "a task waits for the queue");
            state.metrics.push_failed();
        }
    }
}

/// A team with tasks that are pending or in flight.
#[derive(Debug, sqlx::FromRow)]
struct TeamLoad {
    team_id: TeamId,
    /// Who answers for the team: who has owned it longest; the team's own id, should nobody own it.
    owner_id: Uuid,
    max_running: i64,
    /// Whether it has a pending task.
    pending: bool,
    in_flight: i64,
}

/// An account and the teams that it owns.
#[derive(Debug, Default)]
struct OwnerLoad {
    in_flight: i64,
    max_running: i64,
    teams: Vec<TeamLoad>,
}

impl OwnerLoad {
    /// How many more tasks of its teams may go, where each owner may have `limit` in flight: or as many as the
    /// operator lets one of the teams have, if that is more. 0: as many as the teams may.
    fn free_slots(&self, limit: i64) -> i64 {
        if limit == 0 { i64::MAX } else { limit.max(self.max_running) - self.in_flight }
    }
}

/// A pending task that may go, as far as its team and pipeline stand now.
#[derive(Debug, sqlx::FromRow)]
struct PendingTask {
    id: TaskId,
    pipeline_id: PipelineId,
    concurrency_limit: Option<i64>,
    in_flight: i64,
    /// Whether its run has begun: it has its place among the runs of its pipeline.
    begun: bool,
}

/// The tasks that may go now, in the order in which they should.
async fn choose(state: &DomainState, tx: &mut Tx, now: Timestamp) -> DomainResult<Vec<TaskId>> {
    let limit = i64::from(state.settings.runs_per_owner);
    let owners = owners(tx, limit).await?;
    if owners.is_empty() {
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
        .bind(now.before(EXECUTOR_SILENCE_TIMEOUT))
        .bind(now)
    )?;
    let most = slots.saturating_mul(IN_FLIGHT_PER_SLOT).clamp(MIN_IN_FLIGHT, MAX_IN_FLIGHT);
    let room = usize::try_from(most - in_flight).unwrap_or(0);
    let mut chosen: Vec<(i64, TaskId)> = Vec::new();
    for owner in owners {
        let mut own: Vec<(i64, TaskId)> = Vec::new();
        for team in &owner.teams {
            let most = (team.max_running - team.in_flight).min(owner.free_slots(limit));
            let chosen = choose_of_team(tx, team, most).await?;
            own.extend((team.in_flight + 1..).zip(chosen));
        }
        // Among an owner's teams the one with the fewest in flight goes first, and so it is among owners.
        own.sort_unstable();
        own.truncate(usize::try_from(owner.free_slots(limit)).unwrap_or(usize::MAX));
        chosen.extend((owner.in_flight + 1..).zip(own.into_iter().map(|(_, task)| task)));
    }
    chosen.sort_unstable();
    chosen.truncate(room);
    Ok(chosen.into_iter().map(|(_, task)| task).collect())
}

/// Those of a team's pending tasks that may go, the oldest first; at most `most`.
async fn choose_of_team(tx: &mut Tx, team: &TeamLoad, most: i64) -> DomainResult<Vec<TaskId>> {
    let mut taken: HashMap<PipelineId, i64> = HashMap::new();
    let mut chosen = Vec::new();
    for candidate in candidates(tx, team.team_id, most).await? {
        let more = taken.entry(candidate.pipeline_id).or_default();
        if !candidate.begun {
            if candidate.concurrency_limit.is_some_and(|limit| candidate.in_flight + *more >= limit) {
                continue;
            }
            *more += 1;
        }
        chosen.push(candidate.id);
    }
    Ok(chosen)
}

/// The owners who have something pending and a slot for it, with those of their teams for which that holds.
async fn owners(tx: &mut Tx, limit: i64) -> DomainResult<Vec<OwnerLoad>> {
    let teams: Vec<TeamLoad> = sql!(
        tx,
        fetch_all,
        query_as(
            "WITH pending AS (SELECT DISTINCT team_id FROM tasks WHERE state = 'pending'),
                  flying AS (
                      SELECT team_id, COUNT(*) AS n FROM (
                          SELECT team_id FROM tasks WHERE state IN ('admitted', 'leased')
                          UNION ALL SELECT team_id FROM tasks WHERE draining_until IS NOT NULL) AS tasks_in_flight
                      GROUP BY team_id)
             SELECT t.id AS team_id, t.max_running, COALESCE(f.n, 0) AS in_flight,
                    (t.deleted_at IS NULL AND p.team_id IS NOT NULL) AS pending,
                    COALESCE((SELECT m.user_id FROM memberships m WHERE m.team_id = t.id AND m.role = 'owner'
                              ORDER BY m.created_at, m.user_id LIMIT 1), t.id) AS owner_id
             FROM (SELECT team_id FROM pending UNION SELECT team_id FROM flying) AS a
             JOIN teams t ON t.id = a.team_id
             LEFT JOIN pending p ON p.team_id = t.id
             LEFT JOIN flying f ON f.team_id = t.id"
        )
    )?;
    let mut owners: HashMap<Uuid, OwnerLoad> = HashMap::new();
    for team in teams {
        let owner = owners.entry(team.owner_id).or_default();
        owner.in_flight += team.in_flight;
        owner.max_running = owner.max_running.max(team.max_running);
        if team.pending && team.in_flight < team.max_running {
            owner.teams.push(team);
        }
    }
    Ok(owners.into_values().filter(|owner| !owner.teams.is_empty() && owner.free_slots(limit) > 0).collect())
}

/// A team's oldest tasks whose pipelines have a slot and whose boards start something; at most `most`.
///
/// A run that has begun has its place among the runs of its pipeline until it ends, also while it waits or is
/// handed on, and one that was ended by others until its executor has stopped.
async fn candidates(tx: &mut Tx, team: TeamId, most: i64) -> DomainResult<Vec<PendingTask>> {
    Ok(sql!(
        tx,
        fetch_all,
        query_as(
            "WITH busy AS (
                 SELECT pipeline_id, COUNT(*) AS n FROM (
                     SELECT r.pipeline_id FROM runs r WHERE r.team_id = $1 AND r.status IN ('running', 'waiting')
                     UNION ALL
                     SELECT r.pipeline_id FROM tasks t JOIN runs r ON r.team_id = t.team_id AND r.id = t.run_id
                     WHERE t.team_id = $1 AND t.state IN ('admitted', 'leased') AND r.status = 'queued'
                     UNION ALL
                     SELECT r.pipeline_id FROM tasks t JOIN runs r ON r.team_id = t.team_id AND r.id = t.run_id
                     WHERE t.team_id = $1 AND t.draining_until IS NOT NULL) AS begun
                 GROUP BY pipeline_id)
             SELECT t.id, r.pipeline_id, r.concurrency_limit, COALESCE(b.n, 0) AS in_flight,
                    r.status <> 'queued' AS begun
             FROM tasks t
             JOIN runs r ON r.team_id = t.team_id AND r.id = t.run_id
             JOIN pipelines p ON p.team_id = r.team_id AND p.id = r.pipeline_id
             JOIN boards o ON o.team_id = p.team_id AND o.id = p.board_id
             LEFT JOIN busy b ON b.pipeline_id = r.pipeline_id
             WHERE t.team_id = $1 AND t.state = 'pending' AND o.deleted_at IS NULL AND p.deleted_at IS NULL
               AND (r.status <> 'queued' OR (
                    (r.concurrency_limit IS NULL OR COALESCE(b.n, 0) < r.concurrency_limit)
                    AND o.archived_at IS NULL))
             ORDER BY t.id LIMIT $2"
        )
        .bind(team)
        .bind(most)
    )?)
}
