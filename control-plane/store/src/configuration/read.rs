//! Reading a configuration.

use restroy_sdk::{
    api::script::{ConfigurationEntry, ConfigurationRevision},
    ids::{PipelineId, UserId},
    time::Timestamp,
};
use sqlx::{query_as, query_scalar, types::Uuid};

use super::ConfigOwner;
use crate::{
    TeamTx,
    sort::{AgeOrder, ListSelection, by_order},
    sql,
};

#[derive(sqlx::FromRow)]
struct EntryRow {
    id: Uuid,
    key: String,
    secret: bool,
    usable_only: bool,
    plain: Option<String>,
    revision: i64,
    created_at: Timestamp,
}

impl From<EntryRow> for ConfigurationEntry {
    fn from(row: EntryRow) -> Self {
        Self {
            key: row.key,
            secret: row.secret,
            usable_only: row.usable_only,
            value: row.plain, // the table holds none for a secret
            revision: row.revision,
            updated_at: row.created_at,
        }
    }
}

/// The entries in force, each with the id of its revision; by that, they come in the order in which they were
/// changed last. A secret without its value.
pub async fn list(
    tx: &mut TeamTx,
    place: ConfigOwner,
    selection: &ListSelection,
) -> Result<Vec<(Uuid, ConfigurationEntry)>, sqlx::Error> {
    let team = tx.team();
    let statement = by_order!(selection.order, id: "c.id", name: "c.key",
        "SELECT c.id, c.key, c.secret, c.usable_only, c.plain, c.revision, c.created_at FROM configurations c
         WHERE c.place_id = $1 AND c.team_id = $6 AND c.newest AND NOT c.removed");
    let rows: Vec<EntryRow> = sql!(
        &mut **tx,
        fetch_all,
        query_as(statement)
            .bind(place.id())
            .bind(selection.id())
            .bind(selection.place_name())
            .bind(&selection.name)
            .bind(selection.rows)
            .bind(team)
    )?;
    Ok(rows.into_iter().map(|row| (row.id, row.into())).collect())
}

/// What a key holds, if it is in force.
pub async fn get(tx: &mut TeamTx, place: ConfigOwner, key: &str) -> Result<Option<ConfigurationEntry>, sqlx::Error> {
    let team = tx.team();
    let row: Option<EntryRow> = sql!(
        &mut **tx,
        fetch_optional,
        query_as(
            "SELECT c.id, c.key, c.secret, c.usable_only, c.plain, c.revision, c.created_at FROM configurations c
             WHERE c.team_id = $1 AND c.place_id = $2 AND c.key = $3 AND c.newest AND NOT c.removed"
        )
        .bind(team)
        .bind(place.id())
        .bind(key)
    )?;
    Ok(row.map(ConfigurationEntry::from))
}

/// How many keys a place has.
#[derive(Debug, Clone, Copy, sqlx::FromRow)]
pub struct KeyCount {
    /// In force, with a plain value.
    pub plain: i64,
    /// In force, with a secret.
    pub secrets: i64,
    /// Removed, but not forgotten yet.
    pub removed: i64,
}

/// Counts the keys of a place.
pub async fn count(tx: &mut TeamTx, place: ConfigOwner) -> Result<KeyCount, sqlx::Error> {
    let team = tx.team();
    sql!(
        &mut **tx,
        fetch_one,
        query_as(
            "SELECT count(*) FILTER (WHERE NOT c.removed AND NOT c.secret) AS plain,
                    count(*) FILTER (WHERE NOT c.removed AND c.secret) AS secrets,
                    count(*) FILTER (WHERE c.removed) AS removed
             FROM configurations c WHERE c.team_id = $1 AND c.place_id = $2 AND c.newest"
        )
        .bind(team)
        .bind(place.id())
    )
}

/// Whether a script of the pipeline has a secret of its own in force.
pub async fn scripts_have_secrets(tx: &mut TeamTx, pipeline: PipelineId) -> Result<bool, sqlx::Error> {
    let team = tx.team();
    sql!(
        &mut **tx,
        fetch_one,
        query_scalar(
            "SELECT EXISTS (
                 SELECT 1 FROM scripts s
                 JOIN configurations c
                   ON c.team_id = s.team_id AND c.place_id = s.id AND c.newest AND c.secret AND NOT c.removed
                 WHERE s.team_id = $1 AND s.pipeline_id = $2)"
        )
        .bind(team)
        .bind(pipeline)
    )
}

/// How many revisions of a key are kept.
pub async fn revisions(tx: &mut TeamTx, place: ConfigOwner, key: &str) -> Result<i64, sqlx::Error> {
    let team = tx.team();
    sql!(
        &mut **tx,
        fetch_one,
        // Where it begins to count leads SQLite to the index of the revisions.
        query_scalar(
            "SELECT count(*) FROM configurations WHERE team_id = $1 AND place_id = $2 AND key = $3 AND revision > 0"
        )
        .bind(team)
        .bind(place.id())
        .bind(key)
    )
}

#[derive(sqlx::FromRow)]
struct RevisionRow {
    revision: i64,
    secret: bool,
    removed: bool,
    plain: Option<String>,
    author_id: Option<UserId>,
    author_name: Option<String>,
    created_at: Timestamp,
}

/// The revisions of a key, after that one.
pub async fn history(
    tx: &mut TeamTx,
    place: ConfigOwner,
    key: &str,
    age: AgeOrder,
    after: Option<i64>,
    rows: i64,
) -> Result<Vec<ConfigurationRevision>, sqlx::Error> {
    macro_rules! by_age {
        ($rest:literal) => {
            concat!(
                "SELECT c.revision, c.secret, c.removed, c.plain, c.author_id, u.name AS author_name, c.created_at
                 FROM configurations c LEFT JOIN users u ON u.id = c.author_id
                 WHERE c.team_id = $1 AND c.place_id = $2 AND c.key = $3 AND c.revision ",
                $rest,
                " LIMIT $5"
            )
        };
    }
    let (statement, first) = match age {
        AgeOrder::Oldest => (by_age!("> $4 ORDER BY c.revision"), i64::MIN),
        AgeOrder::Newest => (by_age!("< $4 ORDER BY c.revision DESC"), i64::MAX),
    };
    let team = tx.team();
    let rows: Vec<RevisionRow> = sql!(
        &mut **tx,
        fetch_all,
        query_as(statement).bind(team).bind(place.id()).bind(key).bind(after.unwrap_or(first)).bind(rows)
    )?;
    Ok(rows
        .into_iter()
        .map(|row| ConfigurationRevision {
            revision: row.revision,
            secret: row.secret,
            removed: row.removed,
            value: row.plain,
            author_id: row.author_id,
            author_name: row.author_name,
            created_at: row.created_at,
        })
        .collect())
}
