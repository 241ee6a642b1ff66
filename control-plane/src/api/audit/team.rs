//! `GET /v1/teams/{id}/audit`

use axum::{Json, extract::State};
use restroy_sdk::{
    api::{Page, audit::AuditEntry},
    ids::TeamId,
};

use super::query::{AuditQuery, page};
use crate::{
    api::http::{Path, Query},
    auth::{Caller, Permission},
    error::ApiResult,
    state::AppState,
    store::audit,
};

/// List a team's audit log
///
/// Every change, and which run read which secret.
#[utoipa::path(
    get, path = "/v1/teams/{id}/audit", tag = "audit",
    params(("id" = TeamId, Path, description = "The team"), AuditQuery),
    responses((status = 200, description = "The newest first", body = Page<AuditEntry>)),
)]
pub(super) async fn list_team_audit(
    State(state): State<AppState>,
    caller: Caller,
    Path(id): Path<TeamId>,
    Query(query): Query<AuditQuery>,
) -> ApiResult<Json<Page<AuditEntry>>> {
    let scope = caller.team(&state, id, Permission::AuditRead).await?;
    let (filter, before, limit) = query.read()?;
    let mut tx = scope.read().await?;
    let found = audit::list_for_team(&mut tx, &filter, before, limit).await?;
    Ok(Json(page(found)))
}
