//! The teams' data keys: each seals what its team keeps to itself, and is itself sealed with a master key.
//!
//! A data key can be replaced (see [`replace`]). Meanwhile a team has two: the newest seals, both open. Whoever
//! seals or opens holds the team's row as a reference does (`FOR KEY SHARE`: writers of one team do not wait
//! for each other by it); whoever gives a team another key, or takes the old one away, holds it alone. So
//! nobody seals with a key that is taken away meanwhile.

mod replace;

use std::collections::BTreeMap;

use restroy_sdk::{ids::TeamId, time::Ambient};
use serde_json::json;
use sqlx::{query, query_as, types::Uuid};

use super::{Db, StoreError, TeamTx, audit};
use crate::{
    secrets::{KeyRing, TeamKeys},
    sql,
};

pub use replace::{ReplaceReport, replace};

/// What a team has of data keys, sealed.
#[derive(sqlx::FromRow)]
struct TeamKeyRow {
    data_key_no: i64,
    data_key: Vec<u8>,
    key_id: String,
    old_data_key: Option<Vec<u8>>,
    old_key_id: Option<String>,
}

/// How the team's row is held, on Postgres; on SQLite there is one writer anyway.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum RowLock {
    /// Not at all: what is written has what was read as its condition.
    No,
    /// Beside others who hold it so.
    Shared,
    /// For update: no other transaction holds it.
    Alone,
}

macro_rules! select {
    ($held:literal) => {
        concat!("SELECT data_key_no, data_key, key_id, old_data_key, old_key_id FROM teams WHERE id = $1", $held)
    };
}

impl TeamKeyRow {
    /// The transaction's team's.
    async fn load(tx: &mut TeamTx, held: RowLock) -> Result<Option<Self>, sqlx::Error> {
        let team = tx.team();
        let statement = match held {
            RowLock::No => select!(""),
            RowLock::Shared => tx.pick(select!(""), select!(" FOR KEY SHARE")),
            RowLock::Alone => tx.pick(select!(""), select!(" FOR UPDATE")),
        };
        sql!(&mut **tx, fetch_optional, query_as(statement).bind(team))
    }

    /// The key before the newest, and the id of the master key that seals it.
    fn before(&self) -> Option<(&[u8], &str)> {
        Some((self.old_data_key.as_deref()?, self.old_key_id.as_deref()?))
    }

    fn open(&self, team: TeamId, keys: &KeyRing) -> Result<TeamKeys, StoreError> {
        let before = self.before().map(|(sealed, key_id)| keys.open_team_key(team, sealed, key_id)).transpose()?;
        Ok(TeamKeys::new(self.data_key_no, keys.open_team_key(team, &self.data_key, &self.key_id)?, before))
    }
}

/// The team's data keys, open. What was read before, and is to be opened with them, is to be read again: it may
/// have been sealed anew meanwhile. The transaction is one that writes.
pub async fn load_for_team(tx: &mut TeamTx, keys: &KeyRing) -> Result<TeamKeys, StoreError> {
    let team = tx.team();
    TeamKeyRow::load(tx, RowLock::Shared).await?.ok_or(sqlx::Error::RowNotFound)?.open(team, keys)
}

/// How many teams' data keys are sealed with which master key, by the key's id. A team whose data key is
/// being replaced may count for two.
pub async fn key_uses(db: &Db) -> Result<Vec<(String, i64)>, sqlx::Error> {
    let mut tx = db.system_read().await?;
    sql!(
        &mut tx,
        fetch_all,
        query_as(
            "SELECT key_id, count(*) FROM (
                 SELECT id, key_id FROM teams UNION SELECT id, old_key_id FROM teams WHERE old_key_id IS NOT NULL) used
             GROUP BY key_id ORDER BY key_id"
        )
    )
}

/// What sealing the teams' data keys anew came to.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct RewrapReport {
    /// How many were sealed with the newest master key.
    pub done: u64,
    /// How many are sealed with a key that is not in the ring, by its id; they stay as they are.
    pub unknown: BTreeMap<String, u64>,
}

/// How many teams are looked up at a time.
const REWRAP_STEP: i64 = 200;

/// Seals every team's data key with the newest master key, and says how many it has done so far. Each team is a
/// transaction of its own: it may be broken off and repeated, and continue while the service runs. It ends when it
/// finds no team any more that is sealed with an older key of the ring, also none that was made meanwhile; then,
/// once every replica has the newest key, the older ones may leave the ring.
pub async fn rewrap(
    db: &Db,
    keys: &KeyRing,
    ambient: &Ambient,
    mut progress: impl FnMut(u64),
) -> Result<RewrapReport, StoreError> {
    let mut rewrapped = RewrapReport::default();
    loop {
        let before = rewrapped.done;
        rewrapped.unknown.clear();
        let mut last = TeamId(Uuid::nil());
        loop {
            let teams = not_newest(db, keys, last).await?;
            let Some((newest, _)) = teams.last() else { break };
            last = *newest;
            for (team, key_id) in teams {
                if !keys.ids().any(|id| id == key_id) {
                    *rewrapped.unknown.entry(key_id).or_default() += 1;
                } else if rewrap_one(db, keys, ambient, team).await? {
                    rewrapped.done += 1;
                }
            }
            progress(rewrapped.done);
        }
        if rewrapped.done == before {
            return Ok(rewrapped);
        }
    }
}

/// Teams after `after` that have a data key which is not sealed with the newest master key, and with which.
async fn not_newest(db: &Db, keys: &KeyRing, after: TeamId) -> Result<Vec<(TeamId, String)>, sqlx::Error> {
    let mut tx = db.system_read().await?;
    sql!(
        &mut tx,
        fetch_all,
        query_as(
            "SELECT id, CASE WHEN key_id <> $2 THEN key_id ELSE old_key_id END FROM teams
             WHERE id > $1 AND (key_id <> $2 OR old_key_id <> $2) ORDER BY id LIMIT $3"
        )
        .bind(after)
        .bind(keys.newest())
        .bind(REWRAP_STEP)
    )
}

/// Whether there was anything to do. Of a team that has two data keys, both are sealed anew.
async fn rewrap_one(db: &Db, keys: &KeyRing, ambient: &Ambient, team: TeamId) -> Result<bool, StoreError> {
    let mut tx = db.team_write(team).await?;
    let Some(row) = TeamKeyRow::load(&mut tx, RowLock::No).await? else { return Ok(false) };
    let newest = keys.rewrap(ambient, team, &row.data_key, &row.key_id)?;
    let before = match row.before() {
        // It is reported when it is the only one that is left.
        Some((_, key_id)) if !keys.ids().any(|id| id == key_id) => None,
        Some((sealed, key_id)) => keys.rewrap(ambient, team, sealed, key_id)?,
        None => None,
    };
    if newest.is_none() && before.is_none() {
        return Ok(false);
    }
    let (data_key, key_id) = newest.unwrap_or_else(|| (row.data_key.clone(), row.key_id.clone()));
    let (old_data_key, old_key_id) = match before {
        Some((sealed, key_id)) => (Some(sealed), Some(key_id)),
        None => (row.old_data_key.clone(), row.old_key_id.clone()),
    };
    let written = sql!(
        &mut *tx,
        execute,
        query(
            "UPDATE teams SET data_key = $2, key_id = $3, old_data_key = $4, old_key_id = $5
             WHERE id = $1 AND key_id = $6 AND data_key_no = $7
               AND coalesce(old_key_id, '') = $8"
        )
        .bind(team)
        .bind(data_key)
        .bind(&key_id)
        .bind(old_data_key)
        .bind(old_key_id)
        .bind(&row.key_id)
        .bind(row.data_key_no)
        .bind(row.old_key_id.as_deref().unwrap_or_default())
    )?;
    if written.rows_affected() == 0 {
        return Ok(false);
    }
    let entry = audit::Entry::new("team.rewrap", "team", team);
    let entry = entry.before(json!({ "key_id": row.key_id })).after(json!({ "key_id": key_id }));
    audit::record_by_operator(&mut tx, ambient, entry).await?;
    tx.commit().await?;
    Ok(true)
}
