//! A board's key-value store, as people read it. Scripts write it through the run API.

use restroy_sdk::{api::board::KvEntry, ids::BoardId, time::Timestamp};
use sqlx::query_as;

use super::{StoreError, TeamTx};
use crate::sql;

#[derive(sqlx::FromRow)]
struct Row {
    key: String,
    value: String,
    version: i64,
    expires_at: Option<Timestamp>,
    updated_at: Timestamp,
}

/// The board's entries by key, after `after`, that have not expired.
pub async fn list(
    tx: &mut TeamTx,
    board: BoardId,
    after: Option<&str>,
    now: Timestamp,
    rows: i64,
) -> Result<Vec<KvEntry>, StoreError> {
    let team = tx.team();
    let rows: Vec<Row> = sql!(
        &mut **tx,
        fetch_all,
        query_as(
            "SELECT key, value, version, expires_at, updated_at FROM kv_entries
             WHERE team_id = $1 AND board_id = $2 AND ($3 IS NULL OR key > $3)
               AND (expires_at IS NULL OR expires_at > $4)
             ORDER BY key LIMIT $5"
        )
        .bind(team)
        .bind(board)
        .bind(after)
        .bind(now)
        .bind(rows)
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
