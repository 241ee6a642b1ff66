//! `POST /v1/me/email` and `…/confirm`

use std::time::Duration;

use axum::{Json, extract::State, http::StatusCode};
use restroy_sdk::{
    api::{
        account::{ChangeEmail, ConfirmEmail, EmailChange},
        auth::Accepted,
    },
    problem::{Fault, Problem, ProblemCode},
};

use super::proof;
use crate::{
    api::http::{Body, Fields},
    auth::{
        Attempt, Caller,
        token::{self, Opaque},
    },
    error::{ApiError, ApiResult, is_unique_violation},
    state::AppState,
    store::{
        audit::{self, Actor},
        one_time::{self, Purpose},
        outbox, users,
    },
};

/// How long there is for both addresses to confirm.
const LIFE: Duration = Duration::from_hours(24);
/// How many changes an account may begin within [`LIFE`]: each sends two e-mails.
const MAX_BEGUN: i64 = 5;

/// Begins to change the account's address: both addresses get an e-mail, both must confirm within a day, and
/// either may stop it. A change that was begun before is stopped. The answer does not tell whether the new address
/// is that of another account.
#[utoipa::path(
    post, path = "/v1/me/email", tag = "me", request_body = ChangeEmail,
    responses((status = 202, description = "Look into both mailboxes", body = Accepted)),
)]
pub(super) async fn change_email(
    State(state): State<AppState>,
    caller: Caller,
    attempt: Attempt,
    Body(body): Body<ChangeEmail>,
) -> ApiResult<(StatusCode, Json<Accepted>)> {
    Fields::new().email("/email", &body.email).done()?;
    let user = proof::prove(&state, caller, &attempt, body.password).await?;
    let email = body.email.trim();
    if email == user.email {
        Fields::new().fault("/email", "the account's address already").done()?;
    }
    let now = state.ambient.now();
    let mut tx = proof::go_on(&state, caller, &user, now).await?;
    if one_time::made_since(&mut tx, Purpose::EmailOld, user.id, now.before(LIFE)).await? >= MAX_BEGUN {
        let detail = format!("At most {MAX_BEGUN} changes of the address may begin in a day; wait.");
        return Err(ApiError::with(ProblemCode::RateLimited, detail));
    }
    for purpose in [Purpose::EmailOld, Purpose::EmailNew] {
        one_time::spend_all(&mut tx, purpose, user.id, now).await?;
    }
    // The same address in another spelling is nobody else's.
    let taken = users::fold(email) != users::fold(&user.email) && users::is_taken(&mut tx, email).await?;
    let change = format!("{} {email}", state.ambient.uuid());
    let url = &state.settings.public_url;
    for (purpose, to) in [(Purpose::EmailOld, user.email.as_str()), (Purpose::EmailNew, email)] {
        let token = Opaque::new(&state.ambient);
        one_time::insert(&mut tx, purpose, &token.hash(), user.id, &change, now, now.after(LIFE)).await?;
        let text = if taken && purpose == Purpose::EmailNew {
            format!(
                "Somebody, perhaps you, wanted this to be the address of an account at {url}.\n\n\
                 It is the address of another account there already: sign in to that one, or choose another address. \
                 If it was not you, there is nothing to do.\n"
            )
        } else {
            let token = token.into_text();
            format!(
                "The account of {} at {url} is to get the address {email} in place of {}.\n\n\
                 If that is right, confirm it from both addresses within a day. From this one:\n\n  \
                 {url}/change-email#{token}\n\nor pass the token to the API:\n\n  {token}\n\n\
                 If it is not, stop it in the same place, or do nothing: then nothing changes.\n",
                user.name, user.email
            )
        };
        let subject = "Another address for your account";
        outbox::insert_own(&mut tx, &state.ambient, state.new_mail_status(), to, subject, &text).await?;
    }
    let entry = audit::Entry::new("user.email_change_begun", "user", user.id);
    audit::of_user(&mut tx, &state.ambient, caller.actor(), entry).await?;
    tx.commit().await?;
    state.mail_queued();
    let message = "We sent an e-mail to both addresses: confirm in both.".into();
    Ok((StatusCode::ACCEPTED, Json(Accepted { message })))
}

/// Confirms a change of address with the token from one of the two e-mails, or stops it. The second confirmation
/// makes the change.
#[utoipa::path(
    post, path = "/v1/me/email/confirm", tag = "me", request_body = ConfirmEmail, security(()),
    responses((status = 200, description = "How it stands", body = EmailChange)),
)]
pub(super) async fn confirm_email(
    State(state): State<AppState>,
    attempt: Attempt,
    Body(body): Body<ConfirmEmail>,
) -> ApiResult<Json<EmailChange>> {
    attempt.count(&state, &body.token)?;
    let peer = attempt.address;
    let hash = token::hash(&body.token);
    let now = state.ambient.now();
    let mut tx = state.db.system_read().await?;
    let mut found = None;
    for (purpose, other) in [(Purpose::EmailOld, Purpose::EmailNew), (Purpose::EmailNew, Purpose::EmailOld)] {
        if let Some((user, _)) = one_time::look(&mut tx, purpose, &hash, now).await? {
            found = Some((purpose, other, user));
        }
    }
    drop(tx);
    let (purpose, other, user) = found.ok_or_else(refused)?;
    let mut tx = state.db.system_write().await?;
    // Both may come at once: the second finds the first's.
    users::lock(&mut tx, user).await?;
    let (_, change) = one_time::spend(&mut tx, purpose, &hash, now).await?.ok_or_else(refused)?;
    users::by_id(&mut tx, user).await?.ok_or_else(refused)?;
    let email = change.split_once(' ').map(|(_, email)| email.to_owned()).ok_or_else(refused)?;
    let actor = Actor::user(user, peer);
    let status = if body.stop {
        one_time::spend_all(&mut tx, other, user, now).await?;
        let entry = audit::Entry::new("user.email_change_stopped", "user", user);
        audit::of_user(&mut tx, &state.ambient, actor, entry).await?;
        "stopped"
    } else if one_time::was_spent(&mut tx, other, user, &change, now).await? {
        users::set_email(&mut tx, user, &email, now).await.map_err(|error| {
            if is_unique_violation(&error) {
                ApiError::with(ProblemCode::Conflict, "Another account has got this address meanwhile; begin again.")
            } else {
                error.into()
            }
        })?;
        // What was sent to the old address to choose another password is good no more.
        one_time::spend_all(&mut tx, Purpose::ResetPassword, user, now).await?;
        // Without the addresses: what identifies a person goes when they have gone.
        let entry = audit::Entry::new("user.email_change", "user", user);
        audit::of_user(&mut tx, &state.ambient, actor, entry).await?;
        "changed"
    } else {
        "waiting"
    };
    tx.commit().await?;
    Ok(Json(EmailChange { status: status.into() }))
}

fn refused() -> ApiError {
    let fault = Fault::new("/token", "unknown, used or too old; begin the change again");
    Problem::new(ProblemCode::Invalid).errors(vec![fault]).into()
}
