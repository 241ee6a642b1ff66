//! `/v1/teams/{id}/limits`, `/v1/teams/{id}/usage`

use std::time::Duration;

use axum::{Json, extract::State};
use restroy_sdk::{
    api::{
        Page,
        usage::{TeamLimits, TeamUsage},
    },
    ids::TeamId,
    time::Timestamp,
};
use serde::Deserialize;
use utoipa::IntoParams;

use crate::{
    api::http::{PageQuery, Path, Query, paged},
    auth::{Caller, Permission},
    error::{ApiError, ApiResult},
    state::AppState,
    store::{quota, sort::AgeOrder, usage},
};

/// What is shown unless the request says otherwise.
const SHOWN: Duration = Duration::from_hours(24);

/// The team's limits.
///
/// Those of its plan, and what the operator gave it beyond. At a limit the API answers 429
/// `quota_exceeded`, and a script's call fails with that code.
#[utoipa::path(
    get, path = "/v1/teams/{id}/limits", tag = "teams", params(("id" = TeamId, Path, description = "The team")),
    responses((status = 200, description = "The limits, with their values in force", body = TeamLimits)),
)]
pub(super) async fn get_team_limits(
    State(state): State<AppState>,
    caller: Caller,
    Path(id): Path<TeamId>,
) -> ApiResult<Json<TeamLimits>> {
    let scope = caller.team(&state, id, Permission::TeamRead).await?;
    quota::all(&mut scope.read().await?).await?.map(Json).ok_or_else(ApiError::not_found)
}

/// From when to when.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(super) struct UsageRange {
    /// From the hour of this moment on; the last 24 hours unless told.
    #[param(value_type = Option<String>, format = DateTime)]
    from: Option<Timestamp>,
    /// Hours that began before this moment; until now unless told.
    #[param(value_type = Option<String>, format = DateTime)]
    to: Option<Timestamp>,
    /// In which order: the oldest first unless told.
    #[param(inline)]
    sort: Option<AgeOrder>,
    /// How many things: 1 to 100, 50 unless told.
    #[param(minimum = 1, maximum = 100)]
    limit: Option<u32>,
    /// `next_cursor` of the page before.
    cursor: Option<String>,
}

/// What the team used, by the hour.
///
/// Counted when it is recorded: a step when it has ended. An hour without a row saw nothing. Kept for
/// 400 days.
#[utoipa::path(
    get, path = "/v1/teams/{id}/usage", tag = "teams",
    params(("id" = TeamId, Path, description = "The team"), Span),
    responses((status = 200, description = "The oldest first unless told, and what is stored now", body = TeamUsage)),
)]
pub(super) async fn get_team_usage(
    State(state): State<AppState>,
    caller: Caller,
    Path(id): Path<TeamId>,
    Query(span): Query<UsageRange>,
) -> ApiResult<Json<TeamUsage>> {
    let scope = caller.team(&state, id, Permission::TeamRead).await?;
    let age = span.sort.unwrap_or(AgeOrder::Oldest);
    let page = PageQuery::new(span.limit, span.cursor).for_list((age, span.from, span.to));
    let now = state.ambient.now();
    let to = span.to.unwrap_or(now);
    let from = span.from.unwrap_or(to.before(SHOWN));
    let (after, rows) = (page.after::<i64>()?, page.rows()?);
    let mut tx = scope.read().await?;
    let hours = usage::list(&mut tx, from, to, age, after, rows).await?;
    let storage = usage::storage(&mut tx).await?;
    let Page { items, next_cursor } = paged(&page, hours, |hour| hour.hour.micros())?;
    Ok(Json(TeamUsage { items, next_cursor, storage }))
}
