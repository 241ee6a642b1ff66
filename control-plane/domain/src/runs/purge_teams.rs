//! Removal of deleted teams that nobody brought back, in small steps, each team in its turn.

use std::time::Duration;

use restroy_sdk::{
    ids::{Id as _, TeamId},
    time::Timestamp,
};
use sqlx::{query_as, types::Uuid};

use super::{cascade_delete, purge_deleted::MARGIN};
use crate::{DomainResult, sql, state::DomainState};

/// How long a deleted team can be brought back.
pub const RETENTION: Duration = Duration::from_hours(30 * 24);
/// How many teams are looked up at a time.
const TEAMS: i64 = 20;

/// Takes a step with each team whose time has come; one that cannot be deleted piece by piece keeps no other from
/// it. Whether there may be more to do.
pub async fn step(state: &DomainState) -> DomainResult<bool> {
    let before = state.ambient.now().before(RETENTION + MARGIN);
    let (mut after, mut removed) = ((Timestamp(i64::MIN), Uuid::nil()), 0);
    loop {
        let teams = due(state, before, after).await?;
        let Some(last) = teams.last() else { return Ok(removed > 0) };
        after = (last.1, last.0.uuid());
        for (team, _) in teams {
            match cascade_delete::team(state, team).await {
                Ok(rows) => removed += rows,
                Err(error) => tracing::error!(%team, %error, "a deleted team cannot be removed"),
            }
        }
    }
}

/// Teams whose time has come, the longest deleted first.
async fn due(
    state: &DomainState,
    before: Timestamp,
    (at, id): (Timestamp, Uuid),
) -> DomainResult<Vec<(TeamId, Timestamp)>> {
    let mut tx = state.db.system_read().await?;
    Ok(sql!(
        &mut tx,
        fetch_all,
        query_as(
            "SELECT id, deleted_at FROM teams WHERE deleted_at <= $1 AND (deleted_at, id) > ($2, $3)
             ORDER BY deleted_at, id LIMIT $4"
        )
        .bind(before)
        .bind(at)
        .bind(id)
        .bind(TEAMS)
    )?)
}
