//! `POST /v1/me/password`

use axum::{extract::State, http::StatusCode};
use restroy_sdk::{api::account::ChangePassword, problem::ProblemCode};
use secrecy::SecretString;

use super::proof;
use crate::{
    api::{
        http::{Body, SignInAttempt},
        notices::{self, NoticeContext},
    },
    auth::Caller,
    error::{ApiError, ApiResult},
    state::AppState,
    store::{
        api_tokens, audit,
        one_time::{self, Purpose},
        sessions, users,
    },
};

/// Change the password
///
/// Ends every other session and stops a pending change of the address. An e-mail reports the change.
#[utoipa::path(
    post, path = "/v1/me/password", tag = "me", request_body = ChangePassword,
    responses((status = 204, description = "The new password holds")),
)]
pub(super) async fn change_password(
    State(state): State<AppState>,
    caller: Caller,
    attempt: SignInAttempt,
    Body(body): Body<ChangePassword>,
) -> ApiResult<StatusCode> {
    let session = caller.require_session()?;
    let user = proof::verify_caller(&state, caller, &attempt, body.password).await?;
    let hash = state.passwords.hash(SecretString::from(body.new_password)).await?;
    let now = state.ambient.now();
    let mut tx = proof::begin_verified(&state, caller, &user, now).await?;
    if !users::set_password(&mut tx, user.id, &user.password_hash, &hash).await? {
        return Err(ApiError::with(ProblemCode::Conflict, "The password was just changed. Sign in again."));
    }
    sessions::revoke_others(&mut tx, user.id, Some(session), now).await?;
    // What was begun with the password before: links in e-mails, half-done logins, a change of the address.
    for purpose in [Purpose::ResetPassword, Purpose::SecondFactor, Purpose::EmailOld, Purpose::EmailNew] {
        one_time::spend_all(&mut tx, purpose, user.id, now).await?;
    }
    if body.revoke_api_tokens {
        api_tokens::revoke_all(&mut tx, user.id, now).await?;
    }
    let entry = audit::Entry::new("user.password", "user", user.id);
    audit::record_for_user(&mut tx, &state.ambient, caller.actor(), entry).await?;
    let what = "The password of your account was changed, and every other session has ended.";
    let happened = NoticeContext { at: now, from: caller.address };
    notices::queue_notice(&state, &mut tx, &user.email, "Your password was changed", what, happened).await?;
    tx.commit().await?;
    state.mail_queued();
    Ok(StatusCode::NO_CONTENT)
}
