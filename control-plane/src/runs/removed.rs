//! What is deleted ends its runs, in the transaction that deletes it.

use restroy_run_queue::wake::Wake;
use restroy_sdk::{
    ids::{BoardId, Id, PipelineId, RunId, TeamId},
    status::RunStatus,
    time::Timestamp,
};
use sqlx::query_scalar;
use uuid::Uuid;

use super::end::{Ending, end};
use crate::{error::ApiResult, sql, state::AppState, store::TeamTx};

/// What was deleted.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Removed {
    /// A pipeline.
    Pipeline(PipelineId),
    /// A board with its pipelines.
    Board(BoardId),
    /// A team with its boards.
    Team(TeamId),
}

/// The wake-ups to send after the commit.
#[derive(Debug, Default)]
#[must_use]
pub(crate) struct Ended(Vec<Wake>);

impl Ended {
    /// Tells the dispatcher and the watchers.
    pub(crate) fn announce(self, state: &AppState) {
        for wake in self.0 {
            if matches!(wake, Wake::Run { .. }) {
                state.metrics.run_ended(RunStatus::Cancelled, None);
            }
            state.wake.send(wake);
        }
    }
}

/// Cancels every run that goes on or waits.
pub(crate) async fn cancel_runs(tx: &mut TeamTx, now: Timestamp, removed: Removed) -> ApiResult<Ended> {
    let (id, what): (Uuid, _) = match removed {
        Removed::Pipeline(id) => (id.uuid(), "pipeline"),
        Removed::Board(id) => (id.uuid(), "board"),
        Removed::Team(id) => (id.uuid(), "team"),
    };
    let team = tx.team();
    let open: Vec<RunId> = sql!(
        &mut **tx,
        fetch_all,
        query_scalar(
            "SELECT r.id FROM runs r JOIN pipelines p ON p.team_id = r.team_id AND p.id = r.pipeline_id
             WHERE r.team_id = $1 AND (p.id = $2 OR p.board_id = $2 OR p.team_id = $2)
               AND r.status IN ('queued', 'running', 'waiting')
             ORDER BY r.id"
        )
        .bind(team)
        .bind(id)
    )?;
    let ending = Ending::because(RunStatus::Cancelled, "deleted", format!("Somebody deleted the {what}."));
    let mut ended = Ended::default();
    for run in open {
        if let Some(last_seq) = end(tx, run, now, &ending).await? {
            ended.0.push(Wake::Run { run_id: run, last_seq });
        }
    }
    ended.0.push(Wake::Admit);
    Ok(ended)
}
