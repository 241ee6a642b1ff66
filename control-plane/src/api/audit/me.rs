//! `GET /v1/me/audit`

use axum::{Json, extract::State};
use restroy_sdk::api::{Page, audit::AuditEntry};

use super::query::{AuditQuery, page};
use crate::{api::http::Query, auth::Caller, error::ApiResult, state::AppState, store::audit};

/// List the audit log of the caller's account
///
/// Sign-ins, including failed ones, and changes. Requires a login.
#[utoipa::path(
    get, path = "/v1/me/audit", tag = "me", params(AuditQuery),
    responses((status = 200, description = "The newest first", body = Page<AuditEntry>)),
)]
pub(super) async fn list_my_audit(
    State(state): State<AppState>,
    caller: Caller,
    Query(query): Query<AuditQuery>,
) -> ApiResult<Json<Page<AuditEntry>>> {
    caller.require_session()?;
    let (filter, before, limit) = query.read()?;
    let mut tx = state.db.system_read().await?;
    let found = audit::list_for_account(&mut tx, caller.user_id, &filter, before, limit).await?;
    Ok(Json(page(found)))
}
