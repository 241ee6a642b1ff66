//! What becomes of a run that has ended: it is kept on purpose, or deleted before its time.

use restroy_sdk::ids::RunId;
use serde_json::json;
use sqlx::query;

use super::{cancel::find, rows::RunRow};
use crate::{DomainError, DomainResult, auth::Scope, sql, state::DomainState, store::audit};

/// Keeps a run from retention, or no longer. Doing it twice is doing it once.
pub async fn keep(state: &DomainState, scope: &Scope, run: RunId, kept: bool) -> DomainResult<RunRow> {
    let mut tx = scope.write().await?;
    let team = tx.team();
    let at = kept.then(|| state.ambient.now());
    let changed = sql!(
        &mut *tx,
        execute,
        query(
            "UPDATE runs SET kept_at = $3
             WHERE team_id = $1 AND id = $2 AND expired_at IS NULL AND (kept_at IS NULL) = $4"
        )
        .bind(team)
        .bind(run)
        .bind(at)
        .bind(kept)
    )?
    .rows_affected();
    let row = find(&mut tx, run).await?;
    // What was marked since the scope was entered is on its way out.
    if row.kept_at.is_some() != kept {
        return Err(DomainError::NotFound);
    }
    if changed > 0 {
        let action = if kept { "run.keep" } else { "run.unkeep" };
        let entry = audit::Entry::new(action, "run", run);
        let entry = entry.before(json!({ "kept": !kept })).after(json!({ "kept": kept }));
        audit::record_in_team(&mut tx, &state.ambient, scope.actor(), entry).await?;
    }
    tx.commit().await?;
    Ok(row)
}

/// Deletes a run that has ended: nobody sees it from now on, and retention removes it within seconds. 409 while it
/// has not ended or is kept.
pub async fn delete(state: &DomainState, scope: &Scope, run: RunId) -> DomainResult<()> {
    let mut tx = scope.write().await?;
    let team = tx.team();
    let changed = sql!(
        &mut *tx,
        execute,
        query(
            "UPDATE runs SET expired_at = $3
             WHERE team_id = $1 AND id = $2 AND finished_at IS NOT NULL AND kept_at IS NULL AND expired_at IS NULL"
        )
        .bind(team)
        .bind(run)
        .bind(state.ambient.now())
    )?
    .rows_affected();
    if changed == 0 {
        let row = find(&mut tx, run).await?;
        let why = if row.kept_at.is_some() {
            "The run is marked as kept. Undo that first (`DELETE /v1/runs/{id}/keep`)."
        } else if !row.status.is_terminal() {
            "The run has not ended: cancel it first."
        } else {
            return Err(DomainError::NotFound);
        };
        return Err(DomainError::conflict(why));
    }
    let row = find(&mut tx, run).await?;
    let entry = audit::Entry::new("run.delete", "run", run);
    let entry = entry.before(json!({ "pipeline_id": row.pipeline_id, "status": row.status }));
    audit::record_in_team(&mut tx, &state.ambient, scope.actor(), entry).await?;
    tx.commit().await?;
    Ok(())
}
