//! `/v1/teams/{id}/configuration`, `…/configuration/{key}`, `…/configuration/{key}/history`

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
    ids::TeamId,
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

/// What is set for all of the team's scripts; secrets without their values.
#[utoipa::path(
    get, path = "/v1/teams/{id}/configuration", tag = "teams",
    params(("id" = TeamId, Path, description = "The team"), Paged),
    responses((status = 200, description = "By key", body = Page<ConfigurationEntry>)),
)]
pub(super) async fn list_team_configuration(
    State(state): State<AppState>,
    caller: Caller,
    Path(id): Path<TeamId>,
    Query(page): Query<Paged>,
) -> ApiResult<Json<Page<ConfigurationEntry>>> {
    let scope = caller.team(&state, id, Permission::TeamRead).await?;
    shared::list(&scope, Place::Team(id), &page).await
}

/// What a key of the team holds; a secret without its value.
#[utoipa::path(
    get, path = "/v1/teams/{id}/configuration/{key}", tag = "teams",
    params(("id" = TeamId, Path, description = "The team"), ("key" = String, Path, description = "The key")),
    responses(
        (status = 200, description = "The entry; a secret without its value", body = ConfigurationEntry,
         headers(("ETag" = String, description = "For `If-Match` of the next change"))),
    ),
)]
pub(super) async fn get_team_configuration(
    State(state): State<AppState>,
    caller: Caller,
    Path((id, key)): Path<(TeamId, String)>,
) -> ApiResult<Response> {
    let scope = caller.team(&state, id, Permission::TeamRead).await?;
    shared::get(&scope, Place::Team(id), &key).await
}

/// Every change of the team's key: who, when, and to what; never the value of a secret.
#[utoipa::path(
    get, path = "/v1/teams/{id}/configuration/{key}/history", tag = "teams",
    params(("id" = TeamId, Path, description = "The team"), ("key" = String, Path, description = "The key"), Paged),
    responses((status = 200, description = "The newest first", body = Page<ConfigurationRevision>)),
)]
pub(super) async fn list_team_configuration_history(
    State(state): State<AppState>,
    caller: Caller,
    Path((id, key)): Path<(TeamId, String)>,
    Query(page): Query<Paged>,
) -> ApiResult<Json<Page<ConfigurationRevision>>> {
    let scope = caller.team(&state, id, Permission::TeamRead).await?;
    shared::history(&scope, Place::Team(id), &key, &page).await
}

/// Sets a value or a secret for all scripts of the team that declare the key, where neither script nor
/// board has one. A secret reaches every published script that names it.
#[utoipa::path(
    put, path = "/v1/teams/{id}/configuration/{key}", tag = "teams", request_body = PutConfiguration,
    params(
        ("id" = TeamId, Path, description = "The team"),
        ("key" = String, Path, description = "Letters, digits and `_`; up to 64"),
        ("If-Match" = Option<String>, Header, description = "Refused with 412 unless it is the entry's tag"),
        ("If-None-Match" = Option<String>, Header, description = "`*`: refused with 412 when the key is set"),
    ),
    responses(
        (status = 200, description = "The entry; a secret without its value", body = ConfigurationEntry,
         headers(("ETag" = String, description = "For `If-Match` of the next change"))),
    ),
)]
pub(super) async fn put_team_configuration(
    State(state): State<AppState>,
    caller: Caller,
    Path((id, key)): Path<(TeamId, String)>,
    headers: HeaderMap,
    Body(put): Body<PutConfiguration>,
) -> ApiResult<Response> {
    let scope = caller.team(&state, id, shared::permission(&put, Permission::ConfigurationWrite)).await?;
    shared::put(&state, &scope, Place::Team(id), &key, &headers, &put).await
}

/// Takes the team's value or secret away; the document's default holds again.
#[utoipa::path(
    delete, path = "/v1/teams/{id}/configuration/{key}", tag = "teams",
    params(
        ("id" = TeamId, Path, description = "The team"),
        ("key" = String, Path, description = "The key"),
        ("If-Match" = Option<String>, Header, description = "Refused with 412 unless it is the entry's tag"),
    ),
    responses((status = 204, description = "It is gone")),
)]
pub(super) async fn delete_team_configuration(
    State(state): State<AppState>,
    caller: Caller,
    Path((id, key)): Path<(TeamId, String)>,
    headers: HeaderMap,
) -> ApiResult<StatusCode> {
    let scope = caller.team(&state, id, Permission::ConfigurationWrite).await?;
    shared::delete(&state, &scope, Place::Team(id), &key, &headers).await
}
