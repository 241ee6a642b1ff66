//! A board's key-value store, as people list it. What reads and writes single keys is in
//! `runs/effects/kv.rs`, the same for people and scripts.

use restroy_sdk::{api::board::KvEntry, ids::BoardId, time::Timestamp};
use sqlx::query_as;

use super::{StoreError, TeamTx, sort::KeyOrder};
use crate::sql;

#[derive(sqlx::FromRow)]
struct KvRow {
    key: String,
    value: String,
    version: i64,
    expires_at: Option<Timestamp>,
    updated_at: Timestamp,
}

/// The board's entries whose keys begin with `prefix`, by key, after `after`, that have not expired.
pub async fn list(
    tx: &mut TeamTx,
    board: BoardId,
    prefix: &str,
    order: KeyOrder,
    after: Option<&str>,
    now: Timestamp,
    rows: i64,
) -> Result<Vec<KvEntry>, StoreError> {
    // Keys that start with the prefix lie between it and the prefix with the last scalar value appended,
    // in UTF-8's order.
    let end = format!("{prefix}\u{10FFFF}");
    macro_rules! select {
        ($end:literal) => {
            concat!(
                "SELECT key, value, version, expires_at, updated_at FROM kv_entries
                 WHERE team_id = $1 AND board_id = $2 AND key >= $3 AND key <= $4
                   AND (expires_at IS NULL OR expires_at > $6) AND ($5 IS NULL OR key ",
                $end,
                " LIMIT $7"
            )
        };
    }
    let statement = match order {
        KeyOrder::Up => select!("> $5) ORDER BY key"),
        KeyOrder::Down => select!("< $5) ORDER BY key DESC"),
    };
    let team = tx.team();
    let rows: Vec<KvRow> = sql!(
        &mut **tx,
        fetch_all,
        query_as(statement).bind(team).bind(board).bind(prefix).bind(end).bind(after).bind(now).bind(rows)
    )?;
    rows.into_iter()
        .map(|row| {
            Ok(KvEntry {
                key: row.key,
                value: serde_json::from_str(&row.value)?,
                version: row.version,
                expires_at: row.expires_at,
                updated_at: row.updated_at,
            })
        })
        .collect()
}
