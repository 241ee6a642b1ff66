//! The schedules that belong to a pipeline's published document.

use indexmap::IndexMap;
use restroy_sdk::{
    document::{Misfire, Overlap, Schedule},
    ids::{BoardId, PipelineId},
    time::{Ambient, Timestamp},
};
use sqlx::{query, query_as, query_scalar, types::Uuid};

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
/// which may have come and be about to fire.
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
        let id: Uuid = ambient.uuid();
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
            .bind(match schedule.misfire {
                Misfire::RunOnce => "run_once",
                Misfire::Skip => "skip",
            })
            .bind(match schedule.overlap {
                Overlap::Skip => "skip",
                Overlap::Allow => "allow",
            })
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
pub async fn list_stopped(tx: &mut TeamTx, of: ScheduleOwner) -> Result<Vec<(Uuid, Schedule)>, sqlx::Error> {
    let (pipeline, board) = match of {
        ScheduleOwner::Pipeline(id) => (Some(id), None),
        ScheduleOwner::Board(id) => (None, Some(id)),
    };
    let team = tx.team();
    let rows: Vec<(Uuid, String, String, String, String)> = sql!(
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
    let schedule = |(id, cron, timezone, misfire, overlap): (Uuid, String, String, String, String)| {
        let misfire = if misfire == "skip" { Misfire::Skip } else { Misfire::RunOnce };
        let overlap = if overlap == "allow" { Overlap::Allow } else { Overlap::Skip };
        (id, Schedule { cron, timezone: Some(timezone), misfire, overlap })
    };
    Ok(rows.into_iter().map(schedule).collect())
}

/// A schedule fires next at that moment.
pub async fn resume(tx: &mut TeamTx, id: Uuid, next: Option<Timestamp>) -> Result<(), sqlx::Error> {
    let team = tx.team();
    sql!(
        &mut **tx,
        execute,
        query("UPDATE schedules SET next_fire_at = $3 WHERE team_id = $1 AND id = $2").bind(team).bind(id).bind(next)
    )?;
    Ok(())
}
