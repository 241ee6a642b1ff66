//! `GET /v1/pipelines/{id}/runs`, `GET /v1/teams/{id}/runs`: newest first.

use axum::{Json, extract::State};
use restroy_sdk::{
    api::{Page, run::Run},
    ids::{PipelineId, RunId, TeamId},
    status::RunStatus,
};
use serde::Deserialize;
use sqlx::query_as;
use utoipa::IntoParams;
use uuid::Uuid;

use crate::{
    api::http::{Paged, Path, Query, paged},
    auth::{Caller, Permission, Scope},
    error::ApiResult,
    runs::rows::{RunRow, run_columns},
    sql,
    state::AppState,
    store::boards::{Viewer, seen},
};

/// Which runs.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(super) struct Filter {
    /// Only those in this state.
    status: Option<RunStatus>,
    /// How many things: 1 to 100, 50 unless told.
    #[param(minimum = 1, maximum = 100)]
    limit: Option<u32>,
    /// `next_cursor` of the page before.
    cursor: Option<String>,
}

/// The runs of a pipeline, newest first
#[utoipa::path(
    get, path = "/v1/pipelines/{id}/runs", tag = "runs",
    params(("id" = PipelineId, Path, description = "The pipeline"), Filter),
    responses((status = 200, description = "A page of runs, without their parameters", body = Page<Run>))
)]
pub(super) async fn of_pipeline(
    State(state): State<AppState>,
    caller: Caller,
    Path(id): Path<PipelineId>,
    Query(filter): Query<Filter>,
) -> ApiResult<Json<Page<Run>>> {
    let scope = caller.pipeline(&state, id, Permission::RunRead).await?;
    list(&scope, Some(id), filter).await
}

/// The runs of a team, newest first
#[utoipa::path(
    get, path = "/v1/teams/{id}/runs", tag = "runs",
    params(("id" = TeamId, Path, description = "The team"), Filter),
    responses((status = 200, description = "A page of runs, without their parameters", body = Page<Run>))
)]
pub(super) async fn of_team(
    State(state): State<AppState>,
    caller: Caller,
    Path(id): Path<TeamId>,
    Query(filter): Query<Filter>,
) -> ApiResult<Json<Page<Run>>> {
    // Whose role in the team sees no runs may have one on some boards.
    let scope = caller.team(&state, id, Permission::TeamRead).await?;
    list(&scope, None, filter).await
}

async fn list(scope: &Scope, pipeline: Option<PipelineId>, filter: Filter) -> ApiResult<Json<Page<Run>>> {
    let page = Paged::new(filter.limit, filter.cursor);
    // Newest first: the first page starts before the greatest id there can be.
    let (rows, before) = (page.rows()?, page.after::<RunId>()?.unwrap_or(RunId(Uuid::max())));
    let mut tx = scope.read().await?;
    let viewer = Viewer::new(scope, Permission::RunRead);
    let found: Vec<RunRow> = match pipeline {
        Some(pipeline) => sql!(
            &mut *tx,
            fetch_all,
            query_as(concat!(
                "SELECT ",
                run_columns!(),
                " FROM runs WHERE team_id = $1 AND pipeline_id = $2 AND id < $3
                  AND ($4 IS NULL OR status = $4) ORDER BY id DESC LIMIT $5"
            ))
            .bind(scope.team())
            .bind(pipeline)
            .bind(before)
            .bind(filter.status)
            .bind(rows)
        )?,
        None => sql!(
            &mut *tx,
            fetch_all,
            query_as(concat!(
                "SELECT ",
                run_columns!(),
                " FROM runs WHERE team_id = $1 AND id < $5
                  AND ($6 IS NULL OR status = $6)
                  AND EXISTS (SELECT 1 FROM pipelines p
                              JOIN boards b ON b.team_id = p.team_id AND b.id = p.board_id
                                  AND b.deleted_at IS NULL
                              WHERE p.team_id = $1 AND p.id = runs.pipeline_id AND p.deleted_at IS NULL AND ",
                seen!("run.read"),
                ") ORDER BY id DESC LIMIT $7"
            ))
            .bind(scope.team())
            .bind(viewer.in_team)
            .bind(viewer.administers)
            .bind(viewer.user)
            .bind(before)
            .bind(filter.status)
            .bind(rows)
        )?,
    };
    let Page { items, next_cursor } = paged(&page, found, |run| run.id)?;
    let items = items.into_iter().map(|run| run.into_api(None)).collect::<ApiResult<Vec<_>>>()?;
    Ok(Json(Page { items, next_cursor }))
}
