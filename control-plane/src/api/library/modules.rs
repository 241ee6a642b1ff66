//! `/v1/teams/{id}/library`

use std::collections::BTreeMap;

use axum::{Json, extract::State, http::StatusCode, response::Response};
use restroy_sdk::{
    api::{
        Page,
        library::{LibraryModule, NewLibraryModule},
    },
    document::{MAX_SOURCE_BYTES, foreign_requires, is_module_name},
    ids::{Id, LibraryModuleId, TeamId},
    problem::{Fault, Problem, ProblemCode},
};

use super::module::whole;
use crate::{
    api::{
        http::{Begun, Body, Fields, Idempotency, Paged, Path, Query, paged},
        limits,
    },
    auth::{Caller, Permission},
    error::{ApiResult, name_taken},
    ports::ScriptCompiler,
    state::AppState,
    store::{audit, library},
};

/// The modules of the team's library.
#[utoipa::path(
    get, path = "/v1/teams/{id}/library", tag = "library",
    params(("id" = TeamId, Path, description = "The team"), Paged),
    responses((status = 200, description = "By name", body = Page<LibraryModule>)),
)]
pub(super) async fn list_modules(
    State(state): State<AppState>,
    caller: Caller,
    Path(id): Path<TeamId>,
    Query(page): Query<Paged>,
) -> ApiResult<Json<Page<LibraryModule>>> {
    let scope = caller.team(&state, id, Permission::PipelineRead).await?;
    let (after, rows) = (page.after::<String>()?, page.rows()?);
    let mut tx = scope.read().await?;
    let modules = library::list(&mut tx, after.as_deref(), rows).await?;
    Ok(Json(paged(&page, modules, |module| module.name.clone())?))
}

/// Makes a module with its first version. Scripts load it with `require "lib.NAME"` once a document pins
/// it.
#[utoipa::path(
    post, path = "/v1/teams/{id}/library", tag = "library", request_body = NewLibraryModule,
    params(
        ("id" = TeamId, Path, description = "The team"),
        ("Idempotency-Key" = Option<String>, Header, description = "Repeats the first answer for 24 hours"),
    ),
    responses((status = 201, description = "The module and its source", body = restroy_sdk::api::library::LibrarySource)),
)]
pub(super) async fn create_module(
    State(state): State<AppState>,
    caller: Caller,
    Path(id): Path<TeamId>,
    idempotency: Idempotency,
    Body(new): Body<NewLibraryModule>,
) -> ApiResult<Response> {
    let scope = caller.team(&state, id, Permission::LibraryWrite).await?;
    Fields::new()
        .text("/description", &new.description, limits::MAX_DESCRIPTION)
        .text("/message", &new.message, limits::MAX_MESSAGE)
        .done()?;
    if !is_module_name(&new.name) {
        let detail = "a small letter first, then small letters, digits and `_`, at most 64 together";
        return Err(Problem::new(ProblemCode::Invalid).errors(vec![Fault::new("/name", detail)]).into());
    }
    check(state.compiler.as_ref(), &new.name, &new.source).await?;
    let now = state.ambient.now();
    let mut tx = scope.write().await?;
    let slot = match idempotency.begin(&mut tx, id.uuid(), &new, now).await? {
        Begun::First(slot) => slot,
        Begun::Again(answer) => return Ok(answer),
    };
    limits::room(library::count(&mut tx).await?, limits::MODULES_PER_LIBRARY, "modules in a team's library")?;
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
    let entry = audit::Entry::new("library.create", "library_module", module);
    let entry = entry.after(module_state(&new.name, &new.description, 1));
    audit::in_team(&mut tx, &state.ambient, caller.actor(), entry).await?;
    let made = whole(&mut tx, &new.name, None).await?;
    let answer = slot.answer(&mut tx, StatusCode::CREATED, &made).await?;
    tx.commit().await?;
    Ok(answer)
}

/// What the audit log says of a module: not its source.
pub(super) fn module_state(name: &str, description: &str, version: i64) -> serde_json::Value {
    serde_json::json!({ "name": name, "description": description, "version": version })
}

/// Refuses a source that is too long, does not compile, or loads what a library module cannot.
pub(super) async fn check(compiler: &dyn ScriptCompiler, name: &str, source: &str) -> ApiResult<()> {
    let mut faults = Vec::new();
    if source.len() > MAX_SOURCE_BYTES {
        let detail = format!("the source has {} bytes; at most {MAX_SOURCE_BYTES}", source.len());
        faults.push(Fault::new("/source", detail));
    } else if source.contains('\0') {
        faults.push(Fault::new("/source", "holds the character U+0000; in a Lua string write it as `\\0`"));
    } else {
        let file = BTreeMap::from([(format!("{name}.lua"), source.to_owned())]);
        let compiled = compiler.check_files(&file).await?;
        faults.extend(compiled.into_iter().map(|fault| Fault { pointer: "/source".into(), ..fault }));
        faults.extend(foreign_requires(source));
    }
    if faults.is_empty() { Ok(()) } else { Err(Problem::new(ProblemCode::Invalid).errors(faults).into()) }
}
