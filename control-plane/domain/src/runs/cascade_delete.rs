//! How what was deleted a while ago is removed: from below, in small steps, each in a transaction of its own. A
//! pipeline can have millions of rows, and a team many pipelines: none of its tables is emptied in one statement.
//! Each function takes a step with one thing; whoever calls it continues with the next thing, and comes back.

use restroy_sdk::ids::{BoardId, Id, PipelineId, TeamId};
use serde_json::json;
use sqlx::{query, query_scalar};
use uuid::Uuid;

use crate::{
    sql,
    state::DomainState,
    store::{TeamTx, audit, failure},
};

/// How many pipelines of a board or of a team a step looks at.
const PIPELINES: i64 = 20;

/// A statement that removes at most `$3` rows of the team `$1` that belong to the thing `$2`, and how many go at
/// once: fewer where a row may be large or takes others along.
type CascadeStep = (&'static str, i64);

/// Removes rows that belong to the oldest runs of the pipeline `$2`. Only so many of them, whose rows below them
/// go first: what is left of a long history is not looked through again and again.
macro_rules! of_runs {
    ($table:literal, $($key:literal),+) => {
        concat!(
            "DELETE FROM ", $table, " WHERE team_id = $1 AND (", of_runs!(@list "", $($key),+), ") IN (SELECT ",
            of_runs!(@list "x.", $($key),+), " FROM ", $table, " x JOIN (
                 SELECT id FROM runs WHERE team_id = $1 AND pipeline_id = $2 ORDER BY id LIMIT 50) r
             ON r.id = x.run_id WHERE x.team_id = $1 LIMIT $3)"
        )
    };
    (@list $prefix:literal, $first:literal $(, $key:literal)*) => {
        concat!($prefix, $first $(, ", ", $prefix, $key)*)
    };
}

/// What lies below a pipeline, the lowest first.
const BELOW_PIPELINE: [CascadeStep; 11] = [
    (of_runs!("run_events", "run_id", "first_seq"), 200),
    (of_runs!("host_calls", "run_id", "key"), 500),
    (of_runs!("artifacts", "id"), 20),
    (of_runs!("step_runs", "id"), 200),
    (of_runs!("secret_reads", "run_id", "fence", "script_id", "key"), 500),
    (of_runs!("outbox", "id"), 200),
    (of_runs!("tasks", "id"), 500),
    (
        // The same runs, of which nothing is left now.
        "DELETE FROM runs WHERE team_id = $1 AND id IN
             (SELECT id FROM runs WHERE team_id = $1 AND pipeline_id = $2 ORDER BY id LIMIT $3)",
        50,
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
const MOVED_RUNS: CascadeStep = (
    "UPDATE runs SET board_id =
         (SELECT p.board_id FROM pipelines p WHERE p.team_id = runs.team_id AND p.id = runs.pipeline_id)
     WHERE team_id = $1 AND id IN (SELECT id FROM runs WHERE team_id = $1 AND board_id = $2 LIMIT $3)",
    500,
);
/// What the scripts of a board kept.
const KEYS: CascadeStep = (
    "DELETE FROM kv_entries WHERE team_id = $1 AND board_id = $2 AND key IN
         (SELECT key FROM kv_entries WHERE team_id = $1 AND board_id = $2 LIMIT $3)",
    500,
);
const VALUES_OF_BOARD: CascadeStep = (
    "DELETE FROM configurations WHERE team_id = $1 AND id IN
         (SELECT id FROM configurations WHERE team_id = $1 AND board_id = $2 LIMIT $3)",
    500,
);

/// What a team consists of beside its boards, in an order in which nothing goes before what refers to it. Here
/// `$2` is the team as well. Members, roles and the team's key go with its row.
const BELOW_TEAM: [CascadeStep; 8] = [
    (
        "DELETE FROM library_versions WHERE team_id = $1 AND id IN
             (SELECT id FROM library_versions WHERE team_id = $2 LIMIT $3)",
        500,
    ),
    (
        "DELETE FROM library_modules WHERE team_id = $1 AND id IN
             (SELECT id FROM library_modules WHERE team_id = $2 LIMIT $3)",
        500,
    ),
    (
        "DELETE FROM script_versions WHERE team_id = $1 AND id IN
             (SELECT id FROM script_versions WHERE team_id = $2 LIMIT $3)",
        200,
    ),
    (
        "DELETE FROM configurations WHERE team_id = $1 AND id IN
             (SELECT id FROM configurations WHERE team_id = $2 LIMIT $3)",
        500,
    ),
    ("DELETE FROM outbox WHERE team_id = $1 AND id IN (SELECT id FROM outbox WHERE team_id = $2 LIMIT $3)", 200),
    (
        "DELETE FROM invitations WHERE team_id = $1 AND id IN
             (SELECT id FROM invitations WHERE team_id = $2 LIMIT $3)",
        500,
    ),
    (
        "DELETE FROM usage WHERE team_id = $1 AND (hour, shard) IN
             (SELECT hour, shard FROM usage WHERE team_id = $2 LIMIT $3)",
        500,
    ),
    (
        "DELETE FROM idempotency_keys WHERE scope = $1 AND (route, key) IN
             (SELECT route, key FROM idempotency_keys WHERE scope = $2 LIMIT $3)",
        500,
    ),
];

/// Takes a step with a pipeline. Gives how many rows it named, and whether the pipeline is gone.
pub(super) async fn pipeline(
    state: &DomainState,
    team: TeamId,
    pipeline: PipelineId,
) -> Result<(u64, bool), sqlx::Error> {
    let (removed, left) = delete_below(state, team, pipeline.uuid(), &BELOW_PIPELINE).await?;
    if left {
        return Ok((removed, false));
    }
    let statement = "DELETE FROM pipelines WHERE team_id = $1 AND id = $2 RETURNING name";
    delete_root(state, team, statement, pipeline.uuid(), ("pipeline.purge", "pipeline")).await?;
    Ok((removed + 1, true))
}

/// Takes a step with a board: with its pipelines first. Gives how many rows it named, and whether pipelines went.
pub(super) async fn board(state: &DomainState, team: TeamId, board: BoardId) -> Result<(u64, bool), sqlx::Error> {
    let on_it = "SELECT id FROM pipelines WHERE team_id = $1 AND board_id = $2 ORDER BY id LIMIT $3";
    let (removed, any, gone) = pipelines(state, team, on_it, board.uuid()).await?;
    if any {
        return Ok((removed, gone));
    }
    let (mut removed, left) = delete_below(state, team, board.uuid(), &[MOVED_RUNS, VALUES_OF_BOARD]).await?;
    if left {
        return Ok((removed, false));
    }
    let (keys, left) = delete_batch(state, team, KEYS, board.uuid(), Some(board)).await?;
    removed += keys;
    if left {
        return Ok((removed, false));
    }
    let statement = "DELETE FROM boards WHERE team_id = $1 AND id = $2 RETURNING name";
    delete_root(state, team, statement, board.uuid(), ("board.purge", "board")).await?;
    Ok((removed + 1, false))
}

/// Takes a step with a team: with its pipelines first, then its boards, then the rest. Gives how many rows it
/// named.
pub(super) async fn team(state: &DomainState, team: TeamId) -> Result<u64, sqlx::Error> {
    let of_it = "SELECT id FROM pipelines WHERE team_id = $1 AND team_id = $2 ORDER BY id LIMIT $3";
    let (removed, any, _) = pipelines(state, team, of_it, team.uuid()).await?;
    if any {
        return Ok(removed);
    }
    let mut tx = state.db.team_read(team).await?;
    let first: Option<BoardId> = sql!(
        &mut *tx,
        fetch_optional,
        query_scalar("SELECT id FROM boards WHERE team_id = $1 ORDER BY id LIMIT 1").bind(team)
    )?;
    drop(tx);
    if let Some(first) = first {
        return board(state, team, first).await.map(|(removed, _)| removed);
    }
    let (removed, left) = delete_below(state, team, team.uuid(), &BELOW_TEAM).await?;
    if left {
        return Ok(removed);
    }
    let mut tx = state.db.team_write(team).await?;
    sql!(&mut *tx, execute, query("DELETE FROM teams WHERE id = $1").bind(team))?;
    tx.commit().await?;
    tracing::info!(%team, "a deleted team was removed");
    Ok(removed + 1)
}

/// Removes the thing itself, when nothing lies below it any more, and notes that it is gone for good.
async fn delete_root(
    state: &DomainState,
    team: TeamId,
    statement: &'static str,
    id: Uuid,
    (action, kind): (&str, &str),
) -> Result<(), sqlx::Error> {
    let mut tx = state.db.team_write(team).await?;
    let name: Option<String> = sql!(&mut *tx, fetch_optional, query_scalar(statement).bind(team).bind(id))?;
    if let Some(name) = name {
        let entry = audit::Entry::new(action, kind, id).before(json!({ "name": name }));
        audit::record_by_system(&mut tx, &state.ambient, entry).await?;
    }
    tx.commit().await
}

/// Takes a step with each of the pipelines that a statement finds. Gives how many rows they named, whether there
/// were any pipelines, and whether one is gone.
async fn pipelines(
    state: &DomainState,
    team: TeamId,
    statement: &'static str,
    of: Uuid,
) -> Result<(u64, bool, bool), sqlx::Error> {
    let mut tx = state.db.team_read(team).await?;
    let found: Vec<PipelineId> =
        sql!(&mut *tx, fetch_all, query_scalar(statement).bind(team).bind(of).bind(PIPELINES))?;
    drop(tx);
    let (mut removed, mut gone) = (0, false);
    for id in &found {
        let (rows, all) = pipeline(state, team, *id).await?;
        removed += rows;
        gone |= all;
    }
    Ok((removed, !found.is_empty(), gone))
}

/// Goes through parts until one of them is not done with. Gives how many rows went, and whether some are left.
async fn delete_below(
    state: &DomainState,
    team: TeamId,
    of: Uuid,
    parts: &[CascadeStep],
) -> Result<(u64, bool), sqlx::Error> {
    let mut removed = 0;
    for part in parts {
        let (rows, left) = delete_batch(state, team, *part, of, None).await?;
        removed += rows;
        if left {
            return Ok((removed, true));
        }
    }
    Ok((removed, false))
}

/// Changes the rows of a part, fewer when that takes too long. Gives how many, and whether some may be left. A
/// board is held first, as by whoever writes keys there.
async fn delete_batch(
    state: &DomainState,
    team: TeamId,
    (statement, most): CascadeStep,
    of: Uuid,
    hold: Option<BoardId>,
) -> Result<(u64, bool), sqlx::Error> {
    let mut most = most;
    loop {
        let mut tx = state.db.team_write(team).await?;
        if let Some(board) = hold {
            tx.lock_board(board).await?;
        }
        match delete_rows(tx, statement, of, most).await {
            Ok(rows) => return Ok((rows, rows >= most.unsigned_abs())),
            Err(error) if most > 1 && failure::is_statement_timeout(&error) => {
                tracing::warn!(%team, rows = most, "a removal step took too long: halving the batch");
                most /= 2;
            }
            Err(error) => return Err(error),
        }
    }
}

async fn delete_rows(mut tx: TeamTx, statement: &'static str, of: Uuid, most: i64) -> Result<u64, sqlx::Error> {
    let team = tx.team();
    let rows = sql!(&mut *tx, execute, query(statement).bind(team).bind(of).bind(most))?.rows_affected();
    tx.commit().await?;
    Ok(rows)
}
