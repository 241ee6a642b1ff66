//! Who OpenID providers say that accounts are.

use restroy_sdk::{ids::UserId, time::Timestamp};
use sqlx::{query, query_scalar};

use super::Tx;
use crate::sql;

/// The account that an identity is linked with.
pub async fn find_user(tx: &mut Tx, issuer: &str, subject: &str) -> Result<Option<UserId>, sqlx::Error> {
    sql!(
        tx,
        fetch_optional,
        query_scalar(
            "SELECT i.user_id FROM oidc_identities i JOIN users u ON u.id = i.user_id AND u.deleted_at IS NULL
             WHERE i.issuer = $1 AND i.subject = $2"
        )
        .bind(issuer)
        .bind(subject)
    )
}

/// Links an identity with an account.
pub async fn link(tx: &mut Tx, issuer: &str, subject: &str, user: UserId, now: Timestamp) -> Result<(), sqlx::Error> {
    sql!(
        tx,
        execute,
        query(
            "INSERT INTO oidc_identities (issuer, subject, user_id, created_at) VALUES ($1, $2, $3, $4)
             ON CONFLICT DO NOTHING"
        )
        .bind(issuer)
        .bind(subject)
        .bind(user)
        .bind(now)
    )?;
    Ok(())
}

/// Whether an account is linked with somebody at that provider.
pub async fn is_linked(tx: &mut Tx, issuer: &str, user: UserId) -> Result<bool, sqlx::Error> {
    let found: Option<i64> = sql!(
        tx,
        fetch_optional,
        query_scalar("SELECT CAST(1 AS BIGINT) FROM oidc_identities WHERE user_id = $2 AND issuer = $1 LIMIT 1")
            .bind(issuer)
            .bind(user)
    )?;
    Ok(found.is_some())
}
