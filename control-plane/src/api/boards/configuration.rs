//! `/v1/boards/{id}/configuration`, `…/configuration/{key}`, `…/configuration/{key}/history`

use axum::{
    Json,
    extract::State,
    http::{HeaderMap, StatusCode},
    response::Response,
};
use restroy_sdk::{
    api::{
        Page,
        script::{ConfigurationEntry, ConfigurationRevision, PutConfiguration},
    },
    ids::BoardId,
};

use crate::{
    api::{
        configuration as shared,
        http::{Body, Paged, Path, Query},
    },
    auth::{Caller, Permission},
    error::ApiResult,
    state::AppState,
    store::configuration::Place,
};

/// What is set for all scripts on the board; secrets without their values.
#[utoipa::path(
    get, path = "/v1/boards/{id}/configuration", tag = "boards",
    params(("id" = BoardId, Path, description = "The board"), Paged),
    responses((status = 200, description = "By key", body = Page<ConfigurationEntry>)),
)]
pub(super) async fn list_board_configuration(
    State(state): State<AppState>,
    caller: Caller,
    Path(id): Path<BoardId>,
    Query(page): Query<Paged>,
) -> ApiResult<Json<Page<ConfigurationEntry>>> {
    let scope = caller.board(&state, id, Permission::BoardRead).await?;
    shared::list(&scope, Place::Board(id), &page).await
}

/// What a key of the board holds; a secret without its value.
#[utoipa::path(
    get, path = "/v1/boards/{id}/configuration/{key}", tag = "boards",
    params(("id" = BoardId, Path, description = "The board"), ("key" = String, Path, description = "The key")),
    responses(
        (status = 200, description = "The entry; a secret without its value", body = ConfigurationEntry,
         headers(("ETag" = String, description = "For `If-Match` of the next change"))),
    ),
)]
pub(super) async fn get_board_configuration(
    State(state): State<AppState>,
    caller: Caller,
    Path((id, key)): Path<(BoardId, String)>,
) -> ApiResult<Response> {
    let scope = caller.board(&state, id, Permission::BoardRead).await?;
    shared::get(&scope, Place::Board(id), &key).await
}

/// Every change of the board's key: who, when, and to what; never the value of a secret.
#[utoipa::path(
    get, path = "/v1/boards/{id}/configuration/{key}/history", tag = "boards",
    params(("id" = BoardId, Path, description = "The board"), ("key" = String, Path, description = "The key"), Paged),
    responses((status = 200, description = "The newest first", body = Page<ConfigurationRevision>)),
)]
pub(super) async fn list_board_configuration_history(
    State(state): State<AppState>,
    caller: Caller,
    Path((id, key)): Path<(BoardId, String)>,
    Query(page): Query<Paged>,
) -> ApiResult<Json<Page<ConfigurationRevision>>> {
    let scope = caller.board(&state, id, Permission::BoardRead).await?;
    shared::history(&scope, Place::Board(id), &key, &page).await
}

/// Sets a value or a secret for all scripts on the board that declare the key and have none of their
/// own. A secret reaches every published script that names it.
#[utoipa::path(
    put, path = "/v1/boards/{id}/configuration/{key}", tag = "boards", request_body = PutConfiguration,
    params(
        ("id" = BoardId, Path, description = "The board"),
        ("key" = String, Path, description = "Letters, digits and `_`; up to 64"),
        ("If-Match" = Option<String>, Header, description = "Refused with 412 unless it is the entry's tag"),
        ("If-None-Match" = Option<String>, Header, description = "`*`: refused with 412 when the key is set"),
    ),
    responses(
        (status = 200, description = "The entry; a secret without its value", body = ConfigurationEntry,
         headers(("ETag" = String, description = "For `If-Match` of the next change"))),
    ),
)]
pub(super) async fn put_board_configuration(
    State(state): State<AppState>,
    caller: Caller,
    Path((id, key)): Path<(BoardId, String)>,
    headers: HeaderMap,
    Body(put): Body<PutConfiguration>,
) -> ApiResult<Response> {
    let scope = caller.board(&state, id, shared::permission(&put, Permission::ConfigurationWrite)).await?;
    shared::put(&state, &scope, Place::Board(id), &key, &headers, &put).await
}

/// Takes the board's value or secret away; what the team has under that key holds again, else the
/// document's default.
#[utoipa::path(
    delete, path = "/v1/boards/{id}/configuration/{key}", tag = "boards",
    params(
        ("id" = BoardId, Path, description = "The board"),
        ("key" = String, Path, description = "The key"),
        ("If-Match" = Option<String>, Header, description = "Refused with 412 unless it is the entry's tag"),
    ),
    responses((status = 204, description = "It is gone")),
)]
pub(super) async fn delete_board_configuration(
    State(state): State<AppState>,
    caller: Caller,
    Path((id, key)): Path<(BoardId, String)>,
    headers: HeaderMap,
) -> ApiResult<StatusCode> {
    let scope = caller.board(&state, id, Permission::ConfigurationWrite).await?;
    shared::delete(&state, &scope, Place::Board(id), &key, &headers).await
}
