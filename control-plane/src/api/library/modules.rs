//! `/v1/teams/{id}/library`

use std::collections::BTreeMap;

use axum::{Json, extract::State, http::StatusCode, response::Response};
use restroy_sdk::{
    api::{
        Page,
        library::{LibraryModule, NewLibraryModule},
    },
    document::foreign_requires,
    ids::{Id, LibraryModuleId, TeamId},
    problem::{FieldError, Problem, ProblemCode},
};

use super::module::load_with_source;
use crate::{
    api::{
        compile::CompileBudget,
        http::{Body, Idempotency, Idempotent, Path, Query, SortedPageQuery},
        limits,
    },
    auth::{Caller, Permission, Scope},
    error::{ApiResult, name_taken},
    state::AppState,
    store::{
        audit, library,
        quota::{self, Limit},
        sort::SortOrder,
    },
};

/// List the modules of a team's library
#[utoipa::path(
    get, path = "/v1/teams/{id}/library", tag = "library",
    params(("id" = TeamId, Path, description = "The team"), SortedPageQuery),
    responses((status = 200, description = "Sorted by name by default", body = Page<LibraryModule>)),
)]
pub(super) async fn list_library_modules(
    State(state): State<AppState>,
    caller: Caller,
    Path(id): Path<TeamId>,
    Query(sorted): Query<SortedPageQuery>,
) -> ApiResult<Json<Page<LibraryModule>>> {
    let scope = caller.team(&state, id, Permission::PipelineRead).await?;
    let sorted = sorted.default_order(SortOrder::Name);
    let selection = sorted.selection()?;
    let modules = library::list(&mut scope.read().await?, &selection).await?;
    Ok(Json(sorted.page(modules, |module| (module.id.uuid(), &module.name))?))
}

/// Create a library module with its first version
///
/// Scripts load it with `require "lib.NAME"` once a document pins it.
#[utoipa::path(
    post, path = "/v1/teams/{id}/library", tag = "library", request_body = NewLibraryModule,
    params(
        ("id" = TeamId, Path, description = "The team"),
        ("Idempotency-Key" = Option<String>, Header, description = "Repeats the first answer for 24 hours"),
    ),
    responses((status = 201, description = "The module and its source", body = restroy_sdk::api::library::LibrarySource)),
)]
pub(super) async fn create_library_module(
    State(state): State<AppState>,
    caller: Caller,
    Path(id): Path<TeamId>,
    idempotency: Idempotency,
    Body(new): Body<NewLibraryModule>,
) -> ApiResult<Response> {
    let scope = caller.team(&state, id, Permission::LibraryWrite).await?;
    check(&state, &scope, &new.name, &new.source).await?;
    let now = state.ambient.now();
    let mut tx = scope.write().await?;
    let slot = match idempotency.begin(&mut tx, id.uuid(), &new, now).await? {
        Idempotent::New(slot) => slot,
        Idempotent::Replay(answer) => return Ok(answer),
    };
    limits::ensure_below_limit(
        library::count(&mut tx).await?,
        limits::MODULES_PER_LIBRARY,
        "modules in a team's library",
    )?;
    let module: LibraryModuleId = state.ambient.id();
    library::insert(&mut tx, module, &new.name, &new.description, now)
        .await
        .map_err(|error| name_taken(error, "a module of this team's library", &new.name))?;
    let version = library::NewVersion {
        module,
        number: 1,
        source: &new.source,
        description: &new.description,
        message: &new.message,
        author: caller.user_id,
    };
    library::insert_version(&mut tx, &state.ambient, &version).await?;
    limits::ensure_sources_below_limit(&mut tx).await?;
    let entry = audit::Entry::new("library.create", "library_module", module);
    let entry = entry.after(module_state(&new.name, &new.description, 1));
    audit::record_in_team(&mut tx, &state.ambient, caller.actor(), entry).await?;
    let made = load_with_source(&mut tx, &new.name, None).await?;
    let answer = slot.store_response(&mut tx, StatusCode::CREATED, &made).await?;
    tx.commit().await?;
    Ok(answer)
}

/// What the audit log says of a module: not its source.
pub(super) fn module_state(name: &str, description: &str, version: i64) -> serde_json::Value {
    serde_json::json!({ "name": name, "description": description, "version": version })
}

/// Refuses a source that is too long for the team, does not compile, or loads what a library module cannot.
pub(super) async fn check(state: &AppState, scope: &Scope, name: &str, source: &str) -> ApiResult<()> {
    let most = quota::effective(&mut scope.read().await?, Limit::SourceBytes).await?;
    if i64::try_from(source.len()).unwrap_or(i64::MAX) > most {
        let detail = format!("the source has {} bytes; at most {most}", source.len());
        return Err(Problem::new(ProblemCode::Invalid).errors(vec![FieldError::new("/source", detail)]).into());
    }
    let file = BTreeMap::from([(format!("{name}.lua"), source.to_owned())]);
    let compiled = CompileBudget::new(state, scope.team()).check_files(&file).await?;
    let mut faults: Vec<FieldError> =
        compiled.into_iter().map(|fault| FieldError { pointer: "/source".into(), ..fault }).collect();
    faults.extend(foreign_requires(source));
    if faults.is_empty() { Ok(()) } else { Err(Problem::new(ProblemCode::Invalid).errors(faults).into()) }
}
