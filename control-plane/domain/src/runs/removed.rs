//! What is deleted ends its runs: in the transaction that deletes it those that are active, and of those that wait
//! so many that nobody is held up. The others never start ([`super::dispatch`]), and are cancelled by the purge.

use restroy_sdk::{
    ids::{BoardId, Id, PipelineId, RunId, TeamId},
    status::RunStatus,
    time::Timestamp,
};
use sqlx::{query_as, query_scalar};
use uuid::Uuid;

use super::{
    announce::Announcements,
    end::{EndedBy, Ending, finish},
};
use crate::{DomainError, DomainResult, sql, state::DomainState, store::TeamTx};

/// How many runs a transaction cancels. More than a team can have running at once, which are the first.
const STEP: i64 = 100;

/// What was deleted.
#[derive(Debug, Clone, Copy)]
pub enum DeletedScope {
    /// A pipeline.
    Pipeline(PipelineId),
    /// A board with its pipelines.
    Board(BoardId),
    /// The team of the transaction.
    Team,
}

impl DeletedScope {
    /// Its id, in a team, and what it is called.
    fn named(self, team: TeamId) -> (Uuid, &'static str) {
        match self {
            Self::Pipeline(id) => (id.uuid(), "pipeline"),
            Self::Board(id) => (id.uuid(), "board"),
            Self::Team => (team.uuid(), "team"),
        }
    }
}

/// The runs of `$2`, a pipeline, a board or the team `$1`, that have not ended: first those running.
const OPEN_RUNS: &str = "SELECT r.id FROM runs r JOIN pipelines p ON p.team_id = r.team_id AND p.id = r.pipeline_id
     WHERE r.team_id = $1 AND $2 IN (p.id, p.board_id, r.team_id) AND r.status IN ('queued', 'running', 'waiting')
     ORDER BY CASE r.status WHEN 'running' THEN 0 WHEN 'waiting' THEN 1 ELSE 2 END, r.id LIMIT $3";

/// Cancels the runs that go on, and the first of those that wait.
pub async fn cancel_runs(tx: &mut TeamTx, now: Timestamp, removed: DeletedScope) -> DomainResult<Announcements> {
    let team = tx.team();
    let (id, what) = removed.named(team);
    let mut open: Vec<RunId> = sql!(&mut **tx, fetch_all, query_scalar(OPEN_RUNS).bind(team).bind(id).bind(STEP))?;
    // In the order in which everybody takes several.
    open.sort_unstable();
    let ending = Ending::with_code(RunStatus::Cancelled, "deleted", format!("Somebody deleted the {what}."));
    let mut announcements = Announcements::default();
    for run in open {
        if let Some(ended) = finish(tx, run, now, &ending, EndedBy::ControlPlane).await? {
            announcements.run_ended(ended);
        }
    }
    Ok(announcements)
}

/// Refuses with 409 to bring something back before all of its runs have ended: those that are left would start.
pub async fn ensure_runs_ended(tx: &mut TeamTx, removed: DeletedScope) -> DomainResult<()> {
    let team = tx.team();
    let (id, what) = removed.named(team);
    let open: Option<RunId> = sql!(&mut **tx, fetch_optional, query_scalar(OPEN_RUNS).bind(team).bind(id).bind(1_i64))?;
    if open.is_none() {
        return Ok(());
    }
    let detail = format!("Runs of the {what} are still being cancelled. Restore it in a minute.");
    Err(DomainError::conflict(detail))
}

/// Cancels some of the runs that were left when their pipeline, board or team was deleted; whether there may be
/// more.
pub(super) async fn cancel_remaining(state: &DomainState) -> DomainResult<bool> {
    let mut tx = state.db.system_read().await?;
    let left: Vec<(TeamId, RunId)> = sql!(
        &mut tx,
        fetch_all,
        query_as(
            "SELECT r.team_id, r.id FROM runs r
             JOIN pipelines p ON p.team_id = r.team_id AND p.id = r.pipeline_id
             JOIN boards b ON b.team_id = p.team_id AND b.id = p.board_id
             JOIN teams t ON t.id = r.team_id
             WHERE r.status IN ('queued', 'running', 'waiting')
               AND (p.deleted_at IS NOT NULL OR b.deleted_at IS NOT NULL OR t.deleted_at IS NOT NULL)
             ORDER BY r.id LIMIT $1"
        )
        .bind(STEP)
    )?;
    drop(tx);
    let ending = Ending::with_code(RunStatus::Cancelled, "deleted", "Somebody deleted what the run belongs to.");
    let mut count = 0;
    for (team, run) in &left {
        // Nobody brings back what it belongs to before it has ended: see `ensure_runs_ended`.
        match cancel_one(state, *team, *run, &ending).await {
            Ok(ended) => count += usize::from(ended),
            Err(error) => tracing::error!(run_id = %run, %error, "a run of what is deleted cannot end"),
        }
    }
    Ok(count >= usize::try_from(STEP).unwrap_or(usize::MAX))
}

async fn cancel_one(state: &DomainState, team: TeamId, run: RunId, ending: &Ending) -> DomainResult<bool> {
    let mut tx = state.db.team_write(team).await?;
    tx.lock_run(run).await?;
    let ended = finish(&mut tx, run, state.ambient.now(), ending, EndedBy::ControlPlane).await?;
    let Some(ended) = ended else { return Ok(false) };
    let mut announcements = Announcements::default();
    announcements.run_ended(ended);
    announcements.commit(tx, state).await?;
    Ok(true)
}
