//! `/v1/me/api-tokens`

use axum::{Json, extract::State, http::StatusCode, response::Response};
use restroy_sdk::{
    api::{
        Page,
        token::{ApiToken, CreatedApiToken, NewOwnApiToken},
    },
    ids::{ApiTokenId, Id},
};
use serde_json::json;

use super::proof;
use crate::{
    api::{
        http::{Body, FieldErrors, Idempotency, Idempotent, Path, Query, SignInAttempt, SortedPageQuery},
        new_token,
        notices::{self, NoticeContext},
    },
    auth::Caller,
    error::{ApiError, ApiResult},
    state::AppState,
    store::{api_tokens, audit, teams},
};

/// List the caller's valid API tokens
#[utoipa::path(
    get, path = "/v1/me/api-tokens", tag = "tokens", params(SortedPageQuery),
    responses((status = 200, description = "The oldest first by default", body = Page<ApiToken>)),
)]
pub(super) async fn list_api_tokens(
    State(state): State<AppState>,
    caller: Caller,
    Query(sorted): Query<SortedPageQuery>,
) -> ApiResult<Json<Page<ApiToken>>> {
    caller.require_session()?;
    let selection = sorted.selection()?;
    let mut tx = state.db.system_read().await?;
    let tokens = api_tokens::list_for_user(&mut tx, caller.user_id, &selection, state.ambient.now()).await?;
    Ok(Json(sorted.page(tokens, |token| (token.id.uuid(), &token.name))?))
}

/// Create an API token for the caller
///
/// It is shown once. At each use it allows what the caller may do at that time, within the token's permissions
/// and team; it cannot change the account. Requires the password. An e-mail reports the creation.
#[utoipa::path(
    post, path = "/v1/me/api-tokens", tag = "tokens", request_body = NewOwnApiToken,
    params(("Idempotency-Key" = Option<String>, Header, description = "Repeats the first answer, without the token, for 24 hours")),
    responses((status = 201, description = "The token", body = CreatedApiToken)),
)]
pub(super) async fn create_api_token(
    State(state): State<AppState>,
    caller: Caller,
    attempt: SignInAttempt,
    idempotency: Idempotency,
    Body(new): Body<NewOwnApiToken>,
) -> ApiResult<Response> {
    caller.require_session()?;
    let (password, new) = new.into_parts();
    new_token::validate(&new, state.ambient.now())?;
    let user = proof::verify_caller(&state, caller, &attempt, password).await?;
    let now = state.ambient.now();
    let mut tx = proof::begin_verified(&state, caller, &user, now).await?;
    let slot = match idempotency.begin(&mut tx, caller.user_id.uuid(), &new, now).await? {
        Idempotent::New(slot) => slot,
        Idempotent::Replay(answer) => return Ok(answer),
    };
    if let Some(team) = new.team_id {
        // Somebody else's team is not a team.
        if !teams::has_member(&mut tx, team, caller.user_id).await? {
            FieldErrors::new().error("/team_id", "no team of yours").finish()?;
        }
    }
    let created = new_token::create(&state, &mut tx, caller.user_id, caller.user_id, &new, now).await?;
    let entry = audit::Entry::new("token.create", "token", created.about.id).after(serde_json::to_value(&new)?);
    audit::record_for_user(&mut tx, &state.ambient, caller.actor(), entry).await?;
    let what = format!("An API token was made for your account: {}.", new.name);
    let happened = NoticeContext { at: now, from: caller.address };
    notices::queue_notice(&state, &mut tx, &user.email, "A new API token", &what, happened).await?;
    let answer = new_token::respond(tx, slot, created).await?;
    state.mail_queued();
    Ok(answer)
}

/// Revoke an API token of the caller
///
/// From the next request on.
#[utoipa::path(
    delete, path = "/v1/me/api-tokens/{id}", tag = "tokens",
    params(("id" = ApiTokenId, Path, description = "The token")),
    responses((status = 204, description = "It has ended")),
)]
pub(super) async fn revoke_api_token(
    State(state): State<AppState>,
    caller: Caller,
    Path(id): Path<ApiTokenId>,
) -> ApiResult<StatusCode> {
    caller.require_session()?;
    let now = state.ambient.now();
    let mut tx = state.db.system_write().await?;
    let found = api_tokens::get(&mut tx, caller.user_id, id, now).await?.ok_or_else(ApiError::not_found)?;
    if !api_tokens::revoke(&mut tx, caller.user_id, id, now).await? {
        return Err(ApiError::not_found());
    }
    let entry = audit::Entry::new("token.revoke", "token", id)
        .before(json!({ "name": found.name, "team_id": found.team_id, "permissions": found.permissions }));
    audit::record_for_user(&mut tx, &state.ambient, caller.actor(), entry).await?;
    tx.commit().await?;
    Ok(StatusCode::NO_CONTENT)
}
