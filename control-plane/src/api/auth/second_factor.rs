//! `POST /v1/auth/login/second-factor`

use std::time::Duration;

use axum::{Json, extract::State, http::HeaderMap};
use restroy_sdk::{
    api::auth::{SecondFactor, Tokens},
    ids::UserId,
    problem::ProblemCode,
    time::Timestamp,
};

use super::session;
use crate::{
    api::http::Body,
    auth::{
        Attempt,
        second_factor::{self, Shown},
        token::{self, Opaque},
    },
    error::{ApiError, ApiResult},
    state::AppState,
    store::{
        Tx,
        audit::{self, Actor},
        one_time::{self, Purpose},
        users,
    },
};

/// How long there is for the second step.
const LIFE: Duration = Duration::from_mins(5);
/// How many logins of an account may be half done.
const MAX_CHALLENGES: i64 = 50;

/// What the second step takes beside the code: that the password was right. The account's row is held.
pub(super) async fn challenge(state: &AppState, tx: &mut Tx, user: UserId, now: Timestamp) -> ApiResult<String> {
    if one_time::made_since(tx, Purpose::SecondFactor, user, now.before(LIFE)).await? >= MAX_CHALLENGES {
        return Err(ApiError::with(ProblemCode::RateLimited, "Too many logins are half done; wait five minutes."));
    }
    let challenge = Opaque::new(&state.ambient);
    one_time::insert(tx, Purpose::SecondFactor, &challenge.hash(), user, "", now, now.after(LIFE)).await?;
    Ok(challenge.into_text())
}

/// Finishes a login with a code of the authenticator, or a recovery code. A code is good once. After ten wrong
/// ones in an hour the account takes none until the hour is over.
#[utoipa::path(
    post, path = "/v1/auth/login/second-factor", tag = "auth", request_body = SecondFactor, security(()),
    responses((status = 200, description = "A new session", body = Tokens)),
)]
pub(super) async fn second_factor(
    State(state): State<AppState>,
    attempt: Attempt,
    headers: HeaderMap,
    Body(body): Body<SecondFactor>,
) -> ApiResult<Json<Tokens>> {
    let refused =
        || ApiError::with(ProblemCode::InvalidCredentials, "The challenge is not valid, or no longer; sign in again.");
    attempt.count(&state, &body.challenge)?;
    let peer = attempt.address;
    let hash = token::hash(&body.challenge);
    if !one_time::is_known(&mut state.db.system_read().await?, Purpose::SecondFactor, &hash).await? {
        return Err(refused());
    }
    let now = state.ambient.now();
    let mut tx = state.db.system_write().await?;
    let looked = one_time::look(&mut tx, Purpose::SecondFactor, &hash, now).await?;
    let (user, _) = looked.ok_or_else(refused)?;
    // Codes of an account are tried one after the other.
    users::lock(&mut tx, user).await?;
    if second_factor::show(&state, &mut tx, user, &body.code, true, now).await? == Shown::Wrong {
        audit::sign_in_failed(&mut tx, &state.ambient, Actor::user(user, peer), "wrong_code").await?;
        tx.commit().await?;
        return Err(ApiError::with(ProblemCode::InvalidCredentials, "The code is wrong, or was used before."));
    }
    if one_time::spend(&mut tx, Purpose::SecondFactor, &hash, now).await?.is_none()
        || users::by_id(&mut tx, user).await?.is_none()
    {
        return Err(refused());
    }
    let tokens = session::begin(&state, &mut tx, user, peer, &headers, now).await?;
    tx.commit().await?;
    Ok(Json(tokens))
}
