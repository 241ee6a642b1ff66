//! `POST /v1/auth/logout`

use axum::{extract::State, http::StatusCode};
use serde::Deserialize;
use serde_json::json;
use utoipa::IntoParams;

use crate::{
    api::http::Query,
    auth::Caller,
    error::ApiResult,
    state::AppState,
    store::{audit, sessions},
};

/// What ends.
#[derive(Debug, Clone, Copy, Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(super) struct LogoutQuery {
    /// Every session of the account, not this one only.
    #[serde(default)]
    everywhere: bool,
}

/// Sign out
///
/// Ends the session, or every session of the account. Their access and refresh tokens no longer work.
#[utoipa::path(
    post, path = "/v1/auth/logout", tag = "auth", params(LogoutQuery),
    responses((status = 204, description = "The session has ended")),
)]
pub(super) async fn logout(
    State(state): State<AppState>,
    caller: Caller,
    Query(which): Query<LogoutQuery>,
) -> ApiResult<StatusCode> {
    let session = caller.require_session()?;
    let now = state.ambient.now();
    let mut tx = state.db.system_write().await?;
    if which.everywhere {
        sessions::revoke_others(&mut tx, caller.user_id, None, now).await?;
    } else {
        sessions::revoke(&mut tx, session, now).await?;
    }
    let entry = audit::Entry::new("session.logout", "session", session);
    let entry = entry.details(json!({ "everywhere": which.everywhere }));
    audit::record_for_user(&mut tx, &state.ambient, caller.actor(), entry).await?;
    tx.commit().await?;
    Ok(StatusCode::NO_CONTENT)
}
