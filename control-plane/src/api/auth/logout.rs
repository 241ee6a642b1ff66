//! `POST /v1/auth/logout`

use axum::{extract::State, http::StatusCode};

use crate::{
    auth::Caller,
    error::ApiResult,
    state::AppState,
    store::{audit, sessions},
};

/// Ends the session: its access and refresh tokens are good no more.
#[utoipa::path(
    post, path = "/v1/auth/logout", tag = "auth",
    responses((status = 204, description = "The session has ended")),
)]
pub(super) async fn logout(State(state): State<AppState>, caller: Caller) -> ApiResult<StatusCode> {
    let mut tx = state.db.system_write().await?;
    let session = caller.session()?;
    sessions::revoke(&mut tx, session, state.ambient.now()).await?;
    let entry = audit::Entry::new("session.logout", "session", session);
    audit::of_user(&mut tx, &state.ambient, caller.actor(), entry).await?;
    tx.commit().await?;
    Ok(StatusCode::NO_CONTENT)
}
