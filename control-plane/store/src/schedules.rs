//! The schedules that belong to a pipeline's published document.

use indexmap::IndexMap;
use restroy_sdk::{
    document::{Misfire, Overlap, Schedule},
    ids::{BoardId, PipelineId, RunId, ScheduleId},
    status::RunStatus,
    time::{Ambient, Timestamp},
};
use sqlx::{FromRow, query, query_as, query_scalar};

use super::TeamTx;
use crate::sql;

/// A schedule and when it fires first; never, where there is no such moment.
#[derive(Debug)]
pub struct Upcoming {
    /// The schedule.
    pub schedule: Schedule,
    /// Its first moment.
    pub first: Option<Timestamp>,
}

/// How many schedules the team's other pipelines have; those of deleted ones, which may come back, among
/// them.
pub async fn count_of_others(tx: &mut TeamTx, pipeline: PipelineId) -> Result<i64, sqlx::Error> {
    let team = tx.team();
    sql!(
        &mut **tx,
        fetch_one,
        query_scalar("SELECT count(*) FROM schedules WHERE team_id = $1 AND pipeline_id <> $2")
            .bind(team)
            .bind(pipeline)
    )
}

/// Makes the pipeline's schedules exactly those of a document. One that keeps its name keeps its
/// id: what it fired already it does not fire again. One that keeps its times keeps its next moment as well,
/// which may have come and be about to fire. One that is paused stays paused.
pub async fn replace(
    tx: &mut TeamTx,
    ambient: &Ambient,
    pipeline: PipelineId,
    schedules: &IndexMap<String, Upcoming>,
) -> Result<(), sqlx::Error> {
    let team = tx.team();
    let now = ambient.now();
    let present: Vec<String> = sql!(
        &mut **tx,
        fetch_all,
        query_scalar("SELECT name FROM schedules WHERE team_id = $1 AND pipeline_id = $2").bind(team).bind(pipeline)
    )?;
    for name in present.iter().filter(|name| !schedules.contains_key(*name)) {
        sql!(
            &mut **tx,
            execute,
            query("DELETE FROM schedules WHERE team_id = $1 AND pipeline_id = $2 AND name = $3")
                .bind(team)
                .bind(pipeline)
                .bind(name)
        )?;
    }
    for (name, Upcoming { schedule, first }) in schedules {
        let id: ScheduleId = ambient.id();
        sql!(
            &mut **tx,
            execute,
            query(
                "INSERT INTO schedules
                     (id, team_id, pipeline_id, name, cron, timezone, misfire, overlap, next_fire_at, created_at)
                 VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)
                 ON CONFLICT (pipeline_id, name) DO UPDATE SET
                     cron = excluded.cron, timezone = excluded.timezone, misfire = excluded.misfire,
                     overlap = excluded.overlap,
                     next_fire_at = CASE
                         WHEN schedules.paused_at IS NOT NULL THEN NULL
                         WHEN schedules.cron = excluded.cron AND schedules.timezone = excluded.timezone
                         THEN COALESCE(schedules.next_fire_at, excluded.next_fire_at)
                         ELSE excluded.next_fire_at END"
            )
            .bind(id)
            .bind(team)
            .bind(pipeline)
            .bind(name)
            .bind(&schedule.cron)
            .bind(schedule.timezone.as_deref().unwrap_or("UTC"))
            .bind(schedule.misfire)
            .bind(schedule.overlap)
            .bind(*first)
            .bind(now)
        )?;
    }
    Ok(())
}

/// The pipeline's schedules fire no more.
pub async fn stop(tx: &mut TeamTx, pipeline: PipelineId) -> Result<(), sqlx::Error> {
    let team = tx.team();
    sql!(
        &mut **tx,
        execute,
        query("UPDATE schedules SET next_fire_at = NULL WHERE team_id = $1 AND pipeline_id = $2")
            .bind(team)
            .bind(pipeline)
    )?;
    Ok(())
}

/// The schedules of the board's pipelines fire no more.
pub async fn stop_on_board(tx: &mut TeamTx, board: BoardId) -> Result<(), sqlx::Error> {
    let team = tx.team();
    sql!(
        &mut **tx,
        execute,
        query(
            "UPDATE schedules SET next_fire_at = NULL WHERE team_id = $1 AND pipeline_id IN (
                 SELECT id FROM pipelines WHERE team_id = $1 AND board_id = $2)"
        )
        .bind(team)
        .bind(board)
    )?;
    Ok(())
}

/// Whose schedules.
#[derive(Debug, Clone, Copy)]
pub enum ScheduleOwner {
    /// A pipeline's.
    Pipeline(PipelineId),
    /// Those of the board's pipelines that are not deleted.
    Board(BoardId),
}

/// The schedules as they are written down, with their ids.
pub async fn list_stopped(tx: &mut TeamTx, of: ScheduleOwner) -> Result<Vec<(ScheduleId, Schedule)>, sqlx::Error> {
    let (pipeline, board) = match of {
        ScheduleOwner::Pipeline(id) => (Some(id), None),
        ScheduleOwner::Board(id) => (None, Some(id)),
    };
    let team = tx.team();
    let rows: Vec<(ScheduleId, String, String, Misfire, Overlap)> = sql!(
        &mut **tx,
        fetch_all,
        query_as(
            "SELECT s.id, s.cron, s.timezone, s.misfire, s.overlap
             FROM schedules s JOIN pipelines p ON p.team_id = s.team_id AND p.id = s.pipeline_id
             WHERE s.team_id = $1 AND (p.id = $2 OR (p.board_id = $3 AND p.deleted_at IS NULL))"
        )
        .bind(team)
        .bind(pipeline)
        .bind(board)
    )?;
    let schedule =
        |(id, cron, timezone, misfire, overlap)| (id, Schedule { cron, timezone: Some(timezone), misfire, overlap });
    Ok(rows.into_iter().map(schedule).collect())
}

/// A schedule that was stopped fires next at that moment, unless it is paused.
pub async fn resume(tx: &mut TeamTx, id: ScheduleId, next: Option<Timestamp>) -> Result<(), sqlx::Error> {
    let team = tx.team();
    sql!(
        &mut **tx,
        execute,
        query("UPDATE schedules SET next_fire_at = $3 WHERE team_id = $1 AND id = $2 AND paused_at IS NULL")
            .bind(team)
            .bind(id)
            .bind(next)
    )?;
    Ok(())
}

/// A schedule as it is stored, and the last run that it started.
#[derive(Debug, Clone, FromRow)]
pub struct StoredSchedule {
    /// The schedule's id.
    pub id: ScheduleId,
    /// The pipeline that it belongs to.
    pub pipeline_id: PipelineId,
    /// Its name in the document.
    pub name: String,
    /// Its times.
    pub cron: String,
    /// The zone of its times.
    pub timezone: String,
    /// What happens to times that passed while nothing ran.
    pub misfire: Misfire,
    /// What happens while the last run is active.
    pub overlap: Overlap,
    /// When it was paused; none while it is enabled.
    pub paused_at: Option<Timestamp>,
    /// When it fires next; none while it is paused or its board is archived.
    pub next_fire_at: Option<Timestamp>,
    /// The last run that it started.
    pub run_id: Option<RunId>,
    /// The state of that run.
    pub run_status: Option<RunStatus>,
    /// When that run was due.
    pub run_due_at: Option<Timestamp>,
}

impl StoredSchedule {
    /// As a document has it.
    pub fn schedule(&self) -> Schedule {
        Schedule {
            cron: self.cron.clone(),
            timezone: Some(self.timezone.clone()),
            misfire: self.misfire,
            overlap: self.overlap,
        }
    }
}

/// The pipeline's schedules, sorted by name.
pub async fn list(tx: &mut TeamTx, pipeline: PipelineId) -> Result<Vec<StoredSchedule>, sqlx::Error> {
    select(tx, pipeline, None).await
}

/// The pipeline's schedule of that name.
pub async fn find(tx: &mut TeamTx, pipeline: PipelineId, name: &str) -> Result<Option<StoredSchedule>, sqlx::Error> {
    Ok(select(tx, pipeline, Some(name)).await?.pop())
}

async fn select(tx: &mut TeamTx, pipeline: PipelineId, name: Option<&str>) -> Result<Vec<StoredSchedule>, sqlx::Error> {
    let team = tx.team();
    sql!(
        &mut **tx,
        fetch_all,
        query_as(
            "SELECT s.id, s.pipeline_id, s.name, s.cron, s.timezone, s.misfire, s.overlap, s.paused_at,
                    CASE WHEN b.archived_at IS NULL THEN s.next_fire_at END AS next_fire_at,
                    r.id AS run_id, r.status AS run_status, r.fire_at AS run_due_at
             FROM schedules s
             JOIN pipelines p ON p.team_id = s.team_id AND p.id = s.pipeline_id
             JOIN boards b ON b.team_id = p.team_id AND b.id = p.board_id
             LEFT JOIN runs r ON r.team_id = s.team_id AND r.id = (
                 SELECT last.id FROM runs last
                 WHERE last.team_id = s.team_id AND last.schedule_id = s.id AND last.expired_at IS NULL
                 ORDER BY last.fire_at DESC LIMIT 1)
             WHERE s.team_id = $1 AND s.pipeline_id = $2 AND ($3 IS NULL OR s.name = $3)
             ORDER BY s.name"
        )
        .bind(team)
        .bind(pipeline)
        .bind(name)
    )
}

/// Pauses a schedule.
pub async fn pause(tx: &mut TeamTx, id: ScheduleId, now: Timestamp) -> Result<(), sqlx::Error> {
    let team = tx.team();
    sql!(
        &mut **tx,
        execute,
        query("UPDATE schedules SET paused_at = $3, next_fire_at = NULL WHERE team_id = $1 AND id = $2")
            .bind(team)
            .bind(id)
            .bind(now)
    )?;
    Ok(())
}

/// Enables a paused schedule, which fires next at that moment.
pub async fn unpause(tx: &mut TeamTx, id: ScheduleId, next: Option<Timestamp>) -> Result<(), sqlx::Error> {
    let team = tx.team();
    sql!(
        &mut **tx,
        execute,
        query("UPDATE schedules SET paused_at = NULL, next_fire_at = $3 WHERE team_id = $1 AND id = $2")
            .bind(team)
            .bind(id)
            .bind(next)
    )?;
    Ok(())
}
