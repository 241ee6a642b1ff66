//! `POST /v1/auth/login`

use std::net::IpAddr;

use axum::{Json, extract::State, http::HeaderMap};
use restroy_sdk::{
    api::auth::{Login, Tokens},
    problem::ProblemCode,
};
use secrecy::SecretString;

use super::{failed_login, session};
use crate::{
    api::http::{Body, SignInAttempt},
    auth::limit::{self, AttemptKind},
    error::{ApiError, ApiResult},
    state::AppState,
    store::{sessions, users},
};

/// Sign in
///
/// Takes the same path and time whether the account exists or not. An account whose address is not verified is
/// treated as absent. An account with a second factor gets 401 `second_factor_required` and a `challenge`, which
/// [`POST /v1/auth/login/second-factor`](#/auth/login_second_factor) takes together with a code.
#[utoipa::path(
    post, path = "/v1/auth/login", tag = "auth", request_body = Login, security(()),
    responses((status = 200, description = "A new session", body = Tokens)),
)]
pub(super) async fn login(
    State(state): State<AppState>,
    attempt: SignInAttempt,
    headers: HeaderMap,
    Body(body): Body<Login>,
) -> ApiResult<Json<Tokens>> {
    let peer = attempt.address;
    let folded = users::fold(&body.email);
    if let Err(refused) = attempt.count(&state, AttemptKind::Login, &folded)
        && !(refused.by_others && is_known_network(&state, &folded, peer).await?)
    {
        return Err(refused.into());
    }
    let found = {
        let mut tx = state.db.system_read().await?;
        users::by_email(&mut tx, &body.email).await?
    };
    let meant = found.as_ref().map(|user| user.id);
    // Whoever registered an address that nobody has verified chose its password: to take that for right would tell
    // them whether the address had an account before.
    let user = found.filter(|user| user.email_verified_at.is_some());
    let reason = if meant.is_some() && user.is_none() { "email_not_verified" } else { "wrong_password" };
    let stored = user.as_ref().and_then(users::User::stored_password);
    let right = state.passwords.verify(SecretString::from(body.password), stored).await?;
    let Some(user) = user.filter(|_| right) else {
        failed_login::record_failed_login(&state, meant, peer, reason);
        return Err(invalid_credentials());
    };
    let now = state.ambient.now();
    let mut tx = state.db.system_write().await?;
    users::lock(&mut tx, user.id).await?;
    // What was looked up before the password was worked on may have changed: the account may be gone, or have
    // another password.
    let same = users::by_id(&mut tx, user.id).await?.is_some_and(|now| now.password_hash == user.password_hash);
    if !same {
        return Err(invalid_credentials());
    }
    session::continue_login(&state, tx, user.id, peer, &headers, session::PASSWORD, now).await.map(Json)
}

/// Whether somebody comes from where the account has been signed in to of late: they are not locked out by those who
/// guess from elsewhere.
async fn is_known_network(state: &AppState, folded: &str, peer: Option<IpAddr>) -> ApiResult<bool> {
    let Some(peer) = peer else { return Ok(false) };
    let addresses = sessions::addresses(&mut state.db.system_read().await?, folded).await?;
    Ok(addresses.iter().filter_map(|address| address.parse().ok()).any(|address| limit::same_network(address, peer)))
}

/// The same for everybody.
fn invalid_credentials() -> ApiError {
    ApiError::with(
        ProblemCode::InvalidCredentials,
        "A new account must verify its address first, with the e-mail sent at registration. POST \
        /v1/auth/password-reset sends an e-mail to choose a new password.",
    )
}
