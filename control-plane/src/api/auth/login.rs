//! `POST /v1/auth/login`

use axum::{Json, extract::State, http::HeaderMap};
use restroy_sdk::{
    api::auth::{Login, Tokens},
    problem::ProblemCode,
};
use secrecy::SecretString;

use super::{failed, session};
use crate::{
    api::http::{Body, Fields},
    auth::Attempt,
    error::{ApiError, ApiResult},
    state::AppState,
    store::users,
};

/// Signs in. Takes the same path and time whether the account exists or not. An account with a second factor gets
/// 401 `second_factor_required` and a `challenge`, which
/// [`POST /v1/auth/login/second-factor`](#/auth/second_factor) takes together with a code.
#[utoipa::path(
    post, path = "/v1/auth/login", tag = "auth", request_body = Login, security(()),
    responses((status = 200, description = "A new session", body = Tokens)),
)]
pub(super) async fn login(
    State(state): State<AppState>,
    attempt: Attempt,
    headers: HeaderMap,
    Body(body): Body<Login>,
) -> ApiResult<Json<Tokens>> {
    if body.email.contains('\0') {
        Fields::new().fault("/email", "an e-mail address, such as `ann@example.com`").done()?;
    }
    attempt.count(&state, &users::fold(&body.email))?;
    let peer = attempt.address;
    let user = {
        let mut tx = state.db.system_read().await?;
        users::by_email(&mut tx, &body.email).await?
    };
    let meant = user.as_ref().map(|user| user.id);
    let stored = user.as_ref().and_then(users::User::stored_password);
    let right = state.passwords.verify(SecretString::from(body.password), stored).await?;
    let Some(user) = user.filter(|_| right) else {
        failed::note(&state, meant, peer, "wrong_password");
        return Err(ApiError::new(ProblemCode::InvalidCredentials));
    };
    if user.email_verified_at.is_none() {
        failed::note(&state, meant, peer, "email_not_verified");
        return Err(ApiError::with(
            ProblemCode::EmailNotVerified,
            "Follow the link in the e-mail that came after you registered; register again to get another.",
        ));
    }
    let now = state.ambient.now();
    let mut tx = state.db.system_write().await?;
    users::lock(&mut tx, user.id).await?;
    // What was looked up before the password was worked on may have changed: the account may be gone, or have
    // another password.
    let same = users::by_id(&mut tx, user.id).await?.is_some_and(|now| now.password_hash == user.password_hash);
    if !same {
        return Err(ApiError::new(ProblemCode::InvalidCredentials));
    }
    session::enter(&state, tx, user.id, peer, &headers, now).await.map(Json)
}
