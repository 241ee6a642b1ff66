//! `/v1/scripts/{id}/configuration`, `…/configuration/{key}`, `…/configuration/{key}/history`

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
    ids::ScriptId,
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

/// What is set for the script; secrets without their values.
#[utoipa::path(
    get, path = "/v1/scripts/{id}/configuration", tag = "scripts",
    params(("id" = ScriptId, Path, description = "The script"), Paged),
    responses((status = 200, description = "By key", body = Page<ConfigurationEntry>)),
)]
pub(super) async fn list_configuration(
    State(state): State<AppState>,
    caller: Caller,
    Path(id): Path<ScriptId>,
    Query(page): Query<Paged>,
) -> ApiResult<Json<Page<ConfigurationEntry>>> {
    let scope = caller.script(&state, id, Permission::PipelineRead).await?;
    shared::list(&scope, Place::Script(id), &page).await
}

/// What a key holds; a secret without its value.
#[utoipa::path(
    get, path = "/v1/scripts/{id}/configuration/{key}", tag = "scripts",
    params(("id" = ScriptId, Path, description = "The script"), ("key" = String, Path, description = "The key")),
    responses(
        (status = 200, description = "The entry; a secret without its value", body = ConfigurationEntry,
         headers(("ETag" = String, description = "For `If-Match` of the next change"))),
    ),
)]
pub(super) async fn get_configuration(
    State(state): State<AppState>,
    caller: Caller,
    Path((id, key)): Path<(ScriptId, String)>,
) -> ApiResult<Response> {
    let scope = caller.script(&state, id, Permission::PipelineRead).await?;
    shared::get(&scope, Place::Script(id), &key).await
}

/// Every change of a key: who, when, and to what; never the value of a secret.
#[utoipa::path(
    get, path = "/v1/scripts/{id}/configuration/{key}/history", tag = "scripts",
    params(("id" = ScriptId, Path, description = "The script"), ("key" = String, Path, description = "The key"), Paged),
    responses((status = 200, description = "The newest first", body = Page<ConfigurationRevision>)),
)]
pub(super) async fn list_configuration_history(
    State(state): State<AppState>,
    caller: Caller,
    Path((id, key)): Path<(ScriptId, String)>,
    Query(page): Query<Paged>,
) -> ApiResult<Json<Page<ConfigurationRevision>>> {
    let scope = caller.script(&state, id, Permission::PipelineRead).await?;
    shared::history(&scope, Place::Script(id), &key, &page).await
}

/// Sets a value, over the document's default, or a secret. Plain values hold for runs that start
/// from now on, secrets for every step that is handed out from now on.
#[utoipa::path(
    put, path = "/v1/scripts/{id}/configuration/{key}", tag = "scripts", request_body = PutConfiguration,
    params(
        ("id" = ScriptId, Path, description = "The script"),
        ("key" = String, Path, description = "Letters, digits and `_`; up to 64"),
        ("If-Match" = Option<String>, Header, description = "Refused with 412 unless it is the entry's tag"),
        ("If-None-Match" = Option<String>, Header, description = "`*`: refused with 412 when the key is set"),
    ),
    responses(
        (status = 200, description = "The entry; a secret without its value", body = ConfigurationEntry,
         headers(("ETag" = String, description = "For `If-Match` of the next change"))),
    ),
)]
pub(super) async fn put_configuration(
    State(state): State<AppState>,
    caller: Caller,
    Path((id, key)): Path<(ScriptId, String)>,
    headers: HeaderMap,
    Body(put): Body<PutConfiguration>,
) -> ApiResult<Response> {
    let scope = caller.script(&state, id, shared::permission(&put, Permission::PipelineEdit)).await?;
    shared::put(&state, &scope, Place::Script(id), &key, &headers, &put).await
}

/// Takes a value or secret away; what the board or the team has under that key holds again, else the
/// document's default.
#[utoipa::path(
    delete, path = "/v1/scripts/{id}/configuration/{key}", tag = "scripts",
    params(
        ("id" = ScriptId, Path, description = "The script"),
        ("key" = String, Path, description = "The key"),
        ("If-Match" = Option<String>, Header, description = "Refused with 412 unless it is the entry's tag"),
    ),
    responses((status = 204, description = "It is gone")),
)]
pub(super) async fn delete_configuration(
    State(state): State<AppState>,
    caller: Caller,
    Path((id, key)): Path<(ScriptId, String)>,
    headers: HeaderMap,
) -> ApiResult<StatusCode> {
    let scope = caller.script(&state, id, Permission::PipelineEdit).await?;
    shared::delete(&state, &scope, Place::Script(id), &key, &headers).await
}
