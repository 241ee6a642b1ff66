//! `POST /v1/auth/refresh`

use axum::{Json, extract::State};
use restroy_sdk::{
    api::auth::{Refresh, Tokens},
    problem::ProblemCode,
};
use subtle::ConstantTimeEq;

use super::session::issue_tokens;
use crate::{
    api::http::Body,
    auth::{PeerAddress, token},
    error::{ApiError, ApiResult},
    state::AppState,
    store::{
        audit::{self, Actor},
        sessions::{self, Session},
    },
};

/// Refresh a session
///
/// Exchanges the session's newest refresh token for new tokens. Using an older token ends the session, because
/// two clients hold it.
#[utoipa::path(
    post, path = "/v1/auth/refresh", tag = "auth", request_body = Refresh, security(()),
    responses((status = 200, description = "New tokens for the same session", body = Tokens)),
)]
pub(super) async fn refresh_session(
    State(state): State<AppState>,
    PeerAddress(peer): PeerAddress,
    Body(body): Body<Refresh>,
) -> ApiResult<Json<Tokens>> {
    let refused =
        || ApiError::with(ProblemCode::Unauthorized, "The refresh token is invalid or expired. Sign in again.");
    let (id, generation) = state.tokens.parse_refresh_token(&body.refresh_token).ok_or_else(refused)?;
    let now = state.ambient.now();
    let mut tx = state.db.system_write().await?;
    let session = sessions::find_live(&mut tx, id, now).await?.ok_or_else(refused)?;
    if generation < session.generation {
        sessions::revoke(&mut tx, id, now).await?;
        let entry = audit::Entry::new("session.refresh_reused", "session", id);
        audit::record_for_user(&mut tx, &state.ambient, Actor::user(session.user_id, peer), entry).await?;
        tx.commit().await?;
        tracing::warn!(session = %id, "a refresh token was used twice; the session was ended");
        return Err(refused());
    }
    let same: bool = session.refresh_hash.ct_eq(&token::hash(&body.refresh_token)).into();
    if !same {
        return Err(refused());
    }
    let next = state.tokens.refresh_token(&state.ambient, id, generation + 1);
    let expires = now.after(state.settings.refresh_life);
    if !sessions::rotate(&mut tx, id, generation, &next.hash(), now, expires).await? {
        return Err(refused());
    }
    tx.commit().await?;
    let session = Session { generation: generation + 1, ..session };
    Ok(Json(issue_tokens(&state, &session, next.into_text())?))
}
