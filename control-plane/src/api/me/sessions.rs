//! `/v1/me/sessions`

use axum::{Json, extract::State, http::StatusCode};
use restroy_sdk::{
    api::{Page, account::SessionInfo},
    ids::SessionId,
};

use crate::{
    api::http::{AgePageQuery, Path, Query, paged},
    auth::Caller,
    error::{ApiError, ApiResult},
    state::AppState,
    store::{audit, sessions, sort::AgeOrder},
};

/// List the caller's active sessions
#[utoipa::path(
    get, path = "/v1/me/sessions", tag = "me", params(AgePageQuery),
    responses((status = 200, description = "The newest first by default", body = Page<SessionInfo>)),
)]
pub(super) async fn list_sessions(
    State(state): State<AppState>,
    caller: Caller,
    Query(aged): Query<AgePageQuery>,
) -> ApiResult<Json<Page<SessionInfo>>> {
    let current = caller.require_session()?;
    let (age, page) = aged.default_order(AgeOrder::Newest);
    let (after, rows) = (page.after::<SessionId>()?, page.rows()?);
    let now = state.ambient.now();
    let mut tx = state.db.system_read().await?;
    let sessions = sessions::list(&mut tx, caller.user_id, current, age, after, rows, now).await?;
    Ok(Json(paged(&page, sessions, |session| session.id)?))
}

/// End all other sessions of the caller
#[utoipa::path(
    delete, path = "/v1/me/sessions", tag = "me",
    responses((status = 204, description = "They have ended")),
)]
pub(super) async fn end_other_sessions(State(state): State<AppState>, caller: Caller) -> ApiResult<StatusCode> {
    let current = caller.require_session()?;
    let mut tx = state.db.system_write().await?;
    if sessions::revoke_others(&mut tx, caller.user_id, Some(current), state.ambient.now()).await? == 0 {
        return Ok(StatusCode::NO_CONTENT);
    }
    let entry = audit::Entry::new("session.end_others", "user", caller.user_id);
    audit::record_for_user(&mut tx, &state.ambient, caller.actor(), entry).await?;
    tx.commit().await?;
    Ok(StatusCode::NO_CONTENT)
}

/// End a session of the caller
///
/// Its tokens stop working with the next request.
#[utoipa::path(
    delete, path = "/v1/me/sessions/{id}", tag = "me", params(("id" = SessionId, Path, description = "The session")),
    responses((status = 204, description = "It has ended")),
)]
pub(super) async fn end_session(
    State(state): State<AppState>,
    caller: Caller,
    Path(id): Path<SessionId>,
) -> ApiResult<StatusCode> {
    caller.require_session()?;
    let mut tx = state.db.system_write().await?;
    if !sessions::revoke_for_user(&mut tx, caller.user_id, id, state.ambient.now()).await? {
        return Err(ApiError::not_found());
    }
    let entry = audit::Entry::new("session.end", "session", id);
    audit::record_for_user(&mut tx, &state.ambient, caller.actor(), entry).await?;
    tx.commit().await?;
    Ok(StatusCode::NO_CONTENT)
}
