//! `POST /v1/auth/verify-email`

use axum::{extract::State, http::StatusCode};
use restroy_sdk::{
    api::auth::VerifyEmail,
    problem::{FieldError, Problem, ProblemCode},
};
use secrecy::SecretString;
use serde_json::json;

use super::register::PendingRegistration;
use crate::{
    api::http::{Body, SignInAttempt},
    auth::{limit::AttemptKind, token},
    error::{ApiError, ApiResult},
    state::AppState,
    store::{
        audit::{self, Actor},
        one_time::{self, Purpose},
        users,
    },
};

/// Verify an e-mail address
///
/// Takes the token from the e-mail, which proves access to the mailbox, and the password of the registration,
/// which proves that the registration was one's own. The account gets that registration's name and password.
#[utoipa::path(
    post, path = "/v1/auth/verify-email", tag = "auth", request_body = VerifyEmail, security(()),
    responses((status = 204, description = "Verified; sign in")),
)]
pub(super) async fn verify_email(
    State(state): State<AppState>,
    attempt: SignInAttempt,
    Body(body): Body<VerifyEmail>,
) -> ApiResult<StatusCode> {
    attempt.count(&state, AttemptKind::Token, &body.token)?;
    let peer = attempt.address;
    let hash = token::hash(&body.token);
    // Asked of a reader first: guessing takes neither the writer nor the work for a password.
    let looked =
        one_time::find_valid(&mut state.db.system_read().await?, Purpose::VerifyEmail, &hash, state.ambient.now())
            .await?;
    let (user, registration) = looked.filter(|(_, registration)| !registration.is_empty()).ok_or_else(invalid_token)?;
    let registration: PendingRegistration = serde_json::from_str(&registration)?;
    let stored = Some(registration.password_hash.clone());
    if !state.passwords.verify(SecretString::from(body.password), stored).await? {
        return Err(superseded());
    }
    let now = state.ambient.now();
    let mut tx = state.db.system_write().await?;
    users::lock(&mut tx, user).await?;
    if one_time::spend(&mut tx, Purpose::VerifyEmail, &hash, now).await?.is_none() {
        return Err(invalid_token());
    }
    if users::verify(&mut tx, user, &registration.name, &registration.password_hash, now).await? {
        let entry = audit::Entry::new("user.verify", "user", user)
            .before(json!({ "email_verified": false }))
            .after(json!({ "email_verified": true }));
        audit::record_for_user(&mut tx, &state.ambient, Actor::user(user, peer), entry).await?;
    }
    tx.commit().await?;
    Ok(StatusCode::NO_CONTENT)
}

fn invalid_token() -> ApiError {
    field_error("/token", "unknown, used or expired; register again to get another")
}

fn superseded() -> ApiError {
    field_error(
        "/password",
        "not the password of the registration that this token's e-mail belongs to; use the e-mail of your own \
        registration, or request a password reset, which verifies the address too",
    )
}

fn field_error(pointer: &str, detail: &str) -> ApiError {
    Problem::new(ProblemCode::Invalid).errors(vec![FieldError::new(pointer, detail)]).into()
}
