//! `/v1/boards/{id}/kv`, `/v1/boards/{id}/kv/{key}`

use axum::{
    Json,
    extract::State,
    http::{HeaderMap, StatusCode},
    response::{IntoResponse, Response},
};
use restroy_sdk::{
    api::{
        Page,
        board::{KvEntry, PutKv},
    },
    ids::BoardId,
    problem::ProblemCode,
};
use serde::Deserialize;
use serde_json::json;
use utoipa::IntoParams;

use crate::{
    api::http::{Body, PageBuilder, PageQuery, Path, Query, check_preconditions, etag},
    auth::{Caller, Permission},
    error::{ApiError, ApiResult},
    runs::{
        effects::{
            CallFailure,
            kv::{StoredEntry, check_key, expiry, find, lock_board, remove, write},
        },
        limits::MAX_KV_KEY,
    },
    state::AppState,
    store::{TeamTx, audit, kv, sort::KeyOrder},
};

/// Which entries.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(super) struct KvQuery {
    /// Only keys that begin so.
    prefix: Option<String>,
    /// Sort order (default: by key).
    #[param(inline)]
    sort: Option<KeyOrder>,
    /// How many items (1–100, default 50).
    #[param(minimum = 1, maximum = 100)]
    limit: Option<u32>,
    /// `next_cursor` of the page before.
    cursor: Option<String>,
}

/// List the entries of a board's key-value store
///
/// A page ends early when its entries take more than 1 MiB.
#[utoipa::path(
    get, path = "/v1/boards/{id}/kv", tag = "boards",
    params(("id" = BoardId, Path, description = "The board"), KvQuery),
    responses((status = 200, description = "Sorted by key by default", body = Page<KvEntry>)),
)]
pub(super) async fn list_kv(
    State(state): State<AppState>,
    caller: Caller,
    Path(id): Path<BoardId>,
    Query(keys): Query<KvQuery>,
) -> ApiResult<Json<Page<KvEntry>>> {
    let scope = caller.board(&state, id, Permission::KvRead).await?;
    let (order, prefix) = (keys.sort.unwrap_or_default(), keys.prefix.unwrap_or_default());
    let page = PageQuery::new(keys.limit, keys.cursor).for_list((order, &prefix));
    if prefix.len() > MAX_KV_KEY || prefix.contains('\0') {
        let detail = format!("`prefix` has at most {MAX_KV_KEY} bytes and no character U+0000.");
        return Err(ApiError::with(ProblemCode::BadRequest, detail));
    }
    let mut after = page.after::<String>()?;
    let (mut filling, now) = (PageBuilder::new(&page)?, state.ambient.now());
    let mut tx = scope.read().await?;
    while let Some(rows) = filling.rows_wanted() {
        let entries = kv::list(&mut tx, id, &prefix, order, after.as_deref(), now, rows).await?;
        after = entries.last().map(|entry| entry.key.clone()).or(after);
        filling.push_rows(entries, rows, |entry| entry.key.len() + entry.value.to_string().len());
    }
    Ok(Json(filling.page(|entry| entry.key.clone())))
}

/// Get an entry of a board's key-value store
#[utoipa::path(
    get, path = "/v1/boards/{id}/kv/{key}", tag = "boards",
    params(("id" = BoardId, Path, description = "The board"), ("key" = String, Path, description = "The key")),
    responses(
        (status = 200, description = "The entry", body = KvEntry,
         headers(("ETag" = String, description = "For `If-Match` of the next change"))),
    ),
)]
pub(super) async fn get_kv(
    State(state): State<AppState>,
    caller: Caller,
    Path((id, key)): Path<(BoardId, String)>,
) -> ApiResult<Response> {
    let scope = caller.board(&state, id, Permission::KvRead).await?;
    let mut tx = scope.read().await?;
    let entry = find(&mut tx, id, state.ambient.now(), &key).await.map_err(CallFailure::into_error)?;
    entry.map(|entry| entry_response(key, entry)).ok_or_else(ApiError::not_found)
}

/// Set an entry of a board's key-value store
///
/// As a script does with `kv.set`. With `If-Match` it is a compare-and-set: the write fails if anybody has
/// written the key since it was read.
#[utoipa::path(
    put, path = "/v1/boards/{id}/kv/{key}", tag = "boards", request_body = PutKv,
    params(
        ("id" = BoardId, Path, description = "The board"),
        ("key" = String, Path, description = "1 to 512 bytes"),
        ("If-Match" = Option<String>, Header, description = "412 unless it is the entry's tag"),
        ("If-None-Match" = Option<String>, Header, description = "`*`: 412 if the key is there"),
    ),
    responses(
        (status = 200, description = "The entry", body = KvEntry,
         headers(("ETag" = String, description = "For `If-Match` of the next change"))),
    ),
)]
pub(super) async fn put_kv(
    State(state): State<AppState>,
    caller: Caller,
    Path((id, key)): Path<(BoardId, String)>,
    headers: HeaderMap,
    Body(put): Body<PutKv>,
) -> ApiResult<Response> {
    let scope = caller.board(&state, id, Permission::KvWrite).await?;
    check_key(&key).map_err(CallFailure::into_error)?;
    let mut tx = scope.write().await?;
    let now = state.ambient.now();
    let expires_at = expiry(now, put.ttl_ms).map_err(CallFailure::into_error)?;
    let present = lock_entry(&mut tx, &state, id, &key, &headers).await?;
    let version = present.as_ref().map_or(1, |entry| entry.version + 1);
    write(&mut tx, id, now, &key, &put.value, version, expires_at).await.map_err(CallFailure::into_error)?;
    let mut note = audit::Entry::new("kv.set", "board", id).details(json!({ "key": key }));
    note.before = present.map(|entry| json!({ "version": entry.version }));
    note.after = Some(json!({ "version": version }));
    audit::record_in_team(&mut tx, &state.ambient, scope.actor(), note).await?;
    tx.commit().await?;
    Ok(entry_response(key, StoredEntry { value: put.value, version, expires_at, updated_at: now }))
}

/// Delete an entry of a board's key-value store
#[utoipa::path(
    delete, path = "/v1/boards/{id}/kv/{key}", tag = "boards",
    params(
        ("id" = BoardId, Path, description = "The board"),
        ("key" = String, Path, description = "The key"),
        ("If-Match" = Option<String>, Header, description = "412 unless it is the entry's tag"),
    ),
    responses((status = 204, description = "Deleted")),
)]
pub(super) async fn delete_kv(
    State(state): State<AppState>,
    caller: Caller,
    Path((id, key)): Path<(BoardId, String)>,
    headers: HeaderMap,
) -> ApiResult<StatusCode> {
    let scope = caller.board(&state, id, Permission::KvWrite).await?;
    let mut tx = scope.write().await?;
    let present = lock_entry(&mut tx, &state, id, &key, &headers).await?.ok_or_else(ApiError::not_found)?;
    remove(&mut tx, id, &key).await.map_err(CallFailure::into_error)?;
    let note = audit::Entry::new("kv.delete", "board", id).details(json!({ "key": key }));
    let note = note.before(json!({ "version": present.version }));
    audit::record_in_team(&mut tx, &state.ambient, scope.actor(), note).await?;
    tx.commit().await?;
    Ok(StatusCode::NO_CONTENT)
}

/// What the key holds, with the store held until the transaction ends; 412 when that is not what the
/// request was made for.
async fn lock_entry(
    tx: &mut TeamTx,
    state: &AppState,
    board: BoardId,
    key: &str,
    headers: &HeaderMap,
) -> ApiResult<Option<StoredEntry>> {
    lock_board(tx, board).await.map_err(CallFailure::into_error)?;
    let present = find(tx, board, state.ambient.now(), key).await.map_err(CallFailure::into_error)?;
    check_preconditions(headers, present.as_ref().map(entry_etag))?;
    Ok(present)
}

/// Versions start again when a key went away; with the time of the write no two states have one tag.
fn entry_etag(entry: &StoredEntry) -> String {
    format!("{}-{:x}", entry.version, entry.updated_at.micros())
}

fn entry_response(key: String, entry: StoredEntry) -> Response {
    let tag = etag(entry_etag(&entry));
    let StoredEntry { value, version, expires_at, updated_at } = entry;
    (tag, Json(KvEntry { key, value, version, expires_at, updated_at })).into_response()
}
