//! The key-value store of a board, for scripts and for people. Linearizable: whatever writes holds the
//! board's row from before it looks until it is committed, so that writes to a board come one after the
//! other. What has outlived its time is not there, whether it was purged yet or not.
//!
//! A key's version counts its writes, from 1; a key that went away starts at 1 again.

use std::time::Duration;

use restroy_sdk::{ids::BoardId, time::Timestamp};
use serde_json::{Value, json};
use sqlx::{query, query_as, query_scalar};

use super::{CallFailure, CallOutcome, refusal};
use crate::{
    runs::limits::{MAX_KV_KEY, MAX_KV_LIST, MAX_KV_PAGE},
    sql,
    store::{
        TeamTx,
        quota::{self, Limit},
    },
};

/// The longest time to live of an entry, in milliseconds: ten years.
pub const MAX_TTL_MS: u64 = 10 * 365 * 24 * 60 * 60 * 1_000;

/// What a key holds.
pub struct StoredEntry {
    /// The value.
    pub value: Value,
    /// How many times it was written, from 1.
    pub version: i64,
    /// When it ceases to be there.
    pub expires_at: Option<Timestamp>,
    /// When it was written last.
    pub updated_at: Timestamp,
}

/// `{value, version}` or null.
pub(super) async fn get(tx: &mut TeamTx, board: BoardId, now: Timestamp, key: &str) -> CallOutcome {
    check_key(key)?;
    Ok(find(tx, board, now, key)
        .await?
        .map_or(Value::Null, |entry| json!({ "value": entry.value, "version": entry.version })))
}

/// `{items: [{key, value, version}]}`, in the byte order of the keys.
pub(super) async fn list(
    tx: &mut TeamTx,
    board: BoardId,
    now: Timestamp,
    prefix: &str,
    after: Option<&str>,
    limit: u32,
) -> CallOutcome {
    if prefix.len() > MAX_KV_KEY || after.is_some_and(|after| after.len() > MAX_KV_KEY) {
        return Err(refusal("kv_key_too_long", format!("A key has at most {MAX_KV_KEY} bytes.")));
    }
    if !(1..=MAX_KV_PAGE).contains(&limit) {
        return Err(refusal("kv_bad_limit", format!("`limit` goes from 1 to {MAX_KV_PAGE}.")));
    }
    if prefix.contains('\0') || after.is_some_and(|after| after.contains('\0')) {
        return Err(nul_error());
    }
    // Keys that start with the prefix lie between it and the prefix with the last scalar value
    // appended, in UTF-8's order.
    let end = format!("{prefix}\u{10FFFF}");
    let team = tx.team();
    // The lengths first: what is too much is not read.
    let page: Vec<(String, i64)> = sql!(
        &mut **tx,
        fetch_all,
        query_as(
            "SELECT key, bytes FROM kv_entries
             WHERE team_id = $1 AND board_id = $2 AND key >= $3 AND key <= $4 AND key > $5
               AND (expires_at IS NULL OR expires_at > $6)
             ORDER BY key LIMIT $7"
        )
        .bind(team)
        .bind(board)
        .bind(prefix)
        .bind(end)
        .bind(after.unwrap_or(""))
        .bind(now)
        .bind(i64::from(limit))
    )?;
    if page.iter().map(|(_, bytes)| bytes).sum::<i64>() > MAX_KV_LIST {
        let message = format!("A list holds at most {MAX_KV_LIST} bytes, keys and values together: lower `limit`.");
        return Err(refusal("kv_list_too_large", message));
    }
    let mut items = Vec::with_capacity(page.len());
    for (key, _) in page {
        if let Some(entry) = find(tx, board, now, &key).await? {
            items.push(json!({ "key": key, "value": entry.value, "version": entry.version }));
        }
    }
    Ok(json!({ "items": items }))
}

/// `{version}`.
pub(super) async fn set(
    tx: &mut TeamTx,
    board: BoardId,
    now: Timestamp,
    key: &str,
    value: &Value,
    ttl_ms: Option<u64>,
) -> CallOutcome {
    check_key(key)?;
    let expires_at = expiry(now, ttl_ms)?;
    lock_board(tx, board).await?;
    let version = find(tx, board, now, key).await?.map_or(1, |entry| entry.version + 1);
    write(tx, board, now, key, value, version, expires_at).await?;
    Ok(json!({ "version": version }))
}

/// `{deleted}`.
pub(super) async fn delete(tx: &mut TeamTx, board: BoardId, now: Timestamp, key: &str) -> CallOutcome {
    check_key(key)?;
    lock_board(tx, board).await?;
    let there = find(tx, board, now, key).await?.is_some();
    remove(tx, board, key).await?;
    Ok(json!({ "deleted": there }))
}

/// `{value, version}`. The time to live counts only when this makes the key.
pub(super) async fn incr(
    tx: &mut TeamTx,
    board: BoardId,
    now: Timestamp,
    key: &str,
    by: i64,
    ttl_ms: Option<u64>,
) -> CallOutcome {
    check_key(key)?;
    let created_expires_at = expiry(now, ttl_ms)?;
    lock_board(tx, board).await?;
    let (before, version, expires_at) = match find(tx, board, now, key).await? {
        None => (0, 0, created_expires_at),
        Some(entry) => match entry.value.as_i64() {
            Some(before) => (before, entry.version, entry.expires_at),
            None => return Err(refusal("kv_not_an_integer", "The value under this key is not an integer.")),
        },
    };
    let Some(sum) = before.checked_add(by) else {
        return Err(refusal("kv_integer_overflow", "The sum is beyond what an integer of 64 bits holds."));
    };
    write(tx, board, now, key, &Value::from(sum), version + 1, expires_at).await?;
    Ok(json!({ "value": sum, "version": version + 1 }))
}

/// `{swapped}`: whether what was there equalled what was expected (nothing: absent), and was
/// replaced (by nothing: removed).
pub(super) async fn compare_and_set(
    tx: &mut TeamTx,
    board: BoardId,
    now: Timestamp,
    key: &str,
    expected: Option<&Value>,
    value: Option<&Value>,
    ttl_ms: Option<u64>,
) -> CallOutcome {
    check_key(key)?;
    let expires_at = expiry(now, ttl_ms)?;
    lock_board(tx, board).await?;
    let entry = find(tx, board, now, key).await?;
    if entry.as_ref().map(|entry| &entry.value) != expected {
        return Ok(json!({ "swapped": false }));
    }
    match value {
        Some(value) => {
            let version = entry.map_or(1, |entry| entry.version + 1);
            write(tx, board, now, key, value, version, expires_at).await?;
        }
        None => remove(tx, board, key).await?,
    }
    Ok(json!({ "swapped": true }))
}

/// Holds the board's row until the transaction ends. On SQLite there is one writer anyway.
pub async fn lock_board(tx: &mut TeamTx, board: BoardId) -> Result<(), CallFailure> {
    Ok(tx.lock_board(board).await?)
}

/// Takes a key away.
pub async fn remove(tx: &mut TeamTx, board: BoardId, key: &str) -> Result<(), CallFailure> {
    let team = tx.team();
    sql!(
        &mut **tx,
        execute,
        query("DELETE FROM kv_entries WHERE team_id = $1 AND board_id = $2 AND key = $3")
            .bind(team)
            .bind(board)
            .bind(key)
    )?;
    Ok(())
}

/// Refuses what cannot be a key.
pub fn check_key(key: &str) -> Result<(), CallFailure> {
    if key.is_empty() || key.len() > MAX_KV_KEY {
        return Err(refusal(
            "kv_key_too_long",
            format!("A key has 1 to {MAX_KV_KEY} bytes; this one has {}.", key.len()),
        ));
    }
    if key.contains('\0') {
        return Err(nul_error());
    }
    Ok(())
}

fn nul_error() -> CallFailure {
    refusal("kv_bad_key", "A key has no character U+0000; a value may have it.")
}

/// When an entry ends that is to live so long.
pub fn expiry(now: Timestamp, ttl_ms: Option<u64>) -> Result<Option<Timestamp>, CallFailure> {
    let Some(ttl) = ttl_ms else { return Ok(None) };
    if !(1..=MAX_TTL_MS).contains(&ttl) {
        return Err(refusal("kv_bad_ttl", "A time to live is at least 1 ms and at most 10 years."));
    }
    Ok(Some(now.after(Duration::from_millis(ttl))))
}

/// What a key holds, if it is there and has not outlived its time.
pub async fn find(
    tx: &mut TeamTx,
    board: BoardId,
    now: Timestamp,
    key: &str,
) -> Result<Option<StoredEntry>, CallFailure> {
    let team = tx.team();
    let row: Option<(String, i64, Option<Timestamp>, Timestamp)> = sql!(
        &mut **tx,
        fetch_optional,
        query_as(
            "SELECT value, version, expires_at, updated_at FROM kv_entries
             WHERE team_id = $1 AND board_id = $2 AND key = $3 AND (expires_at IS NULL OR expires_at > $4)"
        )
        .bind(team)
        .bind(board)
        .bind(key)
        .bind(now)
    )?;
    let Some((value, version, expires_at, updated_at)) = row else { return Ok(None) };
    Ok(Some(StoredEntry { value: serde_json::from_str(&value)?, version, expires_at, updated_at }))
}

/// Writes a key, within the limits of a value and of the store.
pub async fn write(
    tx: &mut TeamTx,
    board: BoardId,
    now: Timestamp,
    key: &str,
    value: &Value,
    version: i64,
    expires_at: Option<Timestamp>,
) -> Result<(), CallFailure> {
    let text = value.to_string();
    let [most, store] = quota::effective_many(tx, [Limit::KvValueBytes, Limit::KvStoreBytes]).await?;
    if i64::try_from(text.len()).unwrap_or(i64::MAX) > most {
        let message = format!("A value has at most {most} bytes as JSON; this one has {}.", text.len());
        return Err(refusal("kv_value_limit", message));
    }
    let team = tx.team();
    sql!(
        &mut **tx,
        execute,
        query(
            "INSERT INTO kv_entries (board_id, key, team_id, value, bytes, version, expires_at, updated_at)
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8)
             ON CONFLICT (board_id, key) DO UPDATE SET
                 value = excluded.value, bytes = excluded.bytes, version = excluded.version,
                 expires_at = excluded.expires_at, updated_at = excluded.updated_at"
        )
        .bind(board)
        .bind(key)
        .bind(team)
        .bind(&text)
        .bind(i64::try_from(key.len() + text.len()).unwrap_or(i64::MAX))
        .bind(version)
        .bind(expires_at)
        .bind(now)
    )?;
    super::check_storage(tx).await?;
    if stored_bytes(tx, board).await? > store {
        // What has outlived its time makes room first.
        sql!(
            &mut **tx,
            execute,
            query("DELETE FROM kv_entries WHERE team_id = $1 AND board_id = $2 AND expires_at <= $3")
                .bind(team)
                .bind(board)
                .bind(now)
        )?;
        if stored_bytes(tx, board).await? > store {
            let message = format!("A board's store holds at most {store} bytes, keys and values together.");
            return Err(refusal("kv_store_full", message));
        }
    }
    Ok(())
}

async fn stored_bytes(tx: &mut TeamTx, board: BoardId) -> Result<i64, sqlx::Error> {
    let team = tx.team();
    sql!(
        &mut **tx,
        fetch_one,
        query_scalar("SELECT kv_bytes FROM boards WHERE team_id = $1 AND id = $2").bind(team).bind(board)
    )
}
