//! Starting runs by the clock.
//!
//! A schedule's row holds when it fires next. What is due is claimed and moved on in the same transaction that starts
//! the run, and a run's `(schedule_id, fire_at)` is unique: however many look, a moment fires once. Times that passed
//! while nothing ran are a misfire: one run for all of them, for the newest (`run_once`), or none (`skip`). A moment
//! that came while the scheduler was busy with others is not a misfire: lateness is counted from when it could have
//! looked. A moment that comes while the schedule's last run is still active is left out (`overlap: skip`) or fires all
//! the same (`allow`).

use std::time::Duration;

use futures_util::{StreamExt as _, stream};
use restroy_sdk::{
    document::{Misfire, Overlap, Schedule},
    ids::{PipelineId, ScheduleId, TeamId},
    time::Timestamp,
};
use serde_json::Map;
use sqlx::{FromRow, query, query_as, query_scalar};

use super::cron::newest;
pub use super::cron::next_fire;
use super::{
    start::{self, Prepared},
    trigger::Starter,
};
use crate::{
    DomainError, DomainResult,
    scheduler_cursor::PUNCTUAL,
    sql,
    state::DomainState,
    store::{Durability, TeamTx},
};

/// How many schedules a pass looks at.
const STEP: usize = 100;
/// How many full passes follow each other before others have their turn.
const PASSES: usize = 5;
/// How long firing one schedule may take; then the others continue, and the next pass finds it as due.
const FIRE_TIMEOUT: Duration = Duration::from_secs(10);
/// How many schedules are fired at once, so that none waits for a slow one.
const AT_ONCE: usize = 8;

#[derive(Debug, FromRow)]
struct DueSchedule {
    id: ScheduleId,
    team_id: TeamId,
    pipeline_id: PipelineId,
    name: String,
    cron: String,
    timezone: String,
    misfire: Misfire,
    overlap: Overlap,
    next_fire_at: Timestamp,
}

impl DueSchedule {
    fn schedule(&self) -> Schedule {
        Schedule {
            cron: self.cron.clone(),
            timezone: Some(self.timezone.clone()),
            misfire: self.misfire,
            overlap: self.overlap,
        }
    }
}

/// Starts what is due. Gives how many runs. Teams take turns: of each the schedule that is due longest, then
/// of each the next, so that nobody waits behind all of another's.
pub async fn fire_due(state: &DomainState) -> DomainResult<usize> {
    let looked_until = state.schedules.begin_pass(state.ambient.now());
    let mut told = FireReport::default();
    let (mut started, mut done_until) = (0, looked_until);
    for _ in 0..PASSES {
        let now = state.ambient.now();
        let due = find_due(state, now).await?;
        let full = due.len() == STEP;
        let mut away = false;
        let fired = stream::iter(due).map(|due| async move {
            let fired = tokio::time::timeout(FIRE_TIMEOUT, fire(state, &due, now, looked_until)).await;
            (due, fired.unwrap_or_else(|_| Err(timeout_error())))
        });
        let mut fired = std::pin::pin!(fired.buffer_unordered(AT_ONCE));
        while let Some((due, fired)) = fired.next().await {
            match fired {
                Ok(FireOutcome::Started) => started += 1,
                Ok(FireOutcome::Nothing) => {}
                Ok(FireOutcome::Refused(error)) => told.add_refused(&due, error),
                // One schedule's trouble is not the others'.
                Err(error) => {
                    away |= error.is_temporary();
                    told.add_failed(&due, error);
                }
            }
        }
        if !full && !away {
            done_until = now;
        }
        if !full || away {
            break;
        }
        tokio::task::yield_now().await;
    }
    state.schedules.end_pass(state.ambient.now(), done_until);
    told.log();
    Ok(started)
}

fn timeout_error() -> DomainError {
    let seconds = FIRE_TIMEOUT.as_secs();
    DomainError::Internal(format!("firing the schedule took more than {seconds} s").into())
}

/// The next that are due, of every team the longest due first.
async fn find_due(state: &DomainState, now: Timestamp) -> DomainResult<Vec<DueSchedule>> {
    let mut tx = state.db.system_read().await?;
    // What lies on an archived board or below something deleted waits; its times pass by as misfires.
    Ok(sql!(
        &mut tx,
        fetch_all,
        query_as(
            "SELECT id, team_id, pipeline_id, name, cron, timezone, misfire, overlap, next_fire_at
             FROM (SELECT s.id, s.team_id, s.pipeline_id, s.name, s.cron, s.timezone, s.misfire, s.overlap,
                          s.next_fire_at,
                          row_number() OVER (PARTITION BY s.team_id ORDER BY s.next_fire_at, s.id) AS turn
                   FROM schedules s
                   JOIN pipelines p ON p.team_id = s.team_id AND p.id = s.pipeline_id AND p.deleted_at IS NULL
                   JOIN boards b ON b.team_id = p.team_id AND b.id = p.board_id AND b.deleted_at IS NULL
                   JOIN teams t ON t.id = s.team_id AND t.deleted_at IS NULL
                   WHERE s.next_fire_at <= $1 AND b.archived_at IS NULL) AS due
             ORDER BY turn, next_fire_at, id LIMIT $2"
        )
        .bind(now)
        .bind(i64::try_from(STEP).unwrap_or(i64::MAX))
    )?)
}

/// What a look could not start: the log has a line about all of them, with the first of each kind.
#[derive(Debug, Default)]
struct FireReport {
    refused: Option<(usize, PipelineId, DomainError)>,
    failed: Option<(usize, PipelineId, DomainError)>,
}

impl FireReport {
    fn add_refused(&mut self, due: &DueSchedule, error: DomainError) {
        self.refused.get_or_insert((0, due.pipeline_id, error)).0 += 1;
    }

    fn add_failed(&mut self, due: &DueSchedule, error: DomainError) {
        self.failed.get_or_insert((0, due.pipeline_id, error)).0 += 1;
    }

    fn log(self) {
        if let Some((schedules, pipeline_id, error)) = self.refused {
            tracing::warn!(schedules, %pipeline_id, %error, "scheduled runs cannot start, such as one of this pipeline");
        }
        if let Some((schedules, pipeline_id, error)) = self.failed {
            tracing::error!(schedules, %pipeline_id, %error, "schedules did not fire, such as one of this pipeline");
        }
    }
}

/// What became of a moment.
enum FireOutcome {
    /// A run was started.
    Started,
    /// It was left out, or fired by somebody else.
    Nothing,
    /// It could not be started and has passed.
    Refused(DomainError),
}

/// Fires a schedule for the newest of its moments that have come. What came before `looked_until` by more
/// than a moment is late.
async fn fire(
    state: &DomainState,
    due: &DueSchedule,
    now: Timestamp,
    looked_until: Timestamp,
) -> DomainResult<FireOutcome> {
    let schedule = due.schedule();
    let (fire_at, next) = newest(&schedule, due.next_fire_at, now);
    let late = looked_until.since(fire_at) > PUNCTUAL;
    let prepared = if late && schedule.misfire == Misfire::Skip { Ok(None) } else { prepare(state, due).await? };
    let mut tx = state.db.begin_team_exclusive(due.team_id, Durability::Fsync).await?;
    if !advance(&mut tx, due, next).await? {
        // Somebody else fired it, or it was published anew.
        return Ok(FireOutcome::Nothing);
    }
    let prepared = match prepared {
        Ok(Some(prepared)) => prepared,
        Ok(None) => {
            tx.commit().await?;
            return Ok(FireOutcome::Nothing);
        }
        Err(refused) => {
            tx.commit().await?;
            return Ok(FireOutcome::Refused(refused));
        }
    };
    if schedule.overlap == Overlap::Skip && has_open_run(&mut tx, due.id).await? {
        tracing::debug!(schedule = %due.name, pipeline_id = %due.pipeline_id, "a scheduled run is skipped: the last \
            one has not ended");
        tx.commit().await?;
        return Ok(FireOutcome::Nothing);
    }
    let starter = Starter::Schedule { id: due.id, name: due.name.clone(), due_at: fire_at };
    match start::start(state, &mut tx, prepared, &starter).await {
        Ok(started) => {
            started.announcements.commit(tx, state).await?;
            Ok(FireOutcome::Started)
        }
        // The database was busy or away, or another version was just published: the next pass finds the
        // schedule as due as this one did.
        Err(error) if error.is_temporary() => Err(error),
        Err(error) => {
            // The moment passes all the same: it is not tried again every second.
            drop(tx);
            let mut tx = state.db.begin_team_exclusive(due.team_id, Durability::Commit).await?;
            advance(&mut tx, due, next).await?;
            tx.commit().await?;
            Ok(FireOutcome::Refused(error))
        }
    }
}

/// What can be started; refused when the pipeline cannot be started without a person: it is not published
/// any more, or its parameters need values.
async fn prepare(state: &DomainState, due: &DueSchedule) -> DomainResult<Result<Option<Prepared>, DomainError>> {
    let tx = state.db.team_read(due.team_id).await?;
    match start::prepare(state, tx, due.pipeline_id, Map::new()).await {
        Ok(prepared) => Ok(Ok(Some(prepared))),
        Err(error)
            if matches!(
                error,
                DomainError::InvalidParams(_)
                    | DomainError::Conflict(_)
                    | DomainError::NotFound
                    | DomainError::TooLarge { .. }
            ) =>
        {
            Ok(Err(error))
        }
        Err(error) => Err(error),
    }
}

/// Sets when it fires next, if it is still as it was read.
async fn advance(tx: &mut TeamTx, due: &DueSchedule, next: Option<Timestamp>) -> DomainResult<bool> {
    let team = tx.team();
    let changed = sql!(
        &mut **tx,
        execute,
        query("UPDATE schedules SET next_fire_at = $4 WHERE team_id = $1 AND id = $2 AND next_fire_at = $3")
            .bind(team)
            .bind(due.id)
            .bind(due.next_fire_at)
            .bind(next)
    )?;
    Ok(changed.rows_affected() > 0)
}

/// Whether a run of the schedule has not ended.
async fn has_open_run(tx: &mut TeamTx, schedule: ScheduleId) -> DomainResult<bool> {
    let team = tx.team();
    let found: bool = sql!(
        &mut **tx,
        fetch_one,
        query_scalar(
            "SELECT EXISTS (SELECT 1 FROM runs WHERE team_id = $1 AND status IN ('queued', 'running', 'waiting')
                            AND schedule_id = $2)"
        )
        .bind(team)
        .bind(schedule)
    )?;
    Ok(found)
}
