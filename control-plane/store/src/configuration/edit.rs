//! Changing a configuration.

use std::time::Duration;

use restroy_sdk::{
    api::script::ConfigurationEntry,
    ids::UserId,
    time::{Ambient, Timestamp},
};
use sqlx::{query, query_as, types::Uuid};

use super::ConfigOwner;
use crate::{StoreError, TeamTx, secrets::TeamKeys, sql};

/// Of each key so many revisions are kept, however old.
const KEPT: i64 = 1_000;
/// Of the keys that were removed so many are remembered, however long ago that was.
const REMOVED_KEPT: i64 = 500;
/// What a run may have started with is kept: none waits and continues for longer.
const PINNED: Duration = Duration::from_hours(9 * 24);

/// What a key holds from now on.
#[derive(Debug)]
pub enum NewValue<'a> {
    /// A plain value.
    Plain(&'a str),
    /// A secret, to be sealed with the team's newest key.
    Secret {
        /// The value.
        value: &'a str,
        /// Whether scripts may use it by reference only.
        usable_only: bool,
        /// What seals it.
        keys: &'a TeamKeys,
    },
    /// The key is removed.
    Removed,
}

/// A change of one key.
#[derive(Debug)]
pub struct ConfigurationChange<'a> {
    /// The script, board or team that it belongs to.
    pub place: ConfigOwner,
    /// The key.
    pub key: &'a str,
    /// The new value.
    pub value: NewValue<'a>,
    /// The configuration revision of the pipeline, board or team that the change makes.
    pub config_revision: i64,
    /// The author's account.
    pub author: UserId,
}

/// The newest revision of a key: its number, and whether it is a secret.
async fn newest(tx: &mut TeamTx, place: ConfigOwner, key: &str) -> Result<Option<(i64, bool)>, sqlx::Error> {
    let team = tx.team();
    sql!(
        &mut **tx,
        fetch_optional,
        query_as(
            "SELECT revision, secret FROM configurations
             WHERE team_id = $1 AND place_id = $2 AND key = $3 ORDER BY revision DESC LIMIT 1"
        )
        .bind(team)
        .bind(place.id())
        .bind(key)
    )
}

/// Writes a revision of a key.
pub async fn write(
    tx: &mut TeamTx,
    ambient: &Ambient,
    change: &ConfigurationChange<'_>,
) -> Result<ConfigurationEntry, StoreError> {
    let team = tx.team();
    let newest = newest(tx, change.place, change.key).await?;
    let revision = newest.map_or(1, |(revision, _)| revision + 1);
    let (secret, plain, sealed, key_number) = match &change.value {
        NewValue::Plain(plain) => (false, Some(*plain), None, 1),
        NewValue::Secret { value, keys, .. } => {
            let context = change.place.seal(change.key, revision);
            (true, None, Some(keys.seal(ambient, context, value.as_bytes())?), keys.number())
        }
        NewValue::Removed => (newest.is_some_and(|(_, secret)| secret), None, None, 1),
    };
    let usable_only = matches!(change.value, NewValue::Secret { usable_only: true, .. });
    let now = ambient.now();
    let id: Uuid = ambient.uuid();
    let (script, board) = match change.place {
        ConfigOwner::Script(script) => (Some(script), None),
        ConfigOwner::Board(board) => (None, Some(board)),
        ConfigOwner::Team(_) => (None, None),
    };
    sql!(
        &mut **tx,
        execute,
        query(
            "INSERT INTO configurations
                 (id, team_id, script_id, board_id, key, revision, config_revision, secret, plain, sealed, removed,
                  author_id, created_at, data_key_no, usable_only)
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15)"
        )
        .bind(id)
        .bind(team)
        .bind(script)
        .bind(board)
        .bind(change.key)
        .bind(revision)
        .bind(change.config_revision)
        .bind(secret)
        .bind(plain)
        .bind(sealed)
        .bind(matches!(change.value, NewValue::Removed))
        .bind(change.author)
        .bind(now)
        .bind(key_number)
        .bind(usable_only)
    )?;
    if newest.is_some_and(|(_, was_secret)| was_secret) {
        prune_secret(tx, change.place, change.key, revision).await?;
    }
    Ok(ConfigurationEntry {
        key: change.key.to_owned(),
        secret,
        usable_only,
        value: plain.map(str::to_owned),
        revision,
        updated_at: now,
    })
}

/// Only the newest of a secret is ever read: what came before it is known by its date and author only.
async fn prune_secret(tx: &mut TeamTx, place: ConfigOwner, key: &str, before: i64) -> Result<(), sqlx::Error> {
    let team = tx.team();
    sql!(
        &mut **tx,
        execute,
        query(
            "UPDATE configurations SET sealed = NULL
             WHERE team_id = $1 AND place_id = $2 AND key = $3 AND revision < $4 AND sealed IS NOT NULL"
        )
        .bind(team)
        .bind(place.id())
        .bind(key)
        .bind(before)
    )?;
    Ok(())
}

/// Forgets revisions of a key that are neither among the newest nor ones that a run may have started with.
pub async fn prune_revisions(
    tx: &mut TeamTx,
    place: ConfigOwner,
    key: &str,
    now: Timestamp,
) -> Result<(), sqlx::Error> {
    let team = tx.team();
    sql!(
        &mut **tx,
        execute,
        query(
            "DELETE FROM configurations
             WHERE team_id = $1 AND place_id = $2 AND key = $3 AND created_at < $4
               AND revision <= (SELECT max(n.revision) FROM configurations n
                                WHERE n.team_id = $1 AND n.place_id = $2 AND n.key = $3) - $5"
        )
        .bind(team)
        .bind(place.id())
        .bind(key)
        .bind(now.before(PINNED))
        .bind(KEPT)
    )?;
    Ok(())
}

/// Forgets keys of a place with all their revisions: those that were removed so long ago that no run may have
/// started with them, unless they are among the last that were removed.
pub async fn prune_removed(tx: &mut TeamTx, place: ConfigOwner, now: Timestamp) -> Result<(), sqlx::Error> {
    let team = tx.team();
    sql!(
        &mut **tx,
        execute,
        query(
            "DELETE FROM configurations
             WHERE id IN (
                 SELECT c.id FROM (
                     SELECT n.key, n.created_at FROM configurations n
                     WHERE n.team_id = $1 AND n.place_id = $2 AND n.newest AND n.removed
                     ORDER BY n.created_at DESC, n.key LIMIT 1000000 OFFSET $4) o
                 CROSS JOIN configurations c
                 WHERE c.team_id = $1 AND c.place_id = $2 AND c.key = o.key AND c.revision > 0 AND o.created_at < $3)"
        )
        .bind(team)
        .bind(place.id())
        .bind(now.before(PINNED))
        .bind(REMOVED_KEPT)
    )?;
    Ok(())
}
