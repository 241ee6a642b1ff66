//! `DELETE /v1/teams/{id}`, `POST /v1/teams/{id}/restore`

use axum::{Json, extract::State, http::StatusCode};
use restroy_sdk::{
    api::team::{DeleteTeam, Team},
    ids::TeamId,
    problem::{FieldError, Problem, ProblemCode},
};
use serde_json::json;

use crate::{
    api::http::{Body, Path},
    auth::{Caller, Permission},
    error::{ApiError, ApiResult},
    runs::{
        purge_teams::RETENTION,
        removed::{self, DeletedScope},
    },
    state::AppState,
    store::{audit, members, teams},
};

/// Delete a team
///
/// Deletes everything in it, cancels its runs and stops its schedules. An owner can restore it for 30 days; then
/// it is removed for good.
#[utoipa::path(
    delete, path = "/v1/teams/{id}", tag = "teams", request_body = DeleteTeam,
    params(("id" = TeamId, Path, description = "The team")),
    responses((status = 204, description = "Deleted")),
)]
pub(super) async fn delete_team(
    State(state): State<AppState>,
    caller: Caller,
    Path(id): Path<TeamId>,
    Body(meant): Body<DeleteTeam>,
) -> ApiResult<StatusCode> {
    let scope = caller.team(&state, id, Permission::TeamDelete).await?;
    let now = state.ambient.now();
    let mut tx = scope.write().await?;
    let team = teams::get(&mut tx, caller.user_id).await?.ok_or_else(ApiError::not_found)?;
    if team.name != meant.name {
        let fault = FieldError::new("/name", "not the team's name; write it exactly, to say that you mean it");
        return Err(Problem::new(ProblemCode::Invalid).errors(vec![fault]).into());
    }
    let mut announcements = removed::cancel_runs(&mut tx, now, DeletedScope::Team).await?;
    teams::delete(&mut tx, now).await?;
    let entry = audit::Entry::new("team.delete", "team", id).before(json!({ "name": team.name }));
    audit::record_in_team(&mut tx, &state.ambient, caller.actor(), entry).await?;
    announcements.access_changed(id);
    announcements.commit(tx, &state).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Restore a deleted team
///
/// Within 30 days. Its schedules resume; what they missed is a misfire. Runs that were cancelled stay cancelled.
/// 409 if all its owners deleted their accounts meanwhile.
#[utoipa::path(
    post, path = "/v1/teams/{id}/restore", tag = "teams",
    params(("id" = TeamId, Path, description = "The team")),
    responses((status = 200, description = "The team", body = Team)),
)]
pub(super) async fn restore_team(
    State(state): State<AppState>,
    caller: Caller,
    Path(id): Path<TeamId>,
) -> ApiResult<Json<Team>> {
    let scope = caller.deleted_team(&state, id, Permission::TeamDelete).await?;
    let now = state.ambient.now();
    // It has counted among its owner's teams all along.
    let mut tx = scope.write().await?;
    removed::ensure_runs_ended(&mut tx, DeletedScope::Team).await?;
    if !teams::restore(&mut tx, now.before(RETENTION)).await? {
        return Err(ApiError::not_found());
    }
    if members::count_owners(&mut tx).await? == 0 {
        let detail = "This team has no owners left: they deleted their accounts. It cannot be restored.";
        return Err(ApiError::with(ProblemCode::Conflict, detail));
    }
    let team = teams::get(&mut tx, caller.user_id).await?.ok_or_else(ApiError::not_found)?;
    let entry = audit::Entry::new("team.restore", "team", id).after(json!({ "name": team.name }));
    audit::record_in_team(&mut tx, &state.ambient, caller.actor(), entry).await?;
    tx.commit().await?;
    Ok(Json(team))
}
