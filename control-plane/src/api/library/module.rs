//! `/v1/teams/{id}/library/{name}`

use axum::{
    Json,
    extract::State,
    http::{HeaderMap, StatusCode},
    response::{IntoResponse, Response},
};
use restroy_sdk::{
    api::library::{LibrarySource, PutLibraryModule},
    ids::TeamId,
    problem::ProblemCode,
};

use super::modules::{check, module_state};
use crate::{
    api::{
        http::{Body, Path, check_preconditions, etag},
        limits,
    },
    auth::{Caller, Permission},
    error::{ApiError, ApiResult},
    state::AppState,
    store::{TeamTx, audit, library},
};

/// Get a library module with its newest source
#[utoipa::path(
    get, path = "/v1/teams/{id}/library/{name}", tag = "library",
    params(("id" = TeamId, Path, description = "The team"), ("name" = String, Path, description = "The module's name")),
    responses((status = 200, description = "The module", body = LibrarySource,
        headers(("ETag" = String, description = "For `If-Match` of the next change")))),
)]
pub(super) async fn get_library_module(
    State(state): State<AppState>,
    caller: Caller,
    Path((id, name)): Path<(TeamId, String)>,
) -> ApiResult<Response> {
    let scope = caller.team(&state, id, Permission::PipelineRead).await?;
    let found = load_with_source(&mut scope.read().await?, &name, None).await?;
    Ok((etag(found.module.latest_version), Json(found)).into_response())
}

/// Create a new version of a library module
///
/// Pipelines keep the versions that they pin.
#[utoipa::path(
    put, path = "/v1/teams/{id}/library/{name}", tag = "library", request_body = PutLibraryModule,
    params(
        ("id" = TeamId, Path, description = "The team"),
        ("name" = String, Path, description = "The module's name"),
        ("If-Match" = Option<String>, Header, description = "412 unless it is the newest version's tag"),
    ),
    responses((status = 200, description = "The module with its new source", body = LibrarySource,
        headers(("ETag" = String, description = "For `If-Match` of the next change")))),
)]
pub(super) async fn put_library_module(
    State(state): State<AppState>,
    caller: Caller,
    Path((id, name)): Path<(TeamId, String)>,
    headers: HeaderMap,
    Body(put): Body<PutLibraryModule>,
) -> ApiResult<Response> {
    let scope = caller.team(&state, id, Permission::LibraryWrite).await?;
    check(&state, &scope, &name, &put.source).await?;
    let mut tx = scope.write().await?;
    let module = library::get(&mut tx, &name).await?.ok_or_else(ApiError::not_found)?;
    check_preconditions(&headers, Some(module.latest_version))?;
    limits::ensure_below_limit(module.latest_version, limits::VERSIONS_PER_MODULE, "versions of a library module")?;
    let number = module.latest_version + 1;
    let version = library::NewVersion {
        module: module.id,
        number,
        source: &put.source,
        description: put.description.as_deref().unwrap_or(&module.description),
        message: &put.message,
        author: caller.user_id,
    };
    library::insert_version(&mut tx, &state.ambient, &version).await?;
    limits::ensure_sources_below_limit(&mut tx).await?;
    let entry = audit::Entry::new("library.change", "library_module", module.id);
    let entry = entry.before(module_state(&name, &module.description, module.latest_version)).after(module_state(
        &name,
        version.description,
        number,
    ));
    audit::record_in_team(&mut tx, &state.ambient, caller.actor(), entry).await?;
    let made = load_with_source(&mut tx, &name, None).await?;
    tx.commit().await?;
    Ok((etag(number), Json(made)).into_response())
}

/// Delete a library module
///
/// With its versions. 409 while a pipeline version pins one of them.
#[utoipa::path(
    delete, path = "/v1/teams/{id}/library/{name}", tag = "library",
    params(
        ("id" = TeamId, Path, description = "The team"),
        ("name" = String, Path, description = "The module's name"),
        ("If-Match" = Option<String>, Header, description = "412 unless it is the module's tag"),
    ),
    responses((status = 204, description = "Deleted")),
)]
pub(super) async fn delete_library_module(
    State(state): State<AppState>,
    caller: Caller,
    Path((id, name)): Path<(TeamId, String)>,
    headers: HeaderMap,
) -> ApiResult<StatusCode> {
    let scope = caller.team(&state, id, Permission::LibraryWrite).await?;
    let mut tx = scope.write().await?;
    let module = library::get(&mut tx, &name).await?.ok_or_else(ApiError::not_found)?;
    check_preconditions(&headers, Some(module.latest_version))?;
    let users = library::count_users(&mut tx, module.id).await?;
    if users > 0 {
        let detail = format!(
            "The module is in use: versions of {users} pipelines pin it, including deleted ones that can still be \
            restored."
        );
        return Err(ApiError::with(ProblemCode::Conflict, detail));
    }
    library::delete(&mut tx, module.id).await?;
    let entry = audit::Entry::new("library.delete", "library_module", module.id);
    let entry = entry.before(module_state(&name, &module.description, module.latest_version));
    audit::record_in_team(&mut tx, &state.ambient, caller.actor(), entry).await?;
    tx.commit().await?;
    Ok(StatusCode::NO_CONTENT)
}

/// A module with the source of a version (default: the newest).
pub(super) async fn load_with_source(tx: &mut TeamTx, name: &str, number: Option<i64>) -> ApiResult<LibrarySource> {
    let module = library::get(tx, name).await?.ok_or_else(ApiError::not_found)?;
    let number = number.unwrap_or(module.latest_version);
    let (version, source) = library::version(tx, module.id, number).await?.ok_or_else(ApiError::not_found)?;
    Ok(LibrarySource { module, version, source })
}
