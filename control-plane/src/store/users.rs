//! Accounts.

use restroy_sdk::{ids::UserId, time::Timestamp};
use sqlx::{query, query_as};

use super::Tx;
use crate::sql;

/// An account.
#[derive(Debug, Clone, sqlx::FromRow)]
pub struct User {
    /// Its id.
    pub id: UserId,
    /// Its address, as typed.
    pub email: String,
    /// How others see the person.
    pub name: String,
    /// The argon2id hash, a PHC string.
    pub password_hash: String,
    /// When the address was verified.
    pub email_verified_at: Option<Timestamp>,
    /// Since when.
    pub created_at: Timestamp,
}

/// Addresses are compared without case.
pub fn fold(email: &str) -> String {
    email.trim().to_lowercase()
}

/// The account of an address.
pub async fn by_email(tx: &mut Tx, email: &str) -> Result<Option<User>, sqlx::Error> {
    sql!(
        tx,
        fetch_optional,
        query_as(
            "SELECT id, email, name, password_hash, email_verified_at, created_at
             FROM users WHERE email_folded = $1 AND deleted_at IS NULL"
        )
        .bind(fold(email))
    )
}

/// An account.
pub async fn by_id(tx: &mut Tx, id: UserId) -> Result<Option<User>, sqlx::Error> {
    sql!(
        tx,
        fetch_optional,
        query_as(
            "SELECT id, email, name, password_hash, email_verified_at, created_at
             FROM users WHERE id = $1 AND deleted_at IS NULL"
        )
        .bind(id)
    )
}

/// Holds an account's row until the transaction ends: what is counted of the account and then
/// changed is not changed by another meanwhile. On SQLite there is one writer anyway.
pub async fn lock(tx: &mut Tx, id: UserId) -> Result<(), sqlx::Error> {
    if let Tx::Postgres(_) = tx {
        sql!(tx, execute, query("SELECT 1 FROM users WHERE id = $1 FOR NO KEY UPDATE").bind(id))?;
    }
    Ok(())
}

/// A new account; false when the address is that of an account already, perhaps of one that was made
/// at this moment.
pub async fn insert(tx: &mut Tx, user: &User) -> Result<bool, sqlx::Error> {
    let done = sql!(
        tx,
        execute,
        query(
            "INSERT INTO users (id, email, email_folded, name, password_hash, email_verified_at, created_at)
             VALUES ($1, $2, $3, $4, $5, $6, $7)
             ON CONFLICT (email_folded) WHERE deleted_at IS NULL DO NOTHING"
        )
        .bind(user.id)
        .bind(&user.email)
        .bind(fold(&user.email))
        .bind(&user.name)
        .bind(&user.password_hash)
        .bind(user.email_verified_at)
        .bind(user.created_at)
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
pub async fn logged_in(tx: &mut Tx, id: UserId, now: Timestamp) -> Result<(), sqlx::Error> {
    sql!(tx, execute, query("UPDATE users SET last_login_at = $2 WHERE id = $1").bind(id).bind(now))?;
    Ok(())
}
