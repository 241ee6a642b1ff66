//! Removal of boards and pipelines that were deleted a while ago, in small steps, each in its turn.

use std::time::Duration;

use restroy_sdk::{
    ids::{BoardId, PipelineId, TeamId},
    time::Timestamp,
};
use sqlx::{query, query_as, types::Uuid};

use super::cascade_delete;
use crate::{DomainResult, sql, state::DomainState, store::Durability};

/// How long what was deleted can be restored.
pub const RETENTION: Duration = Duration::from_hours(30 * 24);
/// How much later it goes: whoever restores it at the last moment does not meet the purge.
pub(super) const MARGIN: Duration = Duration::from_hours(1);
/// How many things are looked up at a time.
const THINGS: i64 = 20;

/// A statement for what was deleted before `$1`, after `($2, $3)`: at most `$4` things with their teams.
macro_rules! due {
    ($table:literal) => {
        concat!(
            "SELECT team_id, id, deleted_at FROM ",
            $table,
            " WHERE deleted_at <= $1 AND (deleted_at, id) > ($2, $3) ORDER BY deleted_at, id LIMIT $4"
        )
    };
}

/// Takes a step with each board and pipeline whose time is over; one that cannot be deleted piece by piece keeps no
/// other from it. Gives how many rows it named; nothing is left when that is none.
pub async fn step(state: &DomainState) -> DomainResult<u64> {
    let before = state.ambient.now().before(RETENTION + MARGIN);
    let mut removed = 0;
    let mut after = (Timestamp(i64::MIN), Uuid::nil());
    loop {
        let page = due(state, due!("pipelines"), before, after).await?;
        let Some(last) = page.last() else { break };
        after = (last.2, last.1);
        for (team, pipeline, _) in page {
            let step = cascade_delete::pipeline(state, team, PipelineId::from(pipeline)).await;
            removed += done(state, team, step).await;
        }
    }
    after = (Timestamp(i64::MIN), Uuid::nil());
    loop {
        let page = due(state, due!("boards"), before, after).await?;
        let Some(last) = page.last() else { return Ok(removed) };
        after = (last.2, last.1);
        for (team, board, _) in page {
            let step = cascade_delete::board(state, team, BoardId::from(board)).await;
            removed += done(state, team, step).await;
        }
    }
}

/// The longest deleted first.
async fn due(
    state: &DomainState,
    statement: &'static str,
    before: Timestamp,
    (at, id): (Timestamp, Uuid),
) -> DomainResult<Vec<(TeamId, Uuid, Timestamp)>> {
    let mut tx = state.db.system_read().await?;
    Ok(sql!(&mut tx, fetch_all, query_as(statement).bind(before).bind(at).bind(id).bind(THINGS))?)
}

/// How many rows a step named. Where a pipeline is gone, so are the sources that nothing else consists of.
async fn done(state: &DomainState, team: TeamId, step: Result<(u64, bool), sqlx::Error>) -> u64 {
    let whole = async {
        let (rows, gone) = step?;
        Ok::<_, sqlx::Error>(rows + if gone { sources(state, team).await? } else { 0 })
    };
    whole.await.unwrap_or_else(|error| {
        tracing::error!(%team, %error, "something deleted cannot be removed");
        0
    })
}

/// Removes the team's sources that no version of a pipeline or of a library module consists of any more.
/// Alone, since whoever writes a version may be about to use one of them.
async fn sources(state: &DomainState, team: TeamId) -> Result<u64, sqlx::Error> {
    const MOST: i64 = 500;
    let mut removed = 0;
    loop {
        let mut tx = state.db.begin_team_exclusive(team, Durability::Commit).await?;
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
