//! `POST /v1/auth/oidc` and `…/finish`

use std::time::Duration;

use axum::{Json, extract::State, http::HeaderMap};
use restroy_sdk::{
    api::auth::{FinishOidcLogin, OidcLogin, Tokens},
    ids::UserId,
    problem::ProblemCode,
    time::Timestamp,
};

use super::session;
use crate::{
    api::{
        http::{Body, SignInAttempt, rule::TextRule},
        limits::MAX_PERSON,
    },
    auth::{
        Registration,
        limit::AttemptKind,
        oidc::{Flow, Identity},
        token::{self, OpaqueToken},
    },
    error::{ApiError, ApiResult},
    state::AppState,
    store::{
        Tx,
        audit::{self, Actor},
        identities,
        one_time::{self, Purpose},
        outbox,
        users::{self, User},
    },
};

/// How long there is to sign in at the provider.
const FLOW_LIFETIME: Duration = Duration::from_mins(10);

/// Begin to sign in with the OpenID provider
///
/// Returns the address to go to and a `flow` to keep. The provider redirects to `/oidc/callback` of the
/// installation with a `code` and a `state`. 404 without a provider.
#[utoipa::path(
    post, path = "/v1/auth/oidc", tag = "auth", security(()),
    responses((status = 200, description = "Where to go", body = OidcLogin)),
)]
pub(super) async fn begin_oidc_login(
    State(state): State<AppState>,
    attempt: SignInAttempt,
) -> ApiResult<Json<OidcLogin>> {
    state.oidc.settings()?;
    // Whom it is about is not known yet: all who begin share one count otherwise.
    attempt.count_address(&state)?;
    let (authorization_url, flow) = state.oidc.begin().await?;
    let kept = OpaqueToken::new(&state.ambient);
    let now = state.ambient.now();
    let mut tx = state.db.system_write().await?;
    let subject = serde_json::to_string(&flow)?;
    one_time::insert(&mut tx, Purpose::Oidc, &kept.hash(), None, &subject, now, now.after(FLOW_LIFETIME)).await?;
    tx.commit().await?;
    Ok(Json(OidcLogin { authorization_url, flow: kept.into_text() }))
}

/// Finish signing in with the OpenID provider
///
/// The account is the one that is linked with the identity. Without a link it is the account of the address, if
/// the provider has verified the address and no other identity there is linked with the account. Otherwise a new
/// account is created. 404 without a provider.
#[utoipa::path(
    post, path = "/v1/auth/oidc/finish", tag = "auth", request_body = FinishOidcLogin, security(()),
    responses((status = 200, description = "A new session", body = Tokens)),
)]
pub(super) async fn finish_oidc_login(
    State(state): State<AppState>,
    attempt: SignInAttempt,
    headers: HeaderMap,
    Body(body): Body<FinishOidcLogin>,
) -> ApiResult<Json<Tokens>> {
    let refused =
        || ApiError::with(ProblemCode::InvalidCredentials, "The sign-in flow is invalid or expired. Start again.");
    state.oidc.settings()?;
    attempt.count(&state, AttemptKind::Token, &body.flow)?;
    let peer = attempt.address;
    let hash = token::hash(&body.flow);
    let now = state.ambient.now();
    let begun = one_time::find_flow(&mut state.db.system_read().await?, &hash, now).await?;
    let flow: Flow = serde_json::from_str(&begun.ok_or_else(refused)?)?;
    // Who sends somebody else a link to their own callback does not have the other's flow.
    if !flow.matches_state(&body.state) {
        return Err(refused());
    }
    let identity = flow.finish(&state.oidc, body.code).await?;
    let now = state.ambient.now();
    let mut tx = state.db.system_write().await?;
    if !one_time::spend_flow(&mut tx, &hash, now).await? {
        return Err(refused());
    }
    let user = account(&state, &mut tx, &identity, peer, now).await?;
    let entered = session::continue_login(&state, tx, user, peer, &headers, "openid", now).await;
    state.mail_queued();
    entered.map(Json)
}

/// The account of an identity, linked or made now.
async fn account(
    state: &AppState,
    tx: &mut Tx,
    identity: &Identity,
    peer: Option<std::net::IpAddr>,
    now: Timestamp,
) -> ApiResult<UserId> {
    if let Some(user) = identities::find_user(tx, &identity.issuer, &identity.subject).await? {
        users::lock(tx, user).await?;
        return Ok(user);
    }
    let email = identity.email.as_deref().filter(|email| TextRule::Email.is_valid(email));
    let Some(email) = email else {
        return Err(ApiError::with(
            ProblemCode::Forbidden,
            "The OpenID provider does not vouch for an e-mail address, and an account is found by it the first time.",
        ));
    };
    let new = User {
        email_verified_at: Some(now),
        ..User::new_person(state.ambient.id::<UserId>(), email, &name(identity, email), String::new(), now)
    };
    let known = users::by_email(tx, email).await?.is_some_and(|user| user.email_verified_at.is_some());
    if !known && !state.settings.registration.allows(tx, email, now).await? {
        let detail = match state.settings.registration {
            Registration::Closed => "New accounts are made by the operator of this installation only: ask there.",
            _ => "New accounts are by invitation here: ask somebody who is in a team to invite this address.",
        };
        return Err(ApiError::with(ProblemCode::Forbidden, detail));
    }
    let mut known_before = None;
    let user = if users::insert(tx, &new).await? {
        let entry = audit::Entry::new("user.register", "user", new.id);
        audit::record_for_user(tx, &state.ambient, Actor::user(new.id, peer), entry).await?;
        new.id
    } else {
        let found = users::by_email(tx, email).await?.ok_or_else(ApiError::conflict)?;
        users::lock(tx, found.id).await?;
        // Judged as it is now that nobody else changes it.
        let user =
            users::by_email(tx, email).await?.filter(|user| user.id == found.id).ok_or_else(ApiError::conflict)?;
        if identities::is_linked(tx, &identity.issuer, user.id).await? {
            // An address that went to somebody else there does not hand over what its last owner has here.
            return Err(ApiError::with(
                ProblemCode::Forbidden,
                "The account of this address belongs to somebody else at the OpenID provider: an administrator there, \
                 or the operator here, can tell who.",
            ));
        }
        if user.email_verified_at.is_none() {
            // Whoever registered it has never shown that the address is theirs; their password goes.
            users::reset_password(tx, user.id, "", now).await?;
        } else {
            known_before = Some(user.email);
        }
        user.id
    };
    identities::link(tx, &identity.issuer, &identity.subject, user, now).await?;
    let entry = audit::Entry::new("user.oidc_link", "user", user);
    audit::record_for_user(tx, &state.ambient, Actor::user(user, peer), entry).await?;
    if let Some(email) = known_before {
        let (url, issuer) = (&state.settings.public_url, &identity.issuer);
        let text = format!(
            "From now on whoever signs in at {issuer} with this address gets into your account at {url}.\n\n\
             If it was not you, tell whoever runs {url}.\n"
        );
        let subject = "Another way to sign in";
        outbox::insert_own(tx, &state.ambient, state.new_mail_status(), &email, subject, &text).await?;
    }
    Ok(user)
}

/// The provider's name for the person, as far as it is one here.
fn name(identity: &Identity, email: &str) -> String {
    let local = email.split('@').next().unwrap_or_default();
    let names = [identity.name.as_deref().unwrap_or_default(), local];
    let fits = |name: &&str| TextRule::Name(MAX_PERSON).is_valid(name);
    names.into_iter().find(fits).unwrap_or("Somebody").to_owned()
}
