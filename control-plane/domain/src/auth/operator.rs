//! What operators do for accounts, on the database itself: they make them, and help those who cannot get into theirs.

use std::time::Duration;

use restroy_sdk::{
    ids::UserId,
    time::{Ambient, Timestamp},
};
use serde_json::json;

use super::token::OpaqueToken;
use crate::{
    DomainError, DomainResult,
    fields::{FieldErrors, rule::TextRule},
    quotas::MAX_PERSON,
    store::{
        Db, Tx,
        audit::{self, Actor, Entry},
        one_time::{self, Purpose},
        second_factor, sessions,
        users::{self, User},
    },
};

/// An account, as an operator is asked about it.
#[derive(Debug, Clone)]
pub struct OperatorAccount {
    /// The account's id.
    pub id: UserId,
    /// Its address.
    pub email: String,
    /// The person's display name.
    pub name: String,
    /// The newest login.
    pub last_login_at: Option<Timestamp>,
    /// Whether logins ask for a code.
    pub second_factor: bool,
}

/// The account of an address or of an id; 404 when there is none.
pub async fn find(db: &Db, who: &str) -> DomainResult<OperatorAccount> {
    let mut tx = db.system_read().await?;
    let user = match who.parse() {
        Ok(id) => users::by_id(&mut tx, id).await?,
        Err(_) => users::by_email(&mut tx, who).await?,
    };
    let user = user.filter(|user| user.kind == users::PERSON).ok_or(DomainError::NotFound)?;
    let second_factor = second_factor::is_on(&mut tx, user.id).await?;
    Ok(OperatorAccount {
        id: user.id,
        email: user.email,
        name: user.name,
        last_login_at: user.last_login_at,
        second_factor,
    })
}

/// Takes the second factor of an account away, with its recovery codes, and ends its sessions and half-done logins:
/// whoever asked for it signs in with the password. Gives how many sessions went on; 404 when there was no second
/// factor.
pub async fn remove_second_factor(db: &Db, ambient: &Ambient, id: UserId) -> DomainResult<u64> {
    let now = ambient.now();
    let mut tx = db.system_write().await?;
    users::lock(&mut tx, id).await?;
    if users::by_id(&mut tx, id).await?.is_none() || !second_factor::remove(&mut tx, id).await? {
        return Err(DomainError::NotFound);
    }
    one_time::spend_all(&mut tx, Purpose::SecondFactor, id, now).await?;
    let ended = sessions::revoke_others(&mut tx, id, None, now).await?;
    let entry = Entry::new("user.totp_off", "user", id).details(json!({ "by": "operator", "sessions_ended": ended }));
    audit::record_for_user(&mut tx, ambient, Actor::user(id, None), entry).await?;
    tx.commit().await?;
    Ok(ended)
}

/// How long the token of an operator is good with which somebody chooses a password.
pub const PASSWORD_TOKEN_LIFE: Duration = Duration::from_hours(72);

/// A token with which somebody chooses the password of an account, as with one from an e-mail.
#[derive(Debug)]
pub struct PasswordToken {
    /// The account.
    pub id: UserId,
    /// Its address.
    pub email: String,
    /// The token; shown this once.
    pub token: String,
    /// Until when it is good.
    pub expires_at: Timestamp,
}

/// Makes an account, whoever may register, and gives the token for its password. The address counts as verified: the
/// operator vouches for it. 409 when an account has the address, 422 when address or name are none.
pub async fn create_account(
    db: &Db,
    ambient: &Ambient,
    email: &str,
    name: Option<&str>,
) -> DomainResult<PasswordToken> {
    let email = email.trim();
    let name = name.unwrap_or_else(|| email.split('@').next().unwrap_or_default());
    let mut fields = FieldErrors::new();
    if !TextRule::Email.is_valid(email) {
        fields.error("/email", "not an e-mail address; write name@host");
    }
    if !TextRule::Name(MAX_PERSON).is_valid(name) {
        fields.error("/name", "not a name: one line of at most 32 characters, without outer spaces");
    }
    fields.finish()?;
    let now = ambient.now();
    let mut tx = db.system_write().await?;
    let user = User {
        email_verified_at: Some(now),
        ..User::new_person(ambient.id::<UserId>(), email, name, String::new(), now)
    };
    if !users::insert(&mut tx, &user).await? {
        return Err(DomainError::conflict("An account has this address already."));
    }
    let entry = Entry::new("user.register", "user", user.id).details(json!({ "by": "operator" }));
    audit::record_for_user(&mut tx, ambient, Actor::user(user.id, None), entry).await?;
    let token = password_token(&mut tx, ambient, user.id, email, now).await?;
    tx.commit().await?;
    Ok(token)
}

/// Gives a token with which another password of an account can be chosen; the old one is good until then. 404 when
/// there is no such account.
pub async fn reset_password(db: &Db, ambient: &Ambient, id: UserId) -> DomainResult<PasswordToken> {
    let now = ambient.now();
    let mut tx = db.system_write().await?;
    users::lock(&mut tx, id).await?;
    let user = users::by_id(&mut tx, id).await?.ok_or(DomainError::NotFound)?;
    let token = password_token(&mut tx, ambient, id, &user.email, now).await?;
    let entry = Entry::new("user.password_reset_asked", "user", id).details(json!({ "by": "operator" }));
    audit::record_for_user(&mut tx, ambient, Actor::user(id, None), entry).await?;
    tx.commit().await?;
    Ok(token)
}

async fn password_token(
    tx: &mut Tx,
    ambient: &Ambient,
    id: UserId,
    email: &str,
    now: Timestamp,
) -> DomainResult<PasswordToken> {
    let token = OpaqueToken::new(ambient);
    let expires_at = now.after(PASSWORD_TOKEN_LIFE);
    one_time::insert(tx, Purpose::ResetPassword, &token.hash(), id, &users::fold(email), now, expires_at).await?;
    Ok(PasswordToken { id, email: email.to_owned(), token: token.into_text(), expires_at })
}
