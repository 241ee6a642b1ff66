//! `POST /v1/me/email` and `…/confirm`

use std::time::Duration;

use axum::{Json, extract::State, http::StatusCode};
use restroy_sdk::{
    api::{
        account::{ChangeEmail, ConfirmEmail, EmailChange},
        auth::Accepted,
    },
    problem::{FieldError, Problem, ProblemCode},
};

use super::proof;
use crate::{
    api::{
        http::{Body, FieldErrors, SignInAttempt},
        notices::{self, NoticeContext},
        strangers,
    },
    auth::{
        Caller,
        limit::AttemptKind,
        token::{self, OpaqueToken},
    },
    error::{ApiError, ApiResult},
    mail::quoted,
    state::AppState,
    store::{
        audit::{self, Actor},
        failure::is_unique_violation,
        one_time::{self, Purpose},
        outbox,
        stranger_mails::EmailCause,
        users,
    },
};

/// How long there is for both addresses to confirm.
const TOKEN_LIFETIME: Duration = Duration::from_hours(24);
/// How many changes an account may begin within [`TOKEN_LIFETIME`]: each sends two e-mails.
const MAX_PENDING: i64 = 5;
/// How many of these e-mails a new address gets within [`MAIL_WINDOW`], whichever accounts they are for.
const MAX_MAILS: i64 = 5;
const MAIL_WINDOW: Duration = Duration::from_hours(1);

/// Begin to change the account's e-mail address
///
/// Both addresses get an e-mail; both must confirm within a day, and either can stop the change. A pending change
/// is stopped. The response does not reveal whether the new address belongs to another account or has reached its
/// limit of such e-mails.
#[utoipa::path(
    post, path = "/v1/me/email", tag = "me", request_body = ChangeEmail,
    responses((status = 202, description = "Look into both mailboxes", body = Accepted)),
)]
pub(super) async fn change_email(
    State(state): State<AppState>,
    caller: Caller,
    attempt: SignInAttempt,
    Body(body): Body<ChangeEmail>,
) -> ApiResult<(StatusCode, Json<Accepted>)> {
    let user = proof::verify_caller(&state, caller, &attempt, body.password).await?;
    let email = body.email.trim();
    if email == user.email {
        FieldErrors::new().error("/email", "the account's address already").finish()?;
    }
    let now = state.ambient.now();
    let mut tx = proof::begin_verified(&state, caller, &user, now).await?;
    if one_time::count_created_since(&mut tx, Purpose::EmailOld, user.id, now.before(TOKEN_LIFETIME)).await?
        >= MAX_PENDING
    {
        let detail = format!("At most {MAX_PENDING} address changes can be started per day. Wait.");
        return Err(ApiError::with(ProblemCode::RateLimited, detail));
    }
    for purpose in [Purpose::EmailOld, Purpose::EmailNew] {
        one_time::spend_all(&mut tx, purpose, user.id, now).await?;
    }
    // The same address in another spelling is nobody else's.
    let folded = users::fold(email);
    let taken = folded != users::fold(&user.email) && users::is_taken(&mut tx, email).await?;
    let crowded = one_time::count_changes_since(&mut tx, &folded, now.before(MAIL_WINDOW)).await? >= MAX_MAILS
        || !(users::is_taken(&mut tx, email).await?
            || strangers::may_email(&state, &mut tx, email, EmailCause::Account, caller.address, now).await?);
    let change = format!("{} {email}", state.ambient.uuid());
    let url = &state.settings.public_url;
    for (purpose, to) in [(Purpose::EmailOld, user.email.as_str()), (Purpose::EmailNew, email)] {
        let token = OpaqueToken::new(&state.ambient);
        let hash = token.hash();
        one_time::insert(&mut tx, purpose, &hash, user.id, &change, now, now.after(TOKEN_LIFETIME)).await?;
        if purpose == Purpose::EmailNew {
            if crowded {
                // As if it were sent: who asks may have nothing to do with that address. What was not sent is not
                // counted either, or asking on would keep its owner from it for ever.
                continue;
            }
            one_time::set_recipient(&mut tx, &hash, &folded).await?;
        }
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
                quoted(&user.name),
                user.email
            )
        };
        let subject = "Another address for your account";
        outbox::insert_own(&mut tx, &state.ambient, state.new_mail_status(), to, subject, &text).await?;
    }
    let entry = audit::Entry::new("user.email_change_begun", "user", user.id);
    audit::record_for_user(&mut tx, &state.ambient, caller.actor(), entry).await?;
    tx.commit().await?;
    state.mail_queued();
    let message = "We sent an e-mail to both addresses: confirm in both.".into();
    Ok((StatusCode::ACCEPTED, Json(Accepted { message })))
}

/// Confirm or stop a change of the e-mail address
///
/// Takes the token from either e-mail. A token that has confirmed can still stop the change while it waits for
/// the other. The second confirmation makes the change; an e-mail to both addresses reports it.
#[utoipa::path(
    post, path = "/v1/me/email/confirm", tag = "me", request_body = ConfirmEmail, security(()),
    responses((status = 200, description = "How it stands", body = EmailChange)),
)]
pub(super) async fn confirm_email(
    State(state): State<AppState>,
    attempt: SignInAttempt,
    Body(body): Body<ConfirmEmail>,
) -> ApiResult<Json<EmailChange>> {
    attempt.count(&state, AttemptKind::Token, &body.token)?;
    let peer = attempt.address;
    let hash = token::hash(&body.token);
    let now = state.ambient.now();
    let mut tx = state.db.system_read().await?;
    let mut found = None;
    for (purpose, other) in [(Purpose::EmailOld, Purpose::EmailNew), (Purpose::EmailNew, Purpose::EmailOld)] {
        if let Some((user, change, _)) = one_time::find_including_spent(&mut tx, purpose, &hash, now).await? {
            found = Some((purpose, other, user, change));
        }
    }
    drop(tx);
    let (purpose, other, user, change) = found.ok_or_else(invalid_token)?;
    let mut tx = state.db.system_write().await?;
    // Both may come at once: the second finds the first's.
    users::lock(&mut tx, user).await?;
    let unspent = one_time::spend(&mut tx, purpose, &hash, now).await?.is_some();
    let account = users::by_id(&mut tx, user).await?.ok_or_else(invalid_token)?;
    let email = change.split_once(' ').map(|(_, email)| email.to_owned()).ok_or_else(invalid_token)?;
    let actor = Actor::user(user, peer);
    let status = if body.stop {
        let waited = one_time::spend_by_subject(&mut tx, other, user, &change, now).await?;
        if !unspent && !waited {
            return Err(invalid_token());
        }
        let entry = audit::Entry::new("user.email_change_stopped", "user", user);
        audit::record_for_user(&mut tx, &state.ambient, actor, entry).await?;
        "stopped"
    } else if !unspent {
        return Err(invalid_token());
    } else if one_time::was_spent(&mut tx, other, user, &change, now).await? {
        users::set_email(&mut tx, user, &email, now).await.map_err(|error| {
            if is_unique_violation(&error) {
                ApiError::with(ProblemCode::Conflict, "Another account has taken this address meanwhile. Start again.")
            } else {
                error.into()
            }
        })?;
        // What was sent to the old address to choose another password is no longer valid.
        one_time::spend_all(&mut tx, Purpose::ResetPassword, user, now).await?;
        // Without the addresses: what identifies a person goes when they have gone.
        let entry = audit::Entry::new("user.email_change", "user", user);
        audit::record_for_user(&mut tx, &state.ambient, actor, entry).await?;
        let what = format!("Your account has the address {email} now, in place of {}.", account.email);
        let happened = NoticeContext { at: now, from: peer };
        for to in [account.email.as_str(), email.as_str()] {
            notices::queue_notice(&state, &mut tx, to, "The address of your account was changed", &what, happened)
                .await?;
        }
        "changed"
    } else {
        "waiting"
    };
    tx.commit().await?;
    state.mail_queued();
    Ok(Json(EmailChange { status: status.into() }))
}

fn invalid_token() -> ApiError {
    let fault = FieldError::new("/token", "unknown, used or expired; start the change again");
    Problem::new(ProblemCode::Invalid).errors(vec![fault]).into()
}
