//! Accounts: of people, and of services, which have no password and no address that mail reaches.

use restroy_sdk::{ids::UserId, time::Timestamp};
use sqlx::{query, query_as, query_scalar};

use super::Tx;
use crate::sql;

/// An account.
#[derive(Debug, Clone, sqlx::FromRow)]
pub struct User {
    /// The account's id.
    pub id: UserId,
    /// Its address, as typed.
    pub email: String,
    /// The person's display name.
    pub name: String,
    /// Public information about the person.
    pub about: String,
    /// An IANA time zone.
    pub timezone: String,
    /// `new_person` or `service`.
    pub kind: String,
    /// The argon2id hash, a PHC string; empty where nobody signs in with a password.
    pub password_hash: String,
    /// When the address was verified.
    pub email_verified_at: Option<Timestamp>,
    /// The newest login.
    pub last_login_at: Option<Timestamp>,
    /// When it was created.
    pub created_at: Timestamp,
}

impl User {
    /// A person who has just registered.
    pub fn new_person(id: UserId, email: &str, name: &str, password_hash: String, now: Timestamp) -> Self {
        Self {
            id,
            email: email.trim().to_owned(),
            name: name.to_owned(),
            about: String::new(),
            timezone: "UTC".into(),
            kind: PERSON.into(),
            password_hash,
            email_verified_at: None,
            last_login_at: None,
            created_at: now,
        }
    }

    /// The hash that a password is compared with, if the account has one.
    pub fn stored_password(&self) -> Option<String> {
        Some(self.password_hash.clone()).filter(|hash| !hash.is_empty())
    }
}

/// The kind of an account with a person.
pub const PERSON: &str = "person";
/// The kind of an account without one.
pub const SERVICE: &str = "service";

/// Addresses are compared without case.
pub fn fold(email: &str) -> String {
    email.trim().to_lowercase()
}

/// The columns of a [`User`].
macro_rules! columns {
    () => {
        "id, email, name, about, timezone, kind, password_hash, email_verified_at, last_login_at, created_at"
    };
}

/// The account of an address, of a person.
pub async fn by_email(tx: &mut Tx, email: &str) -> Result<Option<User>, sqlx::Error> {
    sql!(
        tx,
        fetch_optional,
        query_as(concat!(
            "SELECT ",
            columns!(),
            " FROM users WHERE email_folded = $1 AND kind = 'person' AND deleted_at IS NULL"
        ))
        .bind(fold(email))
    )
}

/// An account.
pub async fn by_id(tx: &mut Tx, id: UserId) -> Result<Option<User>, sqlx::Error> {
    sql!(
        tx,
        fetch_optional,
        query_as(concat!("SELECT ", columns!(), " FROM users WHERE id = $1 AND deleted_at IS NULL")).bind(id)
    )
}

/// Holds an account's row until the transaction ends: what is counted of the account and then
/// changed is not changed by another meanwhile. On SQLite there is one writer anyway. Whether there was a row
/// (perhaps of an account that is deleted): what was read before may have been removed since.
pub async fn lock(tx: &mut Tx, id: UserId) -> Result<bool, sqlx::Error> {
    let statement = tx.pick(
        "SELECT CAST(1 AS BIGINT) FROM users WHERE id = $1",
        "SELECT CAST(1 AS BIGINT) FROM users WHERE id = $1 FOR NO KEY UPDATE",
    );
    let found: Option<i64> = sql!(tx, fetch_optional, query_scalar(statement).bind(id))?;
    Ok(found.is_some())
}

/// A new account; false when the address is that of an account already, perhaps of one that was made
/// at this moment.
pub async fn insert(tx: &mut Tx, user: &User) -> Result<bool, sqlx::Error> {
    let done = sql!(
        tx,
        execute,
        query(
            "INSERT INTO users (id, email, email_folded, name, password_hash, email_verified_at, created_at, kind)
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8)
             ON CONFLICT (email_folded) WHERE deleted_at IS NULL DO NOTHING"
        )
        .bind(user.id)
        .bind(&user.email)
        .bind(fold(&user.email))
        .bind(&user.name)
        .bind(&user.password_hash)
        .bind(user.email_verified_at)
        .bind(user.created_at)
        .bind(&user.kind)
    )?;
    Ok(done.rows_affected() == 1)
}

/// Verifies an address, with the password and name of the registration that the e-mail belonged to.
/// A verified account stays as it is; whether this one was verified now.
pub async fn verify(
    tx: &mut Tx,
    id: UserId,
    name: &str,
    password_hash: &str,
    now: Timestamp,
) -> Result<bool, sqlx::Error> {
    let done = sql!(
        tx,
        execute,
        query(
            "UPDATE users SET email_verified_at = $4, name = $2, password_hash = $3
             WHERE id = $1 AND email_verified_at IS NULL AND deleted_at IS NULL"
        )
        .bind(id)
        .bind(name)
        .bind(password_hash)
        .bind(now)
    )?;
    Ok(done.rows_affected() == 1)
}

/// Notes a login.
pub async fn record_login(tx: &mut Tx, id: UserId, now: Timestamp) -> Result<(), sqlx::Error> {
    sql!(tx, execute, query("UPDATE users SET last_login_at = $2 WHERE id = $1").bind(id).bind(now))?;
    Ok(())
}

/// Writes what the person says about themselves.
pub async fn update_profile(tx: &mut Tx, user: &User) -> Result<(), sqlx::Error> {
    sql!(
        tx,
        execute,
        query("UPDATE users SET name = $2, about = $3, timezone = $4 WHERE id = $1 AND deleted_at IS NULL")
            .bind(user.id)
            .bind(&user.name)
            .bind(&user.about)
            .bind(&user.timezone)
    )?;
    Ok(())
}

/// Gives an account another password, if it still has the one that `from` is the hash of; whether it had.
pub async fn set_password(tx: &mut Tx, id: UserId, from: &str, to: &str) -> Result<bool, sqlx::Error> {
    let done = sql!(
        tx,
        execute,
        query("UPDATE users SET password_hash = $3 WHERE id = $1 AND password_hash = $2 AND deleted_at IS NULL")
            .bind(id)
            .bind(from)
            .bind(to)
    )?;
    Ok(done.rows_affected() == 1)
}

/// Gives an account another password, by a link that was sent to its address: who follows it has the
/// address, which counts as verified from then on.
pub async fn reset_password(tx: &mut Tx, id: UserId, hash: &str, now: Timestamp) -> Result<bool, sqlx::Error> {
    let done = sql!(
        tx,
        execute,
        query(
            "UPDATE users SET password_hash = $2, email_verified_at = coalesce(email_verified_at, $3)
             WHERE id = $1 AND kind = 'person' AND deleted_at IS NULL"
        )
        .bind(id)
        .bind(hash)
        .bind(now)
    )?;
    Ok(done.rows_affected() == 1)
}

/// Whether an address is that of an account.
pub async fn is_taken(tx: &mut Tx, email: &str) -> Result<bool, sqlx::Error> {
    let found: Option<i64> = sql!(
        tx,
        fetch_optional,
        query_scalar("SELECT CAST(1 AS BIGINT) FROM users WHERE email_folded = $1 AND deleted_at IS NULL")
            .bind(fold(email))
    )?;
    Ok(found.is_some())
}

/// Gives an account another address; a unique violation when it is that of another now.
pub async fn set_email(tx: &mut Tx, id: UserId, email: &str, now: Timestamp) -> Result<(), sqlx::Error> {
    sql!(
        tx,
        execute,
        query(
            "UPDATE users SET email = $2, email_folded = $3, email_verified_at = $4
             WHERE id = $1 AND deleted_at IS NULL"
        )
        .bind(id)
        .bind(email.trim())
        .bind(fold(email))
        .bind(now)
    )?;
    Ok(())
}

/// Deletes an account. The row stays for those who refer to it; name and address go 30 days later.
pub async fn delete(tx: &mut Tx, id: UserId, now: Timestamp) -> Result<(), sqlx::Error> {
    for statement in [
        "UPDATE users SET deleted_at = $2 WHERE id = $1 AND deleted_at IS NULL",
        "UPDATE sessions SET revoked_at = $2 WHERE user_id = $1 AND revoked_at IS NULL",
        "UPDATE api_tokens SET revoked_at = $2 WHERE user_id = $1 AND revoked_at IS NULL",
        "UPDATE one_time_tokens SET used_at = $2 WHERE user_id = $1 AND used_at IS NULL",
    ] {
        sql!(&mut *tx, execute, query(statement).bind(id).bind(now))?;
    }
    for statement in ["DELETE FROM memberships WHERE user_id = $1", "DELETE FROM oidc_identities WHERE user_id = $1"] {
        sql!(&mut *tx, execute, query(statement).bind(id))?;
    }
    Ok(())
}
