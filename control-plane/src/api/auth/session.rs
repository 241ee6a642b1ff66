//! What login and refresh have in common.

use restroy_sdk::{api::auth::Tokens, problem::ProblemCode};

use crate::{
    error::{ApiError, ApiResult},
    state::AppState,
    store::sessions::Session,
};

/// The answer: an access token for the session, and its newest refresh token.
pub(super) fn tokens(state: &AppState, session: &Session, refresh_token: String) -> ApiResult<Tokens> {
    let life = state.settings.access_life;
    let access_token = state.tokens.sign(&state.ambient, session.user_id, session.id, life).map_err(|error| {
        tracing::error!(%error);
        ApiError::new(ProblemCode::Internal)
    })?;
    Ok(Tokens {
        access_token,
        token_type: "Bearer".into(),
        expires_in: life.as_secs(),
        refresh_token,
        session_id: session.id,
    })
}
