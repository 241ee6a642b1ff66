//! What the routes that make API tokens have in common.

use axum::{
    Json,
    http::StatusCode,
    response::{IntoResponse as _, Response},
};
use restroy_sdk::{
    api::token::{CreatedApiToken, NewApiToken},
    ids::{ApiTokenId, UserId},
    time::Timestamp,
};

use super::{
    http::{FieldErrors, ReplaySlot},
    limits,
};
use crate::{
    auth::{api_token, token},
    error::{ApiError, ApiResult},
    state::AppState,
    store::{Tx, api_tokens},
};

/// Checks what takes the time to tell.
pub(super) fn validate(new: &NewApiToken, now: Timestamp) -> ApiResult<()> {
    let mut fields = FieldErrors::new();
    if new.expires_at.is_some_and(|end| end <= now) {
        fields.error("/expires_at", "a moment that is still to come");
    }
    Ok(fields.finish()?)
}

/// Makes a token of an account, whose row is held; `by` makes it. 429 when it has too many.
pub(super) async fn create(
    state: &AppState,
    tx: &mut Tx,
    user: UserId,
    by: UserId,
    new: &NewApiToken,
    now: Timestamp,
) -> ApiResult<CreatedApiToken> {
    let present = api_tokens::count(tx, user, now).await?;
    limits::ensure_below_limit(present, limits::TOKENS_PER_ACCOUNT, "API tokens of one account")?;
    let text = api_token::new(&state.ambient);
    let id = state.ambient.id::<ApiTokenId>();
    let row = api_tokens::NewToken {
        id,
        user,
        name: &new.name,
        hash: token::hash(&text),
        only_team: new.team_id,
        permissions: new.permissions.as_deref(),
        expires_at: new.expires_at,
        created_by: by,
    };
    api_tokens::insert(tx, &row, now).await?;
    let about = api_tokens::get(tx, user, id, now).await?.ok_or_else(ApiError::conflict)?;
    Ok(CreatedApiToken { about, token: Some(text) })
}

/// Commits and answers. What is kept for a repeat is the answer without the token: it is nowhere but in this answer.
pub(super) async fn respond(mut tx: Tx, slot: ReplaySlot, created: CreatedApiToken) -> ApiResult<Response> {
    let CreatedApiToken { about, token } = created;
    let kept = CreatedApiToken { about, token: None };
    let _ = slot.store_response(&mut tx, StatusCode::CREATED, &kept).await?;
    tx.commit().await?;
    Ok((StatusCode::CREATED, Json(CreatedApiToken { token, ..kept })).into_response())
}
