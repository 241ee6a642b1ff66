//! `/v1/teams/{id}/members`

use axum::{Json, extract::State};
use restroy_sdk::{
    api::{Page, team::Member},
    ids::{Id, TeamId},
};

use crate::{
    api::http::{Path, Query, SortedPageQuery},
    auth::{Caller, Permission},
    error::ApiResult,
    state::AppState,
    store::teams,
};

/// List a team's members
#[utoipa::path(
    get, path = "/v1/teams/{id}/members", tag = "teams",
    params(("id" = TeamId, Path, description = "The team"), SortedPageQuery),
    responses((status = 200, description = "The oldest accounts first by default", body = Page<Member>)),
)]
pub(super) async fn list_members(
    State(state): State<AppState>,
    caller: Caller,
    Path(id): Path<TeamId>,
    Query(sorted): Query<SortedPageQuery>,
) -> ApiResult<Json<Page<Member>>> {
    let scope = caller.team(&state, id, Permission::MemberRead).await?;
    let selection = sorted.selection()?;
    let members = teams::members(&mut scope.read().await?, &selection).await?;
    Ok(Json(sorted.page(members, |member| (member.user_id.uuid(), &member.name))?))
}
