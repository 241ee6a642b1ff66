//! `/v1/boards/{id}/pipelines`

use axum::{Json, extract::State, http::StatusCode, response::Response};
use restroy_sdk::{
    api::{
        Page,
        pipeline::{NewPipeline, Pipeline},
    },
    ids::{BoardId, Id},
};
use serde::Deserialize;
use utoipa::IntoParams;

use crate::{
    api::{
        http::{Body, Idempotency, Idempotent, PageQuery, Path, Query, SortedPageQuery, name_filter, paged},
        limits,
    },
    auth::{Caller, Permission},
    error::{ApiResult, name_taken},
    state::AppState,
    store::{audit, order::OrderPosition, pipelines, sort::SortOrder},
};

/// Which of the board's pipelines.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(super) struct PipelineQuery {
    /// Those that were deleted and can be restored.
    #[serde(default)]
    deleted: bool,
    /// Sort order (default: the board's own order).
    #[param(inline)]
    sort: Option<SortOrder>,
    /// Only what has this in its name; ASCII letters in either case.
    #[param(min_length = 1, max_length = 64)]
    name: Option<String>,
    /// How many items (1–100, default 50).
    #[param(minimum = 1, maximum = 100)]
    limit: Option<u32>,
    /// `next_cursor` of the page before.
    cursor: Option<String>,
}

/// List the pipelines of a board
///
/// In the board's own order by default.
#[utoipa::path(
    get, path = "/v1/boards/{id}/pipelines", tag = "pipelines",
    params(("id" = BoardId, Path, description = "The board"), PipelineQuery),
    responses((status = 200, description = "In the board's order by default; deleted pipelines oldest first", body = Page<Pipeline>)),
)]
pub(super) async fn list_pipelines(
    State(state): State<AppState>,
    caller: Caller,
    Path(id): Path<BoardId>,
    Query(listing): Query<PipelineQuery>,
) -> ApiResult<Json<Page<Pipeline>>> {
    let scope = caller.board(&state, id, Permission::PipelineRead).await?;
    let PipelineQuery { deleted, sort, name, limit, cursor } = listing;
    if deleted || sort.is_some() {
        let sorted = SortedPageQuery::new(sort, name, limit, cursor).for_list(deleted);
        let selection = sorted.selection()?;
        let pipelines = pipelines::list_sorted(&mut scope.read().await?, id, deleted, &selection).await?;
        return Ok(Json(sorted.page(pipelines, |pipeline| (pipeline.id.uuid(), &pipeline.name))?));
    }
    let page = PageQuery::new(limit, cursor).for_list(("by hand", &name));
    let (after, rows, name) = (page.after::<OrderPosition>()?, page.rows()?, name_filter(name.as_deref())?);
    let placed = pipelines::list(&mut scope.read().await?, id, after, name.as_deref(), rows).await?;
    let Page { items, next_cursor } = paged(&page, placed, |(_, place)| *place)?;
    Ok(Json(Page { items: items.into_iter().map(|(pipeline, _)| pipeline).collect(), next_cursor }))
}

/// Create a pipeline
///
/// It has no definition yet.
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
    let now = state.ambient.now();
    let mut tx = scope.write().await?;
    let slot = match idempotency.begin(&mut tx, scope.team().uuid(), &new, now).await? {
        Idempotent::New(slot) => slot,
        Idempotent::Replay(answer) => return Ok(answer),
    };
    limits::ensure_below_limit(
        pipelines::count(&mut tx, id).await?,
        limits::PIPELINES_PER_BOARD,
        "pipelines on a board",
    )?;
    let with_deleted = pipelines::count_with_deleted(&mut tx, id).await?;
    limits::ensure_below_limit_with_deleted(with_deleted, limits::PIPELINES_WITH_DELETED, "pipelines on a board")?;
    let made =
        pipelines::PipelineInsert { id: state.ambient.id(), board: id, name: &new.name, description: &new.description };
    let pipeline = pipelines::insert(&mut tx, made, now)
        .await
        .map_err(|error| name_taken(error, "a pipeline on this board", &new.name))?;
    let entry = audit::Entry::new("pipeline.create", "pipeline", pipeline.id).after(serde_json::to_value(&pipeline)?);
    audit::record_in_team(&mut tx, &state.ambient, caller.actor(), entry).await?;
    let answer = slot.store_response(&mut tx, StatusCode::CREATED, &pipeline).await?;
    tx.commit().await?;
    Ok(answer)
}
