//! `GET /v1/permissions`

use axum::Json;
use restroy_sdk::{
    api::{Page, role::PermissionInfo},
    problem::ProblemCode,
};
use utoipa_axum::{router::OpenApiRouter, routes};

use crate::{
    api::http::{PageQuery, Query, paged},
    auth::{Caller, Permission},
    error::{ApiError, ApiResult},
    state::AppState,
};

pub(super) fn routes() -> OpenApiRouter<AppState> {
    OpenApiRouter::new().routes(routes!(list_permissions))
}

/// List all permissions
///
/// Roles are sets of them.
#[utoipa::path(
    get, path = "/v1/permissions", tag = "teams", params(PageQuery),
    responses((status = 200, description = "The list, the same for every team", body = Page<PermissionInfo>)),
)]
async fn list_permissions(_caller: Caller, Query(page): Query<PageQuery>) -> ApiResult<Json<Page<PermissionInfo>>> {
    let unknown = |_| ApiError::with(ProblemCode::BadRequest, "`cursor` is not one that this list gave.");
    let after = page.after::<String>()?.map(|name| name.parse::<Permission>()).transpose().map_err(unknown)?;
    let first = after.and_then(|after| Permission::ALL.iter().position(|one| *one == after)).map_or(0, |at| at + 1);
    let rows = usize::try_from(page.rows()?).unwrap_or(usize::MAX);
    let infos = Permission::ALL.iter().skip(first).take(rows).map(|permission| PermissionInfo {
        name: permission.as_str().into(),
        description: permission.description().into(),
        on_boards: permission.is_board_scoped(),
    });
    Ok(Json(paged(&page, infos.collect(), |info| info.name.clone())?))
}
