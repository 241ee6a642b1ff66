//! `POST /v1/auth/register`

use std::{net::IpAddr, time::Duration};

use axum::{Json, extract::State, http::StatusCode};
use restroy_sdk::{
    api::auth::{Accepted, Register},
    ids::UserId,
};
use secrecy::SecretString;
use serde::{Deserialize, Serialize};
use tokio::time::Instant;

use crate::{
    api::{
        http::{Body, SignInAttempt},
        notices::NoticeContext,
        strangers,
    },
    auth::{limit::AttemptKind, token::OpaqueToken},
    error::{ApiError, ApiResult},
    mail::quoted,
    state::AppState,
    store::{
        Tx,
        audit::{self, Actor},
        one_time::{self, Purpose},
        outbox,
        stranger_mails::EmailCause,
        users::{self, User},
    },
};

/// How many e-mails an address gets within [`MAIL_WINDOW`], whoever registers it.
const MAX_MAILS: i64 = 5;
const MAIL_WINDOW: Duration = Duration::from_hours(1);

/// What a verification link is about: the registration that it was sent for, and no other. Its password is asked for
/// with the link, so that whoever registers somebody else's address first gains nothing by it, even when the owner
/// follows the link.
#[derive(Serialize, Deserialize)]
pub(super) struct PendingRegistration {
    pub(super) name: String,
    pub(super) password_hash: String,
}

/// Register an account
///
/// The response is the same whether the address is known or not, and whether it may have an account (an
/// installation can restrict registration to invitations or close it). The account can sign in once its address
/// is verified; on a local installation at once.
#[utoipa::path(
    post, path = "/v1/auth/register", tag = "auth", request_body = Register, security(()),
    responses((status = 202, description = "Look into your mailbox", body = Accepted)),
)]
pub(super) async fn register(
    State(state): State<AppState>,
    attempt: SignInAttempt,
    Body(new): Body<Register>,
) -> ApiResult<(StatusCode, Json<Accepted>)> {
    attempt.count(&state, AttemptKind::Register, &users::fold(&new.email))?;
    let begun = Instant::now();
    create_account(&state, attempt.address, new).await?;
    let message = if state.settings.dev {
        "If the address was new, the account is ready: sign in."
    } else {
        "If the address may have an account here, we sent an e-mail to it: verify it with the token in it and your \
         password, then sign in."
    };
    strangers::pad_response_time(&state, begun, strangers::REGISTRATION_DURATION).await;
    Ok((StatusCode::ACCEPTED, Json(Accepted { message: message.into() })))
}

/// Makes the account, unless there is one or may be none, and sends the e-mail.
async fn create_account(state: &AppState, peer: Option<IpAddr>, new: Register) -> ApiResult<()> {
    let password_hash = state.passwords.hash(SecretString::from(new.password)).await?;
    let now = state.ambient.now();
    let mut tx = state.db.system_write().await?;
    let account = users::by_email(&mut tx, &new.email).await?;
    let known = account.is_some_and(|user| user.email_verified_at.is_some());
    let welcome = known
        || (state.settings.registration.allows(&mut tx, &new.email, now).await?
            && strangers::may_email(state, &mut tx, &new.email, EmailCause::Visitor, peer, now).await?);
    if !welcome {
        return Ok(());
    }
    // A login takes no password of an account whose address nobody has verified; this one is replaced by then.
    let user = User {
        email_verified_at: state.settings.dev.then_some(now),
        ..User::new_person(state.ambient.id::<UserId>(), &new.email, &new.name, password_hash.clone(), now)
    };
    let user = if users::insert(&mut tx, &user).await? {
        audit::record_for_user(
            &mut tx,
            &state.ambient,
            Actor::user(user.id, peer),
            audit::Entry::new("user.register", "user", user.id),
        )
        .await?;
        user
    } else {
        let Some(user) = users::by_email(&mut tx, &new.email).await? else {
            // It was there a moment ago, and is deleted now.
            return Err(ApiError::conflict());
        };
        // The e-mails to the address are counted one registration after the other. By now the purge may have
        // removed an account that nobody verified.
        if !users::lock(&mut tx, user.id).await? {
            return Err(ApiError::conflict());
        }
        user
    };
    if !state.settings.dev {
        let happened = NoticeContext { at: now, from: peer };
        queue_email(state, &mut tx, &user, PendingRegistration { name: new.name, password_hash }, happened).await?;
    }
    tx.commit().await?;
    state.mail_queued();
    Ok(())
}

/// Notifies the owner of the address what happened. For a known and an unknown address the same rows are written.
async fn queue_email(
    state: &AppState,
    tx: &mut Tx,
    user: &User,
    registration: PendingRegistration,
    happened: NoticeContext,
) -> ApiResult<()> {
    let now = happened.at;
    if one_time::count_created_since(tx, Purpose::VerifyEmail, user.id, now.before(MAIL_WINDOW)).await? >= MAX_MAILS {
        return Ok(());
    }
    let token = OpaqueToken::new(&state.ambient);
    let hash = token.hash();
    let token = token.into_text();
    let expires = now.after(state.settings.verify_life);
    let url = &state.settings.public_url;
    let who = format!(
        "Somebody, perhaps you, registered at {url} with this address, as {}: {happened}.\n\n",
        quoted(&registration.name).trim_matches('"')
    );
    let (subject, registration, text) = if user.email_verified_at.is_some() {
        let text = format!(
            "{who}\
             You have an account already: sign in with the password you chose then. If it was not you, there is \
             nothing to do.\n"
        );
        ("Your account at Restroy", String::new(), text)
    } else {
        let text = format!(
            "{who}\
             If it was you, verify the address within a day, with the password that you chose then:\n\n  \
             {url}/verify-email#{token}\n\n\
             or pass the token to the API or the command line:\n\n  {token}\n\n\
             If it was not you, there is nothing to do: without that password this token is good for nothing. If \
             you registered at another time, take the e-mail of that time, or ask for another password (\"forgot \
             password\"): that verifies the address too.\n"
        );
        ("Verify your address", serde_json::to_string(&registration)?, text)
    };
    one_time::insert(tx, Purpose::VerifyEmail, &hash, user.id, &registration, now, expires).await?;
    outbox::insert_own(tx, &state.ambient, state.new_mail_status(), &user.email, subject, &text).await?;
    Ok(())
}
