//! `/v1/teams`, `/v1/teams/{id}`

use axum::{Json, extract::State, http::StatusCode, response::Response};
use restroy_sdk::{
    api::{
        Page,
        team::{NewTeam, Team},
    },
    ids::{Id, TeamId},
};
use serde::Deserialize;
use serde_json::json;
use utoipa::IntoParams;

use crate::{
    api::{
        http::{Body, Idempotency, Idempotent, Path, Query, SortedPageQuery},
        limits,
    },
    auth::{Caller, Permission, Role},
    error::{ApiError, ApiResult},
    runs::purge_teams::RETENTION,
    state::AppState,
    store::{TeamTx, audit, sort::SortOrder, teams, users},
};

/// Which teams.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(super) struct TeamFilter {
    /// Those that the caller owned and that were deleted, as long as they can be brought back.
    #[serde(default)]
    deleted: bool,
    /// Sort order (default: the oldest first).
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

/// List the caller's teams
#[utoipa::path(
    get, path = "/v1/teams", tag = "teams", params(TeamFilter),
    responses((status = 200, description = "The oldest first by default", body = Page<Team>)),
)]
pub(super) async fn list_teams(
    State(state): State<AppState>,
    caller: Caller,
    Query(filter): Query<TeamFilter>,
) -> ApiResult<Json<Page<Team>>> {
    let sorted = SortedPageQuery::new(filter.sort, filter.name, filter.limit, filter.cursor).for_list(filter.deleted);
    let selection = sorted.selection()?;
    let since = filter.deleted.then(|| state.ambient.now().before(RETENTION));
    let mut tx = state.db.system_read().await?;
    let teams = match since {
        Some(since) => teams::list_deleted_for_user(&mut tx, caller.team_viewer(), since, &selection).await?,
        None => teams::list_for_user(&mut tx, caller.team_viewer(), &selection).await?,
    };
    Ok(Json(sorted.page(teams, |team| (team.id.uuid(), &team.name))?))
}

/// Create a team
///
/// The caller owns it. Requires a login.
#[utoipa::path(
    post, path = "/v1/teams", tag = "teams", request_body = NewTeam,
    params(("Idempotency-Key" = Option<String>, Header, description = "Repeats the first answer for 24 hours")),
    responses((status = 201, description = "The team", body = Team)),
)]
pub(super) async fn create_team(
    State(state): State<AppState>,
    caller: Caller,
    idempotency: Idempotency,
    Body(new): Body<NewTeam>,
) -> ApiResult<Response> {
    caller.require_session()?;
    let now = state.ambient.now();
    let id = state.ambient.id::<TeamId>();
    let mut tx = state.db.system_write().await?;
    let slot = match idempotency.begin(&mut tx, caller.user_id.uuid(), &new, now).await? {
        Idempotent::New(slot) => slot,
        Idempotent::Replay(answer) => return Ok(answer),
    };
    users::lock(&mut tx, caller.user_id).await?;
    let owned = teams::count_owned(&mut tx, caller.user_id).await?;
    limits::ensure_below_limit_with_deleted(owned, limits::TEAMS_PER_OWNER, "teams owned by one person")?;
    let (data_key, key_id) = state.keys.new_team_key(&state.ambient, id)?;
    let team = teams::NewTeam { id, name: &new.name, data_key, key_id, owner: caller.user_id };
    teams::insert(&mut tx, &team, now).await?;
    let mut tx = TeamTx::new_team(tx, id);
    let entry = audit::Entry::new("team.create", "team", id).after(json!({ "name": new.name }));
    audit::record_in_team(&mut tx, &state.ambient, caller.actor(), entry).await?;
    let team = Team { id, name: new.name, role: Role::Owner.to_string(), created_at: now };
    let answer = slot.store_response(&mut tx, StatusCode::CREATED, &team).await?;
    tx.commit().await?;
    Ok(answer)
}

/// Get a team
#[utoipa::path(
    get, path = "/v1/teams/{id}", tag = "teams", params(("id" = TeamId, Path, description = "The team")),
    responses((status = 200, description = "The team", body = Team)),
)]
pub(super) async fn get_team(
    State(state): State<AppState>,
    caller: Caller,
    Path(id): Path<TeamId>,
) -> ApiResult<Json<Team>> {
    let scope = caller.team(&state, id, Permission::TeamRead).await?;
    let mut tx = scope.read().await?;
    teams::get(&mut tx, caller.user_id).await?.map(Json).ok_or_else(ApiError::not_found)
}

/// Rename a team
#[utoipa::path(
    patch, path = "/v1/teams/{id}", tag = "teams", params(("id" = TeamId, Path, description = "The team")),
    request_body = NewTeam,
    responses((status = 200, description = "The team", body = Team)),
)]
pub(super) async fn rename_team(
    State(state): State<AppState>,
    caller: Caller,
    Path(id): Path<TeamId>,
    Body(new): Body<NewTeam>,
) -> ApiResult<Json<Team>> {
    let scope = caller.team(&state, id, Permission::TeamEdit).await?;
    let mut tx = scope.write().await?;
    let before = teams::get(&mut tx, caller.user_id).await?.ok_or_else(ApiError::not_found)?;
    teams::rename(&mut tx, &new.name).await?;
    let entry = audit::Entry::new("team.rename", "team", id);
    let entry = entry.before(json!({ "name": before.name })).after(json!({ "name": new.name }));
    audit::record_in_team(&mut tx, &state.ambient, caller.actor(), entry).await?;
    let team = teams::get(&mut tx, caller.user_id).await?.ok_or_else(ApiError::not_found)?;
    tx.commit().await?;
    Ok(Json(team))
}
