//! What logins and refresh have in common.

use axum::http::{HeaderMap, header};
use restroy_sdk::{
    api::auth::Tokens,
    ids::{SessionId, UserId},
    problem::ProblemCode,
    time::Timestamp,
};
use serde_json::{Value, json};
use std::net::IpAddr;

use super::second_factor;
use crate::{
    error::{ApiError, ApiResult},
    state::AppState,
    store::{
        Tx,
        audit::{self, Actor},
        second_factor as factors,
        sessions::{self, Session, SessionOrigin},
        users,
    },
};

/// How many sessions an account has at once; the oldest ends when there is another.
const MAX_SESSIONS: i64 = 50;
/// What is kept of the client's name, in bytes.
const MAX_USER_AGENT: usize = 200;

/// By a password.
pub(super) const PASSWORD: &str = "password";

/// Continues where it is known, by `method`, who somebody is: begins a session, or, where the account has a second
/// factor, refuses with a challenge for it. Commits. The account's row is held.
pub(super) async fn continue_login(
    state: &AppState,
    mut tx: Tx,
    user: UserId,
    peer: Option<IpAddr>,
    headers: &HeaderMap,
    method: &str,
    now: Timestamp,
) -> ApiResult<Tokens> {
    if factors::is_on(&mut tx, user).await? {
        let challenge = second_factor::challenge(state, &mut tx, user, method, now).await?;
        tx.commit().await?;
        let mut required = ApiError::with(
            ProblemCode::SecondFactorRequired,
            "Send `challenge` and a code of your authenticator, or a recovery code, to /v1/auth/login/second-factor.",
        );
        required.0.challenge = Some(challenge);
        return Err(required);
    }
    let tokens = begin_session(state, &mut tx, user, peer, headers, json!({ "method": method }), now).await?;
    tx.commit().await?;
    Ok(tokens)
}

/// Begins a session of an account, in the login's transaction; after its commit the answer is to be given. The audit
/// log reports `how` somebody got in.
pub(super) async fn begin_session(
    state: &AppState,
    tx: &mut Tx,
    user: UserId,
    peer: Option<IpAddr>,
    headers: &HeaderMap,
    how: Value,
    now: Timestamp,
) -> ApiResult<Tokens> {
    let id = state.ambient.id::<SessionId>();
    let refresh = state.tokens.refresh_token(&state.ambient, id, 1);
    let session = Session { id, user_id: user, refresh_hash: refresh.hash(), generation: 1 };
    let user_agent = headers.get(header::USER_AGENT).and_then(|name| name.to_str().ok());
    let user_agent = user_agent.map(|name| name.get(..MAX_USER_AGENT).unwrap_or(name).to_owned());
    let from = SessionOrigin { user_agent, address: peer.map(|address| address.to_string()) };
    // First: it holds the account's row, so that logins are counted one after the other.
    users::record_login(tx, user, now).await?;
    sessions::insert(tx, &session, &from, now, now.after(state.settings.refresh_life)).await?;
    sessions::revoke_oldest(tx, user, MAX_SESSIONS, now).await?;
    let entry = audit::Entry::new("session.login", "session", id).details(how);
    audit::record_for_user(tx, &state.ambient, Actor::user(user, peer), entry).await?;
    issue_tokens(state, &session, refresh.into_text())
}

/// The answer: an access token for the session, and its newest refresh token.
pub(super) fn issue_tokens(state: &AppState, session: &Session, refresh_token: String) -> ApiResult<Tokens> {
    let life = state.settings.access_life;
    let access_token = state.tokens.sign(&state.ambient, session.user_id, session.id, life).map_err(|error| {
        tracing::error!(%error);
        ApiError::new(ProblemCode::Internal)
    })?;
    Ok(Tokens {
        access_token,
        token_type: "Bearer".into(),
        expires_in: life.as_secs(),
        refresh_token,
        session_id: session.id,
    })
}
