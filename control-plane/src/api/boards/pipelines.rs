//! `/v1/boards/{id}/pipelines`

use axum::{Json, extract::State, http::StatusCode, response::Response};
use restroy_sdk::{
    api::{
        Page,
        pipeline::{NewPipeline, Pipeline},
    },
    ids::{BoardId, Id},
};

use crate::{
    api::{
        http::{Begun, Body, Fields, Idempotency, Path, Query, Sorted},
        limits,
    },
    auth::{Caller, Permission},
    error::{ApiResult, name_taken},
    state::AppState,
    store::{audit, pipelines},
};

/// The board's pipelines.
#[utoipa::path(
    get, path = "/v1/boards/{id}/pipelines", tag = "pipelines",
    params(("id" = BoardId, Path, description = "The board"), Sorted),
    responses((status = 200, description = "The oldest first unless told", body = Page<Pipeline>)),
)]
pub(super) async fn list_pipelines(
    State(state): State<AppState>,
    caller: Caller,
    Path(id): Path<BoardId>,
    Query(sorted): Query<Sorted>,
) -> ApiResult<Json<Page<Pipeline>>> {
    let scope = caller.board(&state, id, Permission::PipelineRead).await?;
    let selection = sorted.selection()?;
    let pipelines = pipelines::list(&mut scope.read().await?, id, &selection).await?;
    Ok(Json(sorted.page(pipelines, |pipeline| (pipeline.id.uuid(), &pipeline.name))?))
}

/// Makes a pipeline, still without a definition.
#[utoipa::path(
    post, path = "/v1/boards/{id}/pipelines", tag = "pipelines", request_body = NewPipeline,
    params(
        ("id" = BoardId, Path, description = "The board"),
        ("Idempotency-Key" = Option<String>, Header, description = "Repeats the first answer for 24 hours"),
    ),
    responses((status = 201, description = "The pipeline", body = Pipeline)),
)]
pub(super) async fn create_pipeline(
    State(state): State<AppState>,
    caller: Caller,
    Path(id): Path<BoardId>,
    idempotency: Idempotency,
    Body(new): Body<NewPipeline>,
) -> ApiResult<Response> {
    let scope = caller.board(&state, id, Permission::PipelineCreate).await?;
    Fields::new().name("/name", &new.name, limits::MAX_NAME).done()?;
    let now = state.ambient.now();
    let mut tx = scope.write().await?;
    let slot = match idempotency.begin(&mut tx, scope.team().uuid(), &new, now).await? {
        Begun::First(slot) => slot,
        Begun::Again(answer) => return Ok(answer),
    };
    limits::room(pipelines::count(&mut tx, id).await?, limits::PIPELINES_PER_BOARD, "pipelines on a board")?;
    let pipeline = pipelines::insert(&mut tx, state.ambient.id(), id, &new.name, now)
        .await
        .map_err(|error| name_taken(error, "a pipeline on this board", &new.name))?;
    let entry = audit::Entry::new("pipeline.create", "pipeline", pipeline.id).after(serde_json::to_value(&pipeline)?);
    audit::in_team(&mut tx, &state.ambient, caller.actor(), entry).await?;
    let answer = slot.answer(&mut tx, StatusCode::CREATED, &pipeline).await?;
    tx.commit().await?;
    Ok(answer)
}
