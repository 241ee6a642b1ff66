//! Cancelling: decided in the database, without the executor.

use restroy_sdk::{event::StepError, ids::RunId, status::RunStatus};
use serde_json::json;
use sqlx::query_as;

use super::{
    announce::Announcements,
    end::{EndedBy, Ending, finish},
    rows::{RunRow, run_columns},
};
use crate::{
    DomainError, DomainResult,
    auth::Scope,
    sql,
    state::DomainState,
    store::{TeamTx, audit},
};

/// Cancels a run. An already cancelled one is given back as it is; one that ended otherwise is a
/// conflict.
pub async fn cancel(state: &DomainState, scope: &Scope, run: RunId) -> DomainResult<RunRow> {
    let mut tx = scope.write().await?;
    tx.lock_run(run).await?;
    let now = state.ambient.now();
    let ending = Ending {
        status: RunStatus::Cancelled,
        error: Some(StepError::new("cancelled", "Somebody cancelled the run.")),
    };
    let before = find(&mut tx, run).await?.status;
    let ended = finish(&mut tx, run, now, &ending, EndedBy::ControlPlane).await?;
    let row = find(&mut tx, run).await?;
    let Some(ended) = ended else {
        return if row.status == RunStatus::Cancelled {
            Ok(row)
        } else {
            Err(DomainError::conflict(format!("The run has already ended ({}) and cannot be cancelled.", row.status)))
        };
    };
    let entry = audit::Entry::new("run.cancel", "run", run)
        .before(json!({ "status": before }))
        .after(json!({ "status": row.status }));
    audit::record_in_team(&mut tx, &state.ambient, scope.actor(), entry).await?;
    let mut announcements = Announcements::default();
    announcements.run_ended(ended);
    announcements.commit(tx, state).await?;
    Ok(row)
}

/// A run of the transaction's team, or 404.
pub async fn find(tx: &mut TeamTx, run: RunId) -> DomainResult<RunRow> {
    let team = tx.team();
    let row: Option<RunRow> = sql!(
        &mut **tx,
        fetch_optional,
        query_as(concat!("SELECT ", run_columns!(), " FROM runs WHERE team_id = $1 AND id = $2")).bind(team).bind(run)
    )?;
    row.ok_or(DomainError::NotFound)
}
