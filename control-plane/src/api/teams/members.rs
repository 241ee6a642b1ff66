//! `/v1/teams/{id}/members`

use axum::{Json, extract::State};
use restroy_sdk::{
    api::{Page, team::Member},
    ids::{TeamId, UserId},
};

use crate::{
    api::http::{Paged, Path, Query, paged},
    auth::{Caller, Permission},
    error::ApiResult,
    state::AppState,
    store::teams,
};

/// Who is in the team.
#[utoipa::path(
    get, path = "/v1/teams/{id}/members", tag = "teams",
    params(("id" = TeamId, Path, description = "The team"), Paged),
    responses((status = 200, description = "The members", body = Page<Member>)),
)]
pub(super) async fn list_members(
    State(state): State<AppState>,
    caller: Caller,
    Path(id): Path<TeamId>,
    Query(page): Query<Paged>,
) -> ApiResult<Json<Page<Member>>> {
    let scope = caller.team(&state, id, Permission::MemberRead).await?;
    let (after, rows) = (page.after::<UserId>()?, page.rows()?);
    let mut tx = scope.read().await?;
    let members = teams::members(&mut tx, after, rows).await?;
    Ok(Json(paged(&page, members, |member| member.user_id)?))
}
