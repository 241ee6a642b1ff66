//! The audit log: who did what, written in the transaction that does it.

use restroy_sdk::{
    ids::{ApiTokenId, TeamId, UserId},
    time::Ambient,
};
use serde_json::Value;
use sqlx::{query, types::Uuid};
use std::net::IpAddr;

use super::{TeamTx, Tx};
use crate::sql;

/// Who did it.
#[derive(Debug, Clone, Copy)]
pub struct Actor {
    /// The account.
    pub user: UserId,
    /// The API token that was shown, if it was one.
    pub token: Option<ApiTokenId>,
    /// Where the request came from, as far as that is known.
    pub address: Option<IpAddr>,
}

impl Actor {
    /// A person who shows no API token.
    pub fn user(user: UserId, address: Option<IpAddr>) -> Self {
        Self { user, token: None, address }
    }
}

/// What is noted.
#[derive(Debug)]
pub struct Entry<'a> {
    /// What was done, such as `board.create`.
    pub action: &'a str,
    /// Kind and id of what it was done to, such as `board 0198…`.
    pub subject: String,
    /// More about it; never a secret.
    pub details: Value,
}

impl<'a> Entry<'a> {
    /// `action` on the thing of that kind and id.
    pub fn new(action: &'a str, kind: &str, id: impl std::fmt::Display) -> Self {
        Self { action, subject: format!("{kind} {id}"), details: Value::Object(serde_json::Map::new()) }
    }

    /// With more about it.
    #[must_use]
    pub fn details(mut self, details: Value) -> Self {
        self.details = details;
        self
    }
}

/// Notes what was done in a team.
pub async fn in_team(tx: &mut TeamTx, ambient: &Ambient, actor: Actor, entry: Entry<'_>) -> Result<(), sqlx::Error> {
    let team = tx.team();
    write(tx, ambient, Some(team), actor, entry).await
}

/// Notes what was done to an account.
pub async fn of_user(tx: &mut Tx, ambient: &Ambient, actor: Actor, entry: Entry<'_>) -> Result<(), sqlx::Error> {
    write(tx, ambient, None, actor, entry).await
}

/// Notes what the operator did, on the database directly: nobody who is signed in.
pub async fn by_operator(tx: &mut TeamTx, ambient: &Ambient, entry: Entry<'_>) -> Result<(), sqlx::Error> {
    let team = tx.team();
    sql!(
        &mut **tx,
        execute,
        query(
            "INSERT INTO audit_log (id, team_id, action, subject, details, created_at)
             VALUES ($1, $2, $3, $4, $5, $6)"
        )
        .bind(ambient.uuid())
        .bind(team)
        .bind(entry.action)
        .bind(entry.subject)
        .bind(entry.details.to_string())
        .bind(ambient.now())
    )?;
    Ok(())
}

async fn write(
    tx: &mut Tx,
    ambient: &Ambient,
    team: Option<TeamId>,
    actor: Actor,
    entry: Entry<'_>,
) -> Result<(), sqlx::Error> {
    let id: Uuid = ambient.uuid();
    sql!(
        tx,
        execute,
        query(
            "INSERT INTO audit_log (id, team_id, user_id, action, subject, details, created_at)
             VALUES ($1, $2, $3, $4, $5, $6, $7)"
        )
        .bind(id)
        .bind(team)
        .bind(actor.user)
        .bind(entry.action)
        .bind(entry.subject)
        .bind(entry.details.to_string())
        .bind(ambient.now())
    )?;
    Ok(())
}
