//! `POST /v1/auth/login/second-factor`

use std::time::Duration;

use axum::{Json, extract::State, http::HeaderMap};
use restroy_sdk::{
    api::auth::{SecondFactor, Tokens},
    ids::UserId,
    problem::ProblemCode,
    time::Timestamp,
};
use serde_json::json;

use super::session;
use crate::{
    api::{
        http::{Body, SignInAttempt},
        notices::{self, NoticeContext},
    },
    auth::{
        limit::AttemptKind,
        second_factor::{self, CodeCheck},
        token::{self, OpaqueToken},
    },
    error::{ApiError, ApiResult},
    state::AppState,
    store::{
        Tx,
        audit::{self, Actor, AttemptAction},
        one_time::{self, Purpose},
        users,
    },
};

/// How long there is for the second step.
const CHALLENGE_LIFETIME: Duration = Duration::from_mins(5);
/// How many logins of an account may be half done.
const MAX_CHALLENGES: i64 = 50;

/// What the second step takes beside the code: that the first was right, and by what method. The account's row is
/// held.
pub(super) async fn challenge(
    state: &AppState,
    tx: &mut Tx,
    user: UserId,
    method: &str,
    now: Timestamp,
) -> ApiResult<String> {
    if one_time::count_created_since(tx, Purpose::SecondFactor, user, now.before(CHALLENGE_LIFETIME)).await?
        >= MAX_CHALLENGES
    {
        return Err(ApiError::with(
            ProblemCode::RateLimited,
            "Too many logins await a second factor. Try again in five \
            minutes.",
        ));
    }
    let challenge = OpaqueToken::new(&state.ambient);
    one_time::insert(tx, Purpose::SecondFactor, &challenge.hash(), user, method, now, now.after(CHALLENGE_LIFETIME))
        .await?;
    Ok(challenge.into_text())
}

/// Finish a login with a second factor
///
/// Takes a code of the authenticator or a recovery code. Each code works once. After ten wrong codes within an
/// hour the account accepts none until the hour is over.
#[utoipa::path(
    post, path = "/v1/auth/login/second-factor", tag = "auth", request_body = SecondFactor, security(()),
    responses((status = 200, description = "A new session", body = Tokens)),
)]
pub(super) async fn login_second_factor(
    State(state): State<AppState>,
    attempt: SignInAttempt,
    headers: HeaderMap,
    Body(body): Body<SecondFactor>,
) -> ApiResult<Json<Tokens>> {
    let refused =
        || ApiError::with(ProblemCode::InvalidCredentials, "The challenge is invalid or expired. Sign in again.");
    attempt.count(&state, AttemptKind::Token, &body.challenge)?;
    let peer = attempt.address;
    let hash = token::hash(&body.challenge);
    if !one_time::is_known(&mut state.db.system_read().await?, Purpose::SecondFactor, &hash).await? {
        return Err(refused());
    }
    let now = state.ambient.now();
    let mut tx = state.db.system_write().await?;
    let looked = one_time::find_valid(&mut tx, Purpose::SecondFactor, &hash, now).await?;
    let (user, method) = looked.ok_or_else(refused)?;
    // Codes of an account are tried one after the other.
    users::lock(&mut tx, user).await?;
    let shown = second_factor::check_code(&state, &mut tx, user, &body.code, true, now).await?;
    let by = match shown {
        CodeCheck::Wrong => {
            audit::record_attempt(
                &mut tx,
                &state.ambient,
                Actor::user(user, peer),
                AttemptAction::Failed("wrong_code"),
            )
            .await?;
            tx.commit().await?;
            return Err(ApiError::with(ProblemCode::InvalidCredentials, "The code is wrong or was used before."));
        }
        CodeCheck::Code => "authenticator",
        CodeCheck::RecoveryCode => "recovery_code",
    };
    if one_time::spend(&mut tx, Purpose::SecondFactor, &hash, now).await?.is_none() {
        return Err(refused());
    }
    let account = users::by_id(&mut tx, user).await?.ok_or_else(refused)?;
    let method = if method.is_empty() { session::PASSWORD } else { &method };
    let how = json!({ "method": method, "second_factor": by });
    let tokens = session::begin_session(&state, &mut tx, user, peer, &headers, how, now).await?;
    if shown == CodeCheck::RecoveryCode {
        let what = "Somebody signed in to your account with one of its recovery codes, which is used up now.";
        let happened = NoticeContext { at: now, from: peer };
        notices::queue_notice(&state, &mut tx, &account.email, "A recovery code was used", what, happened).await?;
    }
    tx.commit().await?;
    state.mail_queued();
    Ok(Json(tokens))
}
