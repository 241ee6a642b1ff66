//! Removal of boards and pipelines that were deleted a while ago, with all that lies below them. In
//! small steps, each in a transaction of its own: a pipeline can have millions of rows, and none of its
//! tables is emptied in one statement.

use std::time::Duration;

use restroy_sdk::{
    ids::{BoardId, Id, PipelineId, TeamId},
    time::Timestamp,
};
use serde_json::json;
use sqlx::{query, query_as, query_scalar};
use uuid::Uuid;

use crate::{
    error::ApiResult,
    sql,
    state::AppState,
    store::{TeamTx, audit},
};

/// How long what was deleted can be restored.
pub const KEPT: Duration = Duration::from_hours(30 * 24);
/// How much later it goes: whoever restores it at the last moment does not meet the purge.
const MARGIN: Duration = Duration::from_hours(1);
/// How many things a step looks at.
const THINGS: i64 = 20;

/// The statement that removes at most `$3` rows of a table that belong to runs of the pipeline `$2`.
macro_rules! of_runs {
    ($table:literal, $($key:literal),+) => {
        concat!(
            "DELETE FROM ", $table, " WHERE team_id = $1 AND (", of_runs!(@list "", $($key),+), ") IN (SELECT ",
            of_runs!(@list "x.", $($key),+), " FROM ", $table,
            " x JOIN runs r ON r.team_id = x.team_id AND r.id = x.run_id
             WHERE r.team_id = $1 AND r.pipeline_id = $2 LIMIT $3)"
        )
    };
    (@list $prefix:literal, $first:literal $(, $key:literal)*) => {
        concat!($prefix, $first $(, ", ", $prefix, $key)*)
    };
}

/// What lies below a pipeline, the lowest first, and how many rows go at once: fewer where a row may be
/// large or takes others along.
const BELOW_PIPELINE: [(&str, i64); 11] = [
    (of_runs!("run_events", "run_id", "first_seq"), 200),
    (of_runs!("host_calls", "run_id", "key"), 500),
    (of_runs!("artifacts", "id"), 20),
    (of_runs!("step_runs", "id"), 200),
    (of_runs!("secret_reads", "run_id", "fence", "script_id", "key"), 500),
    (of_runs!("outbox", "id"), 200),
    (of_runs!("tasks", "id"), 500),
    (
        "DELETE FROM runs WHERE team_id = $1 AND id IN
             (SELECT id FROM runs WHERE team_id = $1 AND pipeline_id = $2 LIMIT $3)",
        500,
    ),
    (
        "DELETE FROM configurations WHERE team_id = $1 AND id IN
             (SELECT c.id FROM configurations c JOIN scripts s ON s.team_id = c.team_id AND s.id = c.script_id
              WHERE c.team_id = $1 AND s.pipeline_id = $2 LIMIT $3)",
        500,
    ),
    (
        "DELETE FROM pipeline_versions WHERE team_id = $1 AND id IN
             (SELECT id FROM pipeline_versions WHERE team_id = $1 AND pipeline_id = $2 LIMIT $3)",
        20,
    ),
    (
        "DELETE FROM scripts WHERE team_id = $1 AND id IN
             (SELECT id FROM scripts WHERE team_id = $1 AND pipeline_id = $2 LIMIT $3)",
        500,
    ),
];

/// Runs of pipelines that were put onto another board since belong there: all of them have ended, since a
/// pipeline with others does not move.
const MOVED_RUNS: &str = "UPDATE runs SET board_id =
         (SELECT p.board_id FROM pipelines p WHERE p.team_id = runs.team_id AND p.id = runs.pipeline_id)
     WHERE team_id = $1 AND id IN (SELECT id FROM runs WHERE team_id = $1 AND board_id = $2 LIMIT $3)";
/// What the scripts of a board kept.
const KEYS: &str = "DELETE FROM kv_entries WHERE team_id = $1 AND board_id = $2 AND key IN
         (SELECT key FROM kv_entries WHERE team_id = $1 AND board_id = $2 LIMIT $3)";

/// Takes one step. Gives how many rows it named; nothing is left when that is none.
pub async fn step(state: &AppState) -> ApiResult<u64> {
    let before = state.ambient.now().before(KEPT + MARGIN);
    let mut removed = 0;
    for (team, pipeline) in pipelines(state, before).await? {
        removed += remove_pipeline(state, team, pipeline).await?;
    }
    for (team, board) in boards(state, before).await? {
        removed += remove_board(state, team, board).await?;
    }
    Ok(removed)
}

/// Pipelines whose time is over: their own, or that of their board.
async fn pipelines(state: &AppState, before: Timestamp) -> ApiResult<Vec<(TeamId, PipelineId)>> {
    let mut tx = state.db.system_read().await?;
    let mut found: Vec<(TeamId, PipelineId)> = sql!(
        &mut tx,
        fetch_all,
        query_as("SELECT team_id, id FROM pipelines WHERE deleted_at <= $1 LIMIT $2").bind(before).bind(THINGS)
    )?;
    let on_boards: Vec<(TeamId, PipelineId)> = sql!(
        &mut tx,
        fetch_all,
        query_as(
            "SELECT p.team_id, p.id FROM boards b JOIN pipelines p ON p.team_id = b.team_id AND p.board_id = b.id
             WHERE b.deleted_at <= $1 LIMIT $2"
        )
        .bind(before)
        .bind(THINGS)
    )?;
    found.extend(on_boards.into_iter().filter(|other| !found.contains(other)).collect::<Vec<_>>());
    Ok(found)
}

/// Boards whose time is over and that have no pipelines any more.
async fn boards(state: &AppState, before: Timestamp) -> ApiResult<Vec<(TeamId, BoardId)>> {
    let mut tx = state.db.system_read().await?;
    Ok(sql!(
        &mut tx,
        fetch_all,
        query_as(
            "SELECT b.team_id, b.id FROM boards b
             WHERE b.deleted_at <= $1
               AND NOT EXISTS (SELECT 1 FROM pipelines p WHERE p.team_id = b.team_id AND p.board_id = b.id)
             LIMIT $2"
        )
        .bind(before)
        .bind(THINGS)
    )?)
}

async fn remove_pipeline(state: &AppState, team: TeamId, pipeline: PipelineId) -> ApiResult<u64> {
    let mut removed = 0;
    for (statement, most) in BELOW_PIPELINE {
        let rows = change(state.db.team_write(team).await?, statement, pipeline.uuid(), most).await?;
        removed += rows;
        if rows >= most.unsigned_abs() {
            return Ok(removed);
        }
    }
    let statement = "DELETE FROM pipelines WHERE team_id = $1 AND id = $2 RETURNING name";
    last(state, team, statement, pipeline.uuid(), ("pipeline.purge", "pipeline")).await?;
    Ok(removed + 1 + sources(state, team).await?)
}

async fn remove_board(state: &AppState, team: TeamId, board: BoardId) -> ApiResult<u64> {
    const MOST: i64 = 500;
    let moved = change(state.db.team_write(team).await?, MOVED_RUNS, board.uuid(), MOST).await?;
    if moved >= MOST.unsigned_abs() {
        return Ok(moved);
    }
    let mut tx = state.db.team_write(team).await?;
    // Held first, as by whoever writes keys there.
    tx.lock_board(board).await?;
    let keys = change(tx, KEYS, board.uuid(), MOST).await?;
    if keys >= MOST.unsigned_abs() {
        return Ok(moved + keys);
    }
    let statement = "DELETE FROM boards WHERE team_id = $1 AND id = $2 RETURNING name";
    last(state, team, statement, board.uuid(), ("board.purge", "board")).await?;
    Ok(moved + keys + 1)
}

/// Removes the thing itself, when nothing lies below it any more, and notes that it is gone for good.
async fn last(
    state: &AppState,
    team: TeamId,
    statement: &'static str,
    id: Uuid,
    (action, kind): (&str, &str),
) -> ApiResult<()> {
    let mut tx = state.db.team_write(team).await?;
    let name: Option<String> = sql!(&mut *tx, fetch_optional, query_scalar(statement).bind(team).bind(id))?;
    if let Some(name) = name {
        let entry = audit::Entry::new(action, kind, id).before(json!({ "name": name }));
        audit::by_time(&mut tx, &state.ambient, entry).await?;
    }
    Ok(tx.commit().await?)
}

/// Removes the team's sources that no version of a pipeline or of a library module consists of any more.
/// Alone, since whoever writes a version may be about to use one of them.
async fn sources(state: &AppState, team: TeamId) -> ApiResult<u64> {
    const MOST: i64 = 500;
    let mut removed = 0;
    loop {
        let mut tx = state.db.team_write_alone(team).await?;
        let rows = sql!(
            &mut *tx,
            execute,
            query(
                "DELETE FROM script_versions WHERE team_id = $1 AND id IN
                     (SELECT s.id FROM script_versions s
                      WHERE s.team_id = $1
                        AND NOT EXISTS (SELECT 1 FROM pipeline_version_scripts p WHERE p.script_version_id = s.id)
                        AND NOT EXISTS (SELECT 1 FROM library_versions l WHERE l.script_version_id = s.id)
                      LIMIT $2)"
            )
            .bind(team)
            .bind(MOST)
        )?
        .rows_affected();
        tx.commit().await?;
        removed += rows;
        if rows < MOST.unsigned_abs() {
            return Ok(removed);
        }
    }
}

/// Runs a statement about at most so many rows; how many they were.
async fn change(mut tx: TeamTx, statement: &'static str, of: Uuid, most: i64) -> ApiResult<u64> {
    let team = tx.team();
    let rows = sql!(&mut *tx, execute, query(statement).bind(team).bind(of).bind(most))?.rows_affected();
    tx.commit().await?;
    Ok(rows)
}
