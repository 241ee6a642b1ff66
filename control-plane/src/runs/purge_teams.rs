//! Removal of deleted teams that nobody brought back, in small steps: none holds the writer, or a
//! team's row, for long.

use std::time::Duration;

use restroy_sdk::{ids::TeamId, time::Timestamp};
use sqlx::{query, query_scalar};

use crate::{error::ApiResult, sql, state::AppState};

/// How long a deleted team can be brought back.
pub const KEPT: Duration = Duration::from_hours(30 * 24);
/// How many teams a pass looks at.
const TEAMS: i64 = 10;

/// What a team consists of, in an order in which nothing is removed before what refers to it, and how
/// many rows of it one step removes; what lies below a row goes with it. `$1` is the team.
const PARTS: [(&str, i64); 6] = [
    (
        "DELETE FROM runs WHERE team_id = $1
         AND id IN (SELECT id FROM runs WHERE team_id = $1 ORDER BY id LIMIT $2)",
        10,
    ),
    (
        "DELETE FROM pipelines WHERE team_id = $1
         AND id IN (SELECT id FROM pipelines WHERE team_id = $1 ORDER BY id LIMIT $2)",
        5,
    ),
    (
        "DELETE FROM boards WHERE team_id = $1
         AND id IN (SELECT id FROM boards WHERE team_id = $1 ORDER BY id LIMIT $2)",
        5,
    ),
    (
        "DELETE FROM script_versions WHERE team_id = $1
         AND id IN (SELECT id FROM script_versions WHERE team_id = $1 ORDER BY id LIMIT $2)",
        200,
    ),
    (
        "DELETE FROM outbox WHERE team_id = $1
         AND id IN (SELECT id FROM outbox WHERE team_id = $1 ORDER BY id LIMIT $2)",
        500,
    ),
    (
        "DELETE FROM idempotency_keys WHERE scope = $1
         AND (route, key) IN (SELECT route, key FROM idempotency_keys WHERE scope = $1 LIMIT $2)",
        500,
    ),
];

/// Takes a step with each of some teams whose time has come. Whether there may be more to do.
pub async fn step(state: &AppState) -> ApiResult<bool> {
    let before = state.ambient.now().before(KEPT);
    let mut tx = state.db.system_read().await?;
    let teams: Vec<TeamId> = sql!(
        &mut tx,
        fetch_all,
        query_scalar("SELECT id FROM teams WHERE deleted_at <= $1 ORDER BY deleted_at LIMIT $2")
            .bind(before)
            .bind(TEAMS)
    )?;
    drop(tx);
    for team in &teams {
        shrink(state, *team, before).await?;
    }
    Ok(!teams.is_empty())
}

/// Removes a part of a team, or the last of it. Its row is held, so that nobody brings it back
/// meanwhile.
async fn shrink(state: &AppState, team: TeamId, before: Timestamp) -> ApiResult<()> {
    let mut tx = state.db.team_write_alone(team).await?;
    let still: Option<TeamId> = sql!(
        &mut *tx,
        fetch_optional,
        query_scalar("SELECT id FROM teams WHERE id = $1 AND deleted_at <= $2").bind(team).bind(before)
    )?;
    if still.is_none() {
        return Ok(());
    }
    for (statement, most) in PARTS {
        if sql!(&mut *tx, execute, query(statement).bind(team).bind(most))?.rows_affected() > 0 {
            return Ok(tx.commit().await?);
        }
    }
    // Members, roles, invitations and the team's key go with it.
    sql!(&mut *tx, execute, query("DELETE FROM teams WHERE id = $1").bind(team))?;
    tx.commit().await?;
    tracing::info!(%team, "a deleted team was removed");
    Ok(())
}
