//! `POST /v1/auth/login`

use axum::{
    Json,
    extract::State,
    http::{HeaderMap, header},
};
use restroy_sdk::{
    api::auth::{Login, Tokens},
    ids::SessionId,
    problem::ProblemCode,
};
use secrecy::SecretString;

use super::{failed, session::tokens};
use crate::{
    api::http::{Body, Fields},
    auth::Peer,
    error::{ApiError, ApiResult},
    state::AppState,
    store::{
        audit::{self, Actor},
        sessions::{self, Session},
        users,
    },
};

/// How many sessions an account has at once; the oldest ends when there is another.
const MAX_SESSIONS: i64 = 50;
/// What is kept of the client's name, in bytes.
const MAX_USER_AGENT: usize = 200;

/// Signs in. Takes the same path and time whether the account exists or not.
#[utoipa::path(
    post, path = "/v1/auth/login", tag = "auth", request_body = Login, security(()),
    responses((status = 200, description = "A new session", body = Tokens)),
)]
pub(super) async fn login(
    State(state): State<AppState>,
    Peer(peer): Peer,
    headers: HeaderMap,
    Body(body): Body<Login>,
) -> ApiResult<Json<Tokens>> {
    if body.email.contains('\0') {
        Fields::new().fault("/email", "an e-mail address, such as `ann@example.com`").done()?;
    }
    state.sign_ins.attempt(&state.ambient, peer, &users::fold(&body.email))?;
    let user = {
        let mut tx = state.db.system_read().await?;
        users::by_email(&mut tx, &body.email).await?
    };
    let meant = user.as_ref().map(|user| user.id);
    let stored = user.as_ref().map(|user| user.password_hash.clone());
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
    let id = state.ambient.id::<SessionId>();
    let refresh = state.tokens.refresh(&state.ambient, id, 1);
    let session = Session { id, user_id: user.id, refresh_hash: refresh.hash(), generation: 1 };
    let user_agent = headers.get(header::USER_AGENT).and_then(|name| name.to_str().ok());
    let user_agent = user_agent.map(|name| name.get(..MAX_USER_AGENT).unwrap_or(name));
    let mut tx = state.db.system_write().await?;
    // First: it holds the account's row, so that logins are counted one after the other.
    users::logged_in(&mut tx, user.id, now).await?;
    sessions::insert(&mut tx, &session, user_agent, now, now.after(state.settings.refresh_life)).await?;
    sessions::revoke_beyond(&mut tx, user.id, MAX_SESSIONS, now).await?;
    audit::of_user(
        &mut tx,
        &state.ambient,
        Actor::user(user.id, peer),
        audit::Entry::new("session.login", "session", id),
    )
    .await?;
    tx.commit().await?;
    Ok(Json(tokens(&state, &session, refresh.into_text())?))
}
