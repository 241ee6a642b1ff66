//! The schedules that belong to a pipeline's published document.

use indexmap::IndexMap;
use restroy_sdk::{
    document::{Misfire, Overlap, Schedule},
    ids::{BoardId, PipelineId},
    time::{Ambient, Timestamp},
};
use sqlx::{query, query_scalar, types::Uuid};

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

/// Makes the pipeline's schedules exactly those of a document. One that keeps its name keeps its
/// id: what it fired already it does not fire again.
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
                     overlap = excluded.overlap, next_fire_at = excluded.next_fire_at"
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

/// The schedules of all the team's pipelines fire no more.
pub async fn stop_in_team(tx: &mut TeamTx) -> Result<(), sqlx::Error> {
    let team = tx.team();
    let statement = "UPDATE schedules SET next_fire_at = NULL WHERE team_id = $1";
    sql!(&mut **tx, execute, query(statement).bind(team))?;
    Ok(())
}
