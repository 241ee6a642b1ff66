//! Starting runs by the clock.
//!
//! A schedule's row holds when it fires next. What is due is claimed and moved on in the same
//! transaction that starts the run, and a run's `(schedule_id, fire_at)` is unique: however many
//! look, a moment fires once. Times that passed while nothing ran are a misfire: one run for all of
//! them, for the newest (`run_once`), or none (`skip`). A moment that comes while the schedule's last run
//! still goes on is left out (`overlap: skip`) or fires all the same (`allow`).

use std::time::Duration;

use restroy_sdk::{
    document::{Misfire, Overlap, Schedule},
    ids::{PipelineId, TeamId},
    problem::ProblemCode,
    time::Timestamp,
};
use serde_json::Map;
use sqlx::{FromRow, query, query_as, query_scalar};
use uuid::Uuid;

pub use super::cron::next_fire;
use super::start::{self, Prepared, Starter};
use crate::{error::ApiResult, sql, state::AppState, store::TeamTx};

/// How many schedules a pass looks at.
const STEP: i64 = 100;
/// How late a moment may be fired without being a misfire.
const PUNCTUAL: Duration = Duration::from_mins(1);
/// How many missed moments are counted, to find the newest of them.
const MAX_MISSED: usize = 10_000;

#[derive(Debug, FromRow)]
struct Due {
    id: Uuid,
    team_id: TeamId,
    pipeline_id: PipelineId,
    name: String,
    cron: String,
    timezone: String,
    misfire: String,
    overlap: String,
    next_fire_at: Timestamp,
}

impl Due {
    fn schedule(&self) -> Schedule {
        Schedule {
            cron: self.cron.clone(),
            timezone: Some(self.timezone.clone()),
            misfire: if self.misfire == "skip" { Misfire::Skip } else { Misfire::RunOnce },
            overlap: if self.overlap == "allow" { Overlap::Allow } else { Overlap::Skip },
        }
    }
}

/// Starts what is due. Gives how many runs.
pub async fn fire_due(state: &AppState) -> ApiResult<usize> {
    let now = state.ambient.now();
    let mut tx = state.db.system_read().await?;
    // What lies on an archived board or below something deleted waits; its times pass by as misfires.
    let due: Vec<Due> = sql!(
        &mut tx,
        fetch_all,
        query_as(
            "SELECT s.id, s.team_id, s.pipeline_id, s.name, s.cron, s.timezone, s.misfire, s.overlap, s.next_fire_at
             FROM schedules s
             JOIN pipelines p ON p.team_id = s.team_id AND p.id = s.pipeline_id AND p.deleted_at IS NULL
             JOIN boards b ON b.team_id = p.team_id AND b.id = p.board_id AND b.deleted_at IS NULL
             JOIN teams t ON t.id = s.team_id AND t.deleted_at IS NULL
             WHERE s.next_fire_at <= $1 AND b.archived_at IS NULL
             ORDER BY s.next_fire_at LIMIT $2"
        )
        .bind(now)
        .bind(STEP)
    )?;
    drop(tx);
    let mut started = 0;
    for due in due {
        match fire(state, &due, now).await {
            Ok(true) => started += 1,
            Ok(false) => {}
            // One schedule's trouble is not the others'.
            Err(error) => {
                tracing::error!(schedule = %due.name, pipeline_id = %due.pipeline_id, problem = %error.0, "a schedule did not fire");
            }
        }
    }
    Ok(started)
}

/// Fires a schedule for the newest of its moments that have come; whether that started a run.
async fn fire(state: &AppState, due: &Due, now: Timestamp) -> ApiResult<bool> {
    let schedule = due.schedule();
    let (fire_at, next) = newest(&schedule, due.next_fire_at, now);
    let late = now.since(fire_at) > PUNCTUAL;
    let prepared = if late && schedule.misfire == Misfire::Skip { None } else { prepare(state, due).await? };
    let mut tx = state.db.team_write_alone_durably(due.team_id).await?;
    if !move_on(&mut tx, due, next).await? {
        // Somebody else fired it, or it was published anew.
        return Ok(false);
    }
    let Some(prepared) = prepared else {
        tx.commit().await?;
        return Ok(false);
    };
    if schedule.overlap == Overlap::Skip && goes_on(&mut tx, due.id).await? {
        tracing::info!(schedule = %due.name, pipeline_id = %due.pipeline_id, "a scheduled run is left out: the last one goes on");
        tx.commit().await?;
        return Ok(false);
    }
    match start::start(state, &mut tx, prepared, Starter::Schedule { id: due.id, fire_at }).await {
        Ok(started) => {
            tx.commit().await?;
            started.announce(state);
            Ok(true)
        }
        // The database was busy or away: the next pass finds the schedule as due as this one did.
        Err(error) if error.code() == ProblemCode::Unavailable => Err(error),
        Err(error) => {
            // The moment passes all the same: it is not tried again every second.
            drop(tx);
            let mut tx = state.db.team_write_alone(due.team_id).await?;
            move_on(&mut tx, due, next).await?;
            tx.commit().await?;
            Err(error)
        }
    }
}

/// The newest moment that has come, and the one that follows.
fn newest(schedule: &Schedule, first: Timestamp, now: Timestamp) -> (Timestamp, Option<Timestamp>) {
    let mut newest = first;
    for _ in 0..MAX_MISSED {
        match next_fire(schedule, newest) {
            Some(next) if next <= now => newest = next,
            next => return (newest, next),
        }
    }
    // It has missed very many: from now on.
    (newest, next_fire(schedule, now))
}

/// What can be started, or nothing when the pipeline cannot be started without a person: it is not
/// published any more, or its parameters need values.
async fn prepare(state: &AppState, due: &Due) -> ApiResult<Option<Prepared>> {
    let tx = state.db.team_read(due.team_id).await?;
    match start::prepare(tx, due.pipeline_id, Map::new()).await {
        Ok(prepared) => Ok(Some(prepared)),
        Err(error)
            if matches!(error.code(), ProblemCode::InvalidParams | ProblemCode::Conflict | ProblemCode::NotFound) =>
        {
            tracing::warn!(schedule = %due.name, pipeline_id = %due.pipeline_id, problem = %error.0, "a scheduled run cannot start");
            Ok(None)
        }
        Err(error) => Err(error),
    }
}

/// Sets when it fires next, if it is still as it was read.
async fn move_on(tx: &mut TeamTx, due: &Due, next: Option<Timestamp>) -> ApiResult<bool> {
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
async fn goes_on(tx: &mut TeamTx, schedule: Uuid) -> ApiResult<bool> {
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
