//! `GET /v1/pipelines/{id}/runs`, `GET /v1/teams/{id}/runs`: newest first.

use axum::{Json, extract::State};
use restroy_sdk::{
    api::{Page, run::Run, trigger::TriggerKind},
    ids::{PipelineId, RunId, TeamId},
    status::RunStatus,
};
use serde::Deserialize;
use utoipa::IntoParams;

use crate::{
    DomainResult,
    api::http::{PageQuery, Path, Query, name_filter, paged},
    auth::{Caller, Permission, Scope},
    error::ApiResult,
    runs::read::{self, RunSelection},
    state::AppState,
    store::sort::AgeOrder,
};

/// Which runs.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(super) struct RunFilter {
    /// Only those in this state.
    status: Option<RunStatus>,
    /// Only those that this kind of trigger started.
    #[param(inline)]
    trigger: Option<TriggerKind>,
    /// Only those whose pipeline had this in its name; ASCII letters in either case.
    #[param(min_length = 1, max_length = 64)]
    name: Option<String>,
    /// Sort order (default: the newest first).
    #[param(inline)]
    sort: Option<AgeOrder>,
    /// How many items (1–100, default 50).
    #[param(minimum = 1, maximum = 100)]
    limit: Option<u32>,
    /// `next_cursor` of the page before.
    cursor: Option<String>,
}

/// List the runs of a pipeline
#[utoipa::path(
    get, path = "/v1/pipelines/{id}/runs", tag = "runs", operation_id = "list_pipeline_runs",
    params(("id" = PipelineId, Path, description = "The pipeline"), RunFilter),
    responses((status = 200, description = "A page of runs, without their parameters", body = Page<Run>))
)]
pub(super) async fn list_pipeline_runs(
    State(state): State<AppState>,
    caller: Caller,
    Path(id): Path<PipelineId>,
    Query(filter): Query<RunFilter>,
) -> ApiResult<Json<Page<Run>>> {
    let scope = caller.pipeline(&state, id, Permission::RunRead).await?;
    list(&scope, Some(id), filter).await
}

/// List a team's runs
#[utoipa::path(
    get, path = "/v1/teams/{id}/runs", tag = "runs", operation_id = "list_team_runs",
    params(("id" = TeamId, Path, description = "The team"), RunFilter),
    responses((status = 200, description = "A page of runs, without their parameters", body = Page<Run>))
)]
pub(super) async fn list_team_runs(
    State(state): State<AppState>,
    caller: Caller,
    Path(id): Path<TeamId>,
    Query(filter): Query<RunFilter>,
) -> ApiResult<Json<Page<Run>>> {
    // Whose role in the team sees no runs may have one on some boards.
    let scope = caller.team(&state, id, Permission::TeamRead).await?;
    list(&scope, None, filter).await
}

async fn list(scope: &Scope, pipeline: Option<PipelineId>, filter: RunFilter) -> ApiResult<Json<Page<Run>>> {
    let age = filter.sort.unwrap_or_default();
    let page = PageQuery::new(filter.limit, filter.cursor).for_list((age, filter.status, filter.trigger, &filter.name));
    let (rows, after, name) = (page.rows()?, page.after::<RunId>()?, name_filter(filter.name.as_deref())?);
    let wanted = RunSelection { age, after, status: filter.status, trigger: filter.trigger, name, rows };
    let mut tx = scope.read().await?;
    let found = match pipeline {
        Some(pipeline) => read::of_pipeline(&mut tx, pipeline, &wanted).await?,
        None => read::of_team(&mut tx, scope.board_viewer(Permission::RunRead), &wanted).await?,
    };
    let Page { items, next_cursor } = paged(&page, found, |run| run.id)?;
    let items = items.into_iter().map(|run| run.into_api(None)).collect::<DomainResult<Vec<_>>>()?;
    Ok(Json(Page { items, next_cursor }))
}
