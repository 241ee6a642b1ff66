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
    api::http::{PageQuery, Path, Query, name_filter, paged},
    auth::{Caller, Permission, Scope},
    error::ApiResult,
    runs::rows::{RunRow, run_columns},
    sql,
    state::AppState,
    store::{boards::seen, sort::AgeOrder},
};

/// Which runs.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(super) struct RunFilter {
    /// Only those in this state.
    status: Option<RunStatus>,
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

/// The statement, by age; `$1` to `$5` are team, place, status, pattern of the name and number of rows. Each
/// finds its beginning in an index.
macro_rules! runs {
    ($status:literal, $end:literal, $($which:expr),+) => {
        concat!(
            "SELECT ",
            run_columns!(),
            " FROM runs WHERE team_id = $1 AND expired_at IS NULL AND ",
            $status,
            " AND ($4 IS NULL OR lower(pipeline_name) LIKE $4 ESCAPE '\\') AND ",
            $($which,)+
            " AND id ",
            $end,
            " LIMIT $5"
        )
    };
}

/// Those in any state, and those in the one of `$3`.
macro_rules! by_status {
    ($status:expr, $end:literal) => {
        if $status.is_some() { by_age!("status = $3", $end) } else { by_age!("($3 IS NULL OR $3 = $3)", $end) }
    };
}

/// Those of a pipeline, `$6`, and those of a team that its viewer sees, `$6` to `$8`.
macro_rules! by_age {
    ($status:literal, $end:literal) => {
        (
            runs!($status, $end, "pipeline_id = $6"),
            runs!(
                $status,
                $end,
                "EXISTS (SELECT 1 FROM pipelines p
                     JOIN boards b ON b.team_id = p.team_id AND b.id = p.board_id AND b.deleted_at IS NULL
                     WHERE p.team_id = $1 AND p.id = runs.pipeline_id AND p.deleted_at IS NULL AND ",
                seen!("run.read", "$6", "$7", "$8"),
                ")"
            ),
        )
    };
}

async fn list(scope: &Scope, pipeline: Option<PipelineId>, filter: RunFilter) -> ApiResult<Json<Page<Run>>> {
    let age = filter.sort.unwrap_or_default();
    let page = PageQuery::new(filter.limit, filter.cursor).for_list((age, filter.status, &filter.name));
    let (rows, after, name) = (page.rows()?, page.after::<RunId>()?, name_filter(filter.name.as_deref())?);
    let (of_pipeline, of_team) = match age {
        AgeOrder::Oldest => by_status!(filter.status, "> $2 ORDER BY id"),
        AgeOrder::Newest => by_status!(filter.status, "< $2 ORDER BY id DESC"),
    };
    let first = if age == AgeOrder::Oldest { Uuid::nil() } else { Uuid::max() };
    let after = after.unwrap_or(RunId(first));
    let mut tx = scope.read().await?;
    let found: Vec<RunRow> = if let Some(pipeline) = pipeline {
        sql!(
            &mut *tx,
            fetch_all,
            query_as(of_pipeline)
                .bind(scope.team())
                .bind(after)
                .bind(filter.status)
                .bind(&name)
                .bind(rows)
                .bind(pipeline)
        )?
    } else {
        let viewer = scope.board_viewer(Permission::RunRead);
        sql!(
            &mut *tx,
            fetch_all,
            query_as(of_team)
                .bind(scope.team())
                .bind(after)
                .bind(filter.status)
                .bind(&name)
                .bind(rows)
                .bind(viewer.in_team)
                .bind(viewer.administers)
                .bind(viewer.user)
        )?
    };
    let Page { items, next_cursor } = paged(&page, found, |run| run.id)?;
    let items = items.into_iter().map(|run| run.into_api(None)).collect::<ApiResult<Vec<_>>>()?;
    Ok(Json(Page { items, next_cursor }))
}
