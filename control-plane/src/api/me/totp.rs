//! `/v1/me/totp`

use axum::{Json, extract::State, http::StatusCode};
use restroy_sdk::{
    api::account::{ConfirmTotp, NewTotp, Proof, RecoveryCodes},
    problem::{FieldError, Problem, ProblemCode},
};
use serde_json::json;

use super::proof;
use crate::{
    api::{
        http::{Body, SignInAttempt},
        notices::{self, NoticeContext},
    },
    auth::{
        Caller,
        limit::AttemptKind,
        second_factor::{self, CodeCheck},
    },
    error::{ApiError, ApiResult},
    state::AppState,
    store::{
        audit::{self, AttemptAction},
        second_factor as factors, sessions, users,
    },
};

/// Begin to set up a second factor
///
/// Returns a secret for an authenticator. Logins require codes once the first code is confirmed. Calling it again
/// returns another secret.
#[utoipa::path(
    post, path = "/v1/me/totp", tag = "me", request_body = Proof,
    responses((status = 200, description = "The secret, to be confirmed", body = NewTotp)),
)]
pub(super) async fn begin_totp(
    State(state): State<AppState>,
    caller: Caller,
    attempt: SignInAttempt,
    Body(body): Body<Proof>,
) -> ApiResult<Json<NewTotp>> {
    let user = proof::verify_caller(&state, caller, &attempt, body.password).await?;
    let now = state.ambient.now();
    let mut tx = proof::begin_verified(&state, caller, &user, now).await?;
    if factors::is_on(&mut tx, user.id).await? {
        return Err(already_enabled());
    }
    let new = second_factor::new_secret(&state, user.id, &user.email)?;
    factors::begin(&mut tx, user.id, &new.sealed, &new.key_id, now).await?;
    tx.commit().await?;
    Ok(Json(NewTotp { secret: new.text, uri: new.uri }))
}

/// Confirm the second factor with a code
///
/// From now on logins require a code. Ends other sessions that began without one. Returns ten recovery codes,
/// once. An e-mail reports the change.
#[utoipa::path(
    post, path = "/v1/me/totp/confirm", tag = "me", request_body = ConfirmTotp,
    responses((status = 200, description = "It is on", body = RecoveryCodes)),
)]
pub(super) async fn confirm_totp(
    State(state): State<AppState>,
    caller: Caller,
    attempt: SignInAttempt,
    Body(body): Body<ConfirmTotp>,
) -> ApiResult<Json<RecoveryCodes>> {
    let session = caller.require_session()?;
    attempt.count(&state, AttemptKind::Proof, &caller.user_id.to_string())?;
    let now = state.ambient.now();
    let mut tx = state.db.system_write().await?;
    users::lock(&mut tx, caller.user_id).await?;
    // A password reset at this moment ends the session, and means whoever has it.
    caller.revalidate_in(&mut tx, now).await?;
    let user = users::by_id(&mut tx, caller.user_id).await?.ok_or_else(ApiError::not_found)?;
    match factors::get(&mut tx, caller.user_id).await? {
        None => {
            return Err(ApiError::with(
                ProblemCode::Conflict,
                "There is no secret yet. Create one with POST \
                /v1/me/totp.",
            ));
        }
        Some(totp) if totp.confirmed_at.is_some() => return Err(already_enabled()),
        Some(_) => {}
    }
    if second_factor::check_code(&state, &mut tx, caller.user_id, &body.code, false, now).await? == CodeCheck::Wrong {
        audit::record_attempt(&mut tx, &state.ambient, caller.actor(), AttemptAction::Failed("wrong_code_in_session"))
            .await?;
        tx.commit().await?;
        let fault = FieldError::new("/code", "not the authenticator's current code");
        return Err(Problem::new(ProblemCode::Invalid).errors(vec![fault]).into());
    }
    factors::confirm(&mut tx, caller.user_id, now).await?;
    let (recovery_codes, hashes) = second_factor::new_recovery_codes(&state.ambient);
    factors::set_recovery_codes(&mut tx, caller.user_id, &hashes).await?;
    sessions::revoke_others(&mut tx, caller.user_id, Some(session), now).await?;
    let entry = audit::Entry::new("user.totp_on", "user", caller.user_id)
        .before(json!({ "two_factor": false }))
        .after(json!({ "two_factor": true }));
    audit::record_for_user(&mut tx, &state.ambient, caller.actor(), entry).await?;
    let what = "Signing in to your account now requires a code of an authenticator.";
    let happened = NoticeContext { at: now, from: caller.address };
    notices::queue_notice(&state, &mut tx, &user.email, "Your second factor is on", what, happened).await?;
    tx.commit().await?;
    state.mail_queued();
    Ok(Json(RecoveryCodes { recovery_codes }))
}

/// Replace the recovery codes
///
/// Returns ten new codes; the old ones no longer work. An e-mail reports the change.
#[utoipa::path(
    post, path = "/v1/me/totp/recovery-codes", tag = "me", request_body = Proof,
    responses((status = 200, description = "The codes", body = RecoveryCodes)),
)]
pub(super) async fn renew_recovery_codes(
    State(state): State<AppState>,
    caller: Caller,
    attempt: SignInAttempt,
    Body(body): Body<Proof>,
) -> ApiResult<Json<RecoveryCodes>> {
    let user = proof::verify_caller(&state, caller, &attempt, body.password).await?;
    let now = state.ambient.now();
    let mut tx = proof::begin_verified(&state, caller, &user, now).await?;
    if !factors::is_on(&mut tx, user.id).await? {
        return Err(not_enabled());
    }
    let (recovery_codes, hashes) = second_factor::new_recovery_codes(&state.ambient);
    factors::set_recovery_codes(&mut tx, user.id, &hashes).await?;
    let entry = audit::Entry::new("user.recovery_codes", "user", user.id);
    audit::record_for_user(&mut tx, &state.ambient, caller.actor(), entry).await?;
    let what = "Your account has new recovery codes; the old codes no longer work.";
    let happened = NoticeContext { at: now, from: caller.address };
    notices::queue_notice(&state, &mut tx, &user.email, "Your recovery codes were replaced", what, happened).await?;
    tx.commit().await?;
    state.mail_queued();
    Ok(Json(RecoveryCodes { recovery_codes }))
}

/// Remove the second factor and its recovery codes
///
/// An e-mail reports the removal.
#[utoipa::path(
    delete, path = "/v1/me/totp", tag = "me", request_body = Proof,
    responses((status = 204, description = "Logins no longer require a code")),
)]
pub(super) async fn remove_totp(
    State(state): State<AppState>,
    caller: Caller,
    attempt: SignInAttempt,
    Body(body): Body<Proof>,
) -> ApiResult<StatusCode> {
    let user = proof::verify_caller(&state, caller, &attempt, body.password).await?;
    let now = state.ambient.now();
    let mut tx = proof::begin_verified(&state, caller, &user, now).await?;
    if !factors::remove(&mut tx, user.id).await? {
        return Err(not_enabled());
    }
    let entry = audit::Entry::new("user.totp_off", "user", user.id)
        .before(json!({ "two_factor": true }))
        .after(json!({ "two_factor": false }));
    audit::record_for_user(&mut tx, &state.ambient, caller.actor(), entry).await?;
    let what = "Signing in to your account no longer requires a code.";
    let happened = NoticeContext { at: now, from: caller.address };
    notices::queue_notice(&state, &mut tx, &user.email, "Your second factor was removed", what, happened).await?;
    tx.commit().await?;
    state.mail_queued();
    Ok(StatusCode::NO_CONTENT)
}

fn not_enabled() -> ApiError {
    ApiError::with(ProblemCode::Conflict, "The account has no second factor.")
}

fn already_enabled() -> ApiError {
    ApiError::with(ProblemCode::Conflict, "The account has a second factor. Remove it first.")
}
