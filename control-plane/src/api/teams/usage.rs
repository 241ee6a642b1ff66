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

/// Get a team's limits
///
/// Those of its plan and the operator's overrides. At a limit the API answers 429 `quota_exceeded`, and a
/// script's call fails with that code.
#[utoipa::path(
    get, path = "/v1/teams/{id}/limits", tag = "teams", params(("id" = TeamId, Path, description = "The team")),
    responses((status = 200, description = "The limits with their effective values", body = TeamLimits)),
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
    /// From the hour of this time on (default: 24 hours ago).
    #[param(value_type = Option<String>, format = DateTime)]
    from: Option<Timestamp>,
    /// Hours that began before this time (default: now).
    #[param(value_type = Option<String>, format = DateTime)]
    to: Option<Timestamp>,
    /// Sort order (default: the oldest first).
    #[param(inline)]
    sort: Option<AgeOrder>,
    /// How many items (1–100, default 50).
    #[param(minimum = 1, maximum = 100)]
    limit: Option<u32>,
    /// `next_cursor` of the page before.
    cursor: Option<String>,
}

/// List a team's hourly usage
///
/// Counted when it is recorded: a step when it has ended. Hours without usage have no row. Kept for 400 days.
#[utoipa::path(
    get, path = "/v1/teams/{id}/usage", tag = "teams",
    params(("id" = TeamId, Path, description = "The team"), UsageRange),
    responses((status = 200, description = "The oldest first by default, and what is stored now", body = TeamUsage)),
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
