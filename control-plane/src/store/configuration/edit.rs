//! Reading and changing a script's configuration.

use restroy_sdk::{
    api::script::ConfigurationEntry,
    ids::{ScriptId, UserId},
    time::{Ambient, Timestamp},
};
use sqlx::{query, query_as, types::Uuid};

use crate::{
    secrets::{Context, TeamKey},
    sql,
    store::{StoreError, TeamTx},
};

#[derive(sqlx::FromRow)]
struct Row {
    key: String,
    secret: bool,
    plain: Option<String>,
    revision: i64,
    created_at: Timestamp,
}

impl From<Row> for ConfigurationEntry {
    fn from(row: Row) -> Self {
        Self {
            key: row.key,
            secret: row.secret,
            value: row.plain, // the table holds none for a secret
            revision: row.revision,
            updated_at: row.created_at,
        }
    }
}

/// The script's entries in force, by key, after `after`; a secret without its value.
pub async fn list(
    tx: &mut TeamTx,
    script: ScriptId,
    after: Option<&str>,
    rows: i64,
) -> Result<Vec<ConfigurationEntry>, sqlx::Error> {
    let team = tx.team();
    let rows: Vec<Row> = sql!(
        &mut **tx,
        fetch_all,
        query_as(
            "SELECT c.key, c.secret, c.plain, c.revision, c.created_at FROM configurations c
             WHERE c.team_id = $1 AND c.script_id = $2 AND NOT c.removed AND ($3 IS NULL OR c.key > $3)
               AND c.revision = (
                   SELECT max(n.revision) FROM configurations n
                   WHERE n.team_id = c.team_id AND n.script_id = c.script_id AND n.key = c.key)
             ORDER BY c.key LIMIT $4"
        )
        .bind(team)
        .bind(script)
        .bind(after)
        .bind(rows)
    )?;
    Ok(rows.into_iter().map(ConfigurationEntry::from).collect())
}

/// How many entries of the script are in force: plain ones, secrets.
pub async fn count(tx: &mut TeamTx, script: ScriptId) -> Result<(i64, i64), sqlx::Error> {
    let team = tx.team();
    sql!(
        &mut **tx,
        fetch_one,
        query_as(
            "SELECT count(*) FILTER (WHERE NOT c.secret), count(*) FILTER (WHERE c.secret) FROM configurations c
             WHERE c.team_id = $1 AND c.script_id = $2 AND NOT c.removed
               AND c.revision = (
                   SELECT max(n.revision) FROM configurations n
                   WHERE n.team_id = c.team_id AND n.script_id = c.script_id AND n.key = c.key)"
        )
        .bind(team)
        .bind(script)
    )
}

/// What a key holds from now on.
#[derive(Debug)]
pub enum Value<'a> {
    /// A plain value.
    Plain(&'a str),
    /// A secret, to be sealed with the team's key.
    Secret(&'a str, &'a TeamKey),
    /// Nothing.
    Removed,
}

/// A change of one key.
#[derive(Debug)]
pub struct Change<'a> {
    /// Whose.
    pub script: ScriptId,
    /// Which.
    pub key: &'a str,
    /// To what.
    pub value: Value<'a>,
    /// The pipeline's configuration revision that the change makes.
    pub config_revision: i64,
    /// Who.
    pub author: UserId,
}

/// The newest revision of a key: its number, whether it is a secret, whether it took the key away.
async fn newest(tx: &mut TeamTx, script: ScriptId, key: &str) -> Result<Option<(i64, bool, bool)>, sqlx::Error> {
    let team = tx.team();
    sql!(
        &mut **tx,
        fetch_optional,
        query_as(
            "SELECT revision, secret, removed FROM configurations
             WHERE team_id = $1 AND script_id = $2 AND key = $3 ORDER BY revision DESC LIMIT 1"
        )
        .bind(team)
        .bind(script)
        .bind(key)
    )
}

/// Whether a key is in force, and as a secret.
pub async fn in_force(tx: &mut TeamTx, script: ScriptId, key: &str) -> Result<Option<bool>, sqlx::Error> {
    Ok(newest(tx, script, key).await?.and_then(|(_, secret, removed)| (!removed).then_some(secret)))
}

/// Writes a revision of a key.
pub async fn write(tx: &mut TeamTx, ambient: &Ambient, change: &Change<'_>) -> Result<ConfigurationEntry, StoreError> {
    let team = tx.team();
    let newest = newest(tx, change.script, change.key).await?;
    let revision = newest.map_or(1, |(revision, ..)| revision + 1);
    let (secret, plain, sealed) = match &change.value {
        Value::Plain(plain) => (false, Some(*plain), None),
        Value::Secret(secret, key) => {
            let context = Context::Configuration { script: change.script, key: change.key, revision };
            (true, None, Some(key.seal(ambient, context, secret.as_bytes())?))
        }
        Value::Removed => (newest.is_some_and(|(_, secret, _)| secret), None, None),
    };
    let now = ambient.now();
    let id: Uuid = ambient.uuid();
    sql!(
        &mut **tx,
        execute,
        query(
            "INSERT INTO configurations
                 (id, team_id, script_id, key, revision, config_revision, secret, plain, sealed, removed, author_id,
                  created_at)
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)"
        )
        .bind(id)
        .bind(team)
        .bind(change.script)
        .bind(change.key)
        .bind(revision)
        .bind(change.config_revision)
        .bind(secret)
        .bind(plain)
        .bind(sealed)
        .bind(matches!(change.value, Value::Removed))
        .bind(change.author)
        .bind(now)
    )?;
    if newest.is_some_and(|(_, was_secret, _)| was_secret) {
        forget(tx, change.script, change.key, revision).await?;
    }
    Ok(ConfigurationEntry {
        key: change.key.to_owned(),
        secret,
        value: plain.map(str::to_owned),
        revision,
        updated_at: now,
    })
}

/// Only the newest of a secret is ever read: what came before it goes.
async fn forget(tx: &mut TeamTx, script: ScriptId, key: &str, before: i64) -> Result<(), sqlx::Error> {
    let team = tx.team();
    sql!(
        &mut **tx,
        execute,
        query(
            "UPDATE configurations SET sealed = NULL, removed = TRUE
             WHERE team_id = $1 AND script_id = $2 AND key = $3 AND revision < $4 AND secret"
        )
        .bind(team)
        .bind(script)
        .bind(key)
        .bind(before)
    )?;
    Ok(())
}
