//! `POST /v1/auth/password-reset` and `…/confirm`

use std::time::Duration;

use axum::{Json, extract::State, http::StatusCode};
use restroy_sdk::{
    api::auth::{Accepted, ConfirmPasswordReset, RequestPasswordReset},
    problem::{FieldError, Problem, ProblemCode},
};
use secrecy::SecretString;
use tokio::time::Instant;

use super::failed_login;
use crate::{
    api::{
        http::{Body, SignInAttempt},
        notices::{self, NoticeContext},
        strangers,
    },
    auth::{
        limit::AttemptKind,
        token::{self, OpaqueToken},
    },
    error::{ApiError, ApiResult},
    state::AppState,
    store::{
        api_tokens,
        audit::{self, Actor},
        one_time::{self, Purpose},
        outbox, sessions,
        stranger_mails::EmailCause,
        users,
    },
};

/// The life of a link.
const TOKEN_LIFETIME: Duration = Duration::from_hours(1);
/// How many e-mails an address gets within [`TOKEN_LIFETIME`], whoever asks.
const MAX_MAILS: i64 = 5;

/// Request a password reset
///
/// Sends an e-mail with a token that is valid for an hour. Response and duration are the same whether the address
/// belongs to an account or not; without an account the e-mail says so.
#[utoipa::path(
    post, path = "/v1/auth/password-reset", tag = "auth", request_body = RequestPasswordReset, security(()),
    responses((status = 202, description = "Look into the mailbox", body = Accepted)),
)]
pub(super) async fn request_password_reset(
    State(state): State<AppState>,
    attempt: SignInAttempt,
    Body(body): Body<RequestPasswordReset>,
) -> ApiResult<(StatusCode, Json<Accepted>)> {
    let folded = users::fold(&body.email);
    attempt.count(&state, AttemptKind::Reset, &folded)?;
    let (begun, now) = (Instant::now(), state.ambient.now());
    let mut tx = state.db.system_write().await?;
    let user = users::by_email(&mut tx, &body.email).await?;
    let known = user.as_ref().is_some_and(|user| user.email_verified_at.is_some());
    if one_time::count_resets_since(&mut tx, &folded, now.before(TOKEN_LIFETIME)).await? < MAX_MAILS
        && (known
            || strangers::may_email(&state, &mut tx, &body.email, EmailCause::Visitor, attempt.address, now).await?)
    {
        let token = OpaqueToken::new(&state.ambient);
        let (hash, id) = (token.hash(), user.as_ref().map(|user| user.id));
        let url = &state.settings.public_url;
        let text = match &user {
            Some(_) => {
                let token = token.into_text();
                format!(
                    "Somebody, perhaps you, asked for another password of the account at {url} with this address.\n\n\
                     If it was you, choose it within an hour:\n\n  {url}/reset-password#{token}\n\n\
                     or pass the token to the API or the command line:\n\n  {token}\n\n\
                     Every session ends then. If it was not you, there is nothing to do.\n"
                )
            }
            None => format!(
                "Somebody, perhaps you, asked for another password of the account at {url} with this address.\n\n\
                 No account has this address: perhaps yours has another. If it was not you, there is nothing to do.\n"
            ),
        };
        let to = user.as_ref().map_or(body.email.trim(), |user| &user.email);
        one_time::insert(&mut tx, Purpose::ResetPassword, &hash, id, &folded, now, now.after(TOKEN_LIFETIME)).await?;
        let subject = "Another password at Restroy";
        outbox::insert_own(&mut tx, &state.ambient, state.new_mail_status(), to, subject, &text).await?;
    }
    tx.commit().await?;
    state.mail_queued();
    failed_login::record_reset_request(&state, user.map(|user| user.id), attempt.address);
    strangers::pad_response_time(&state, begun, strangers::RESET_DURATION).await;
    let message = "If an account has the address, an e-mail explains how to choose a new password.".into();
    Ok((StatusCode::ACCEPTED, Json(Accepted { message })))
}

/// Reset the password with the token from the e-mail
///
/// Ends every session of the account; the second factor stays. An unverified address becomes verified, and name
/// and password of earlier registrations are replaced.
#[utoipa::path(
    post, path = "/v1/auth/password-reset/confirm", tag = "auth", request_body = ConfirmPasswordReset, security(()),
    responses((status = 204, description = "Sign in with the new password")),
)]
pub(super) async fn confirm_password_reset(
    State(state): State<AppState>,
    attempt: SignInAttempt,
    Body(body): Body<ConfirmPasswordReset>,
) -> ApiResult<StatusCode> {
    attempt.count(&state, AttemptKind::Token, &body.token)?;
    let peer = attempt.address;
    let hash = token::hash(&body.token);
    // Asked of a reader first: guessing takes neither the writer nor a password's hash.
    if !one_time::is_known(&mut state.db.system_read().await?, Purpose::ResetPassword, &hash).await? {
        return Err(invalid_token());
    }
    let password = state.passwords.hash(SecretString::from(body.password)).await?;
    let now = state.ambient.now();
    let mut tx = state.db.system_write().await?;
    let looked = one_time::find_valid(&mut tx, Purpose::ResetPassword, &hash, now).await?;
    let (user, address) = looked.ok_or_else(invalid_token)?;
    users::lock(&mut tx, user).await?;
    // It was sent to the address of then: a mailbox that is the account's no more opens nothing.
    if users::by_id(&mut tx, user).await?.is_none_or(|user| users::fold(&user.email) != address) {
        return Err(invalid_token());
    }
    if one_time::spend(&mut tx, Purpose::ResetPassword, &hash, now).await?.is_none() {
        return Err(invalid_token());
    }
    if !users::reset_password(&mut tx, user, &password, now).await? {
        return Err(invalid_token());
    }
    for purpose in [Purpose::ResetPassword, Purpose::SecondFactor, Purpose::EmailOld, Purpose::EmailNew] {
        one_time::spend_all(&mut tx, purpose, user, now).await?;
    }
    sessions::revoke_others(&mut tx, user, None, now).await?;
    if body.revoke_api_tokens {
        api_tokens::revoke_all(&mut tx, user, now).await?;
    }
    let entry = audit::Entry::new("user.password_reset", "user", user);
    audit::record_for_user(&mut tx, &state.ambient, Actor::user(user, peer), entry).await?;
    let account = users::by_id(&mut tx, user).await?.ok_or_else(invalid_token)?;
    let ended = if body.revoke_api_tokens { "every session and API token" } else { "every session" };
    let what = format!("Another password was chosen for your account by an e-mail to this address; {ended} has ended.");
    let happened = NoticeContext { at: now, from: peer };
    notices::queue_notice(&state, &mut tx, &account.email, "Another password was chosen", &what, happened).await?;
    tx.commit().await?;
    state.mail_queued();
    Ok(StatusCode::NO_CONTENT)
}

fn invalid_token() -> ApiError {
    let fault = FieldError::new("/token", "unknown, used or expired; request another");
    Problem::new(ProblemCode::Invalid).errors(vec![fault]).into()
}
