//! `/v1/teams/{id}/roles/{role}`

use std::time::Duration;

use axum::{
    Json,
    extract::State,
    http::{HeaderMap, StatusCode},
    response::{IntoResponse as _, Response},
};
use restroy_run_queue::wake::Wake;
use restroy_sdk::{
    api::role::{Role as RoleInfo, RolePatch},
    ids::TeamId,
    problem::ProblemCode,
};

use super::roles::{check_name, parse_permissions};
use crate::{
    api::http::{Body, FieldErrors, Path, check_preconditions, etag},
    auth::{Caller, Permission, grant},
    error::{ApiError, ApiResult, name_taken},
    state::AppState,
    store::{
        Bypass, TeamTx, audit,
        roles::{self, AnyRole, CustomRole},
        token_makers,
    },
};

/// Get a role
#[utoipa::path(
    get, path = "/v1/teams/{id}/roles/{role}", tag = "teams",
    params(("id" = TeamId, Path, description = "The team"), ("role" = String, Path, description = "Its name or id")),
    responses(
        (status = 200, description = "The role", body = RoleInfo,
         headers(("ETag" = String, description = "For `If-Match` of the next change; the team's own roles have one"))),
    ),
)]
pub(super) async fn get_role(
    State(state): State<AppState>,
    caller: Caller,
    Path((id, role)): Path<(TeamId, String)>,
) -> ApiResult<Response> {
    let scope = caller.team(&state, id, Permission::TeamRead).await?;
    let role = roles::find(&mut scope.read().await?, &role).await?.ok_or_else(ApiError::not_found)?;
    Ok(match &role {
        AnyRole::Own(own) => (etag(role_etag(own)), Json(role.into_api())).into_response(),
        AnyRole::BuiltIn(_) => Json(role.into_api()).into_response(),
    })
}

/// The tag of a team's own role: the moment of its last change.
fn role_etag(role: &CustomRole) -> i64 {
    role.updated_at.micros()
}

/// Update a custom role
///
/// Takes effect for everybody who has it with their next request. Nobody can grant permissions that they do not
/// have, or change a role that has more.
#[utoipa::path(
    patch, path = "/v1/teams/{id}/roles/{role}", tag = "teams", request_body = RolePatch,
    params(
        ("id" = TeamId, Path, description = "The team"),
        ("role" = String, Path, description = "Its name or id"),
        ("If-Match" = Option<String>, Header, description = "412 unless it is the role's tag"),
    ),
    responses((status = 200, description = "The role", body = RoleInfo)),
)]
pub(super) async fn patch_role(
    State(state): State<AppState>,
    caller: Caller,
    Path((id, wanted)): Path<(TeamId, String)>,
    headers: HeaderMap,
    Body(patch): Body<RolePatch>,
) -> ApiResult<Response> {
    let scope = caller.team(&state, id, Permission::RoleEdit).await?;
    let mut fields = FieldErrors::new();
    if let Some(name) = &patch.name {
        check_name(&mut fields, name);
    }
    fields.finish()?;
    let permissions = patch.permissions.as_deref().map(parse_permissions);
    let now = state.ambient.now();
    let (mut tx, held) = scope.write_bypassing_rls(Bypass::MemberChange).await?;
    let mut role = find_custom_role(&mut tx, &wanted).await?;
    grant::ensure_can_manage(held, role.permissions)?;
    check_preconditions(&headers, Some(role_etag(&role)))?;
    let before = AnyRole::Own(role.clone()).into_api();
    if let Some(permissions) = permissions {
        grant::ensure_can_grant(held, permissions)?;
        // Who has it on a private board would get there what the caller may hold in the team only.
        let on_boards = roles::holders(&mut tx, role.id, now).await?.on_boards;
        if on_boards > 0 && !held.contains(Permission::BoardAdminister) {
            return Err(ApiError::with(
                ProblemCode::Forbidden,
                format!("Members of boards have this role: changing it requires `{}`.", Permission::BoardAdminister),
            ));
        }
        role.permissions = permissions;
    }
    role.name = patch.name.unwrap_or(role.name);
    role.description = patch.description.unwrap_or(role.description);
    // Two changes within one tick of the clock are two.
    role.updated_at = now.max(role.updated_at.after(Duration::from_micros(1)));
    let changed = role_etag(&role);
    roles::update(&mut tx, &role).await.map_err(|error| name_taken(error, "a role of this team", &role.name))?;
    let role_id = role.id;
    let role = AnyRole::Own(role).into_api();
    let entry = audit::Entry::new("role.change", "role", role_id)
        .before(serde_json::to_value(&before)?)
        .after(serde_json::to_value(&role)?);
    audit::record_in_team(&mut tx, &state.ambient, caller.actor(), entry).await?;
    token_makers::revoke_uncovered(&mut tx, &state.ambient, caller.actor(), now).await?;
    tx.commit().await?;
    state.wake.send(Wake::Access { team_id: id });
    Ok((etag(changed), Json(role)).into_response())
}

/// Delete a custom role
///
/// 409 while somebody has it.
#[utoipa::path(
    delete, path = "/v1/teams/{id}/roles/{role}", tag = "teams",
    params(
        ("id" = TeamId, Path, description = "The team"),
        ("role" = String, Path, description = "Its name or id"),
        ("If-Match" = Option<String>, Header, description = "412 unless it is the role's tag"),
    ),
    responses((status = 204, description = "Deleted")),
)]
pub(super) async fn delete_role(
    State(state): State<AppState>,
    caller: Caller,
    Path((id, wanted)): Path<(TeamId, String)>,
    headers: HeaderMap,
) -> ApiResult<StatusCode> {
    let scope = caller.team(&state, id, Permission::RoleEdit).await?;
    let (mut tx, held) = scope.write_with_permissions().await?;
    let role = find_custom_role(&mut tx, &wanted).await?;
    grant::ensure_can_manage(held, role.permissions)?;
    check_preconditions(&headers, Some(role_etag(&role)))?;
    let holders = roles::holders(&mut tx, role.id, state.ambient.now()).await?;
    if holders.members + holders.on_boards + holders.invitations > 0 {
        return Err(ApiError::with(
            ProblemCode::Conflict,
            format!(
                "The role is in use: by {} members of the team, {} members of boards and {} invitations. Give them \
                another role first.",
                holders.members, holders.on_boards, holders.invitations
            ),
        ));
    }
    roles::delete(&mut tx, &role).await?;
    let entry =
        audit::Entry::new("role.delete", "role", role.id).before(serde_json::to_value(AnyRole::Own(role).into_api())?);
    audit::record_in_team(&mut tx, &state.ambient, caller.actor(), entry).await?;
    tx.commit().await?;
    Ok(StatusCode::NO_CONTENT)
}

/// The team's own role of that name or id; 409 for a built-in one.
async fn find_custom_role(tx: &mut TeamTx, wanted: &str) -> ApiResult<CustomRole> {
    match roles::find(tx, wanted).await? {
        Some(AnyRole::Own(role)) => Ok(role),
        Some(AnyRole::BuiltIn(role)) => Err(ApiError::with(
            ProblemCode::Conflict,
            format!("`{role}` is built in and stays as it is; make a role of the team's own beside it."),
        )),
        None => Err(ApiError::not_found()),
    }
}
