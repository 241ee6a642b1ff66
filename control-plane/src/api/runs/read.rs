//! `GET /v1/runs/{id}`, `GET /v1/runs/{id}/steps`.

use axum::{Json, extract::State};
use restroy_sdk::{
    api::{
        Page,
        run::{Run, StepRun},
    },
    ids::{RunId, StepRunId},
    status::StepStatus,
};
use serde::Deserialize;
use utoipa::IntoParams;

use crate::{
    DomainResult,
    api::http::{PageBuilder, PageQuery, Path, Query},
    auth::{Caller, Permission},
    error::ApiResult,
    runs::{read, rows::StepRow},
    state::AppState,
    store::sort::AgeOrder,
};

/// Get a run
#[utoipa::path(
    get, path = "/v1/runs/{id}", tag = "runs", operation_id = "get_run",
    params(("id" = RunId, Path, description = "The run")),
    responses((status = 200, description = "The run, with what it was started with", body = Run))
)]
pub(super) async fn run(State(state): State<AppState>, caller: Caller, Path(id): Path<RunId>) -> ApiResult<Json<Run>> {
    let scope = caller.run(&state, id, Permission::RunRead).await?;
    let mut tx = scope.read().await?;
    Ok(Json(read::find_with_params(&mut tx, id).await?))
}

/// Which attempts.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(super) struct AttemptFilter {
    /// Only those in this state.
    status: Option<StepStatus>,
    /// Sort order (default: the oldest first).
    #[param(inline)]
    sort: Option<AgeOrder>,
    /// How many items (1–100, default 50).
    #[param(minimum = 1, maximum = 100)]
    limit: Option<u32>,
    /// `next_cursor` of the page before.
    cursor: Option<String>,
}

/// List a run's step attempts
///
/// Sorted by their position in the run. A page ends early when the steps' outputs take more than 1 MiB.
#[utoipa::path(
    get, path = "/v1/runs/{id}/steps", tag = "runs", operation_id = "list_run_steps",
    params(("id" = RunId, Path, description = "The run"), AttemptFilter),
    responses((status = 200, description = "A page of attempts", body = Page<StepRun>))
)]
pub(super) async fn steps(
    State(state): State<AppState>,
    caller: Caller,
    Path(id): Path<RunId>,
    Query(filter): Query<AttemptFilter>,
) -> ApiResult<Json<Page<StepRun>>> {
    let scope = caller.run(&state, id, Permission::RunRead).await?;
    let age = filter.sort.unwrap_or(AgeOrder::Oldest);
    let page = PageQuery::new(filter.limit, filter.cursor).for_list((age, filter.status));
    let mut after = page.after::<StepRunId>()?;
    let mut filling = PageBuilder::new(&page)?;
    let mut tx = scope.read().await?;
    while let Some(rows) = filling.rows_wanted() {
        let found = read::attempts(&mut tx, id, age, after, filter.status, rows).await?;
        after = found.last().map(|step| step.id).or(after);
        filling.push_rows(found, rows, |step| step.output.as_ref().map_or(0, String::len));
    }
    let Page { items, next_cursor } = filling.page(|step| step.id);
    let items = items.into_iter().map(StepRow::into_api).collect::<DomainResult<Vec<_>>>()?;
    Ok(Json(Page { items, next_cursor }))
}
