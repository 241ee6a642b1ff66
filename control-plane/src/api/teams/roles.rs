//! `/v1/teams/{id}/roles`

use axum::{Json, extract::State, http::StatusCode, response::Response};
use restroy_sdk::{
    api::{
        Page,
        role::{NewRole, Role as RoleInfo},
    },
    ids::{Id, TeamId},
};

use crate::{
    api::{
        http::{Begun, Body, Fields, Idempotency, Paged, Path, Query, paged},
        limits,
    },
    auth::{Caller, Permission, Permissions, Role, grant},
    error::{ApiResult, name_taken},
    state::AppState,
    store::{
        audit,
        roles::{self, AnyRole, OwnRole},
    },
};

/// The team's roles.
#[utoipa::path(
    get, path = "/v1/teams/{id}/roles", tag = "teams",
    params(("id" = TeamId, Path, description = "The team"), Paged),
    responses((
        status = 200, description = "The built-in ones, the mightiest first, then the team's own, the oldest first",
        body = Page<RoleInfo>,
    )),
)]
pub(super) async fn list_roles(
    State(state): State<AppState>,
    caller: Caller,
    Path(id): Path<TeamId>,
    Query(page): Query<Paged>,
) -> ApiResult<Json<Page<RoleInfo>>> {
    let scope = caller.team(&state, id, Permission::TeamRead).await?;
    let (after, rows) = (page.after::<String>()?, page.rows()?);
    // There are few, and part of them is in the code: the page is cut out here.
    let own = roles::own(&mut scope.read().await?).await?;
    let all = Role::ALL.iter().copied().map(AnyRole::BuiltIn).chain(own.into_iter().map(AnyRole::Own));
    let left = all.map(AnyRole::into_api).filter(|role| after.as_ref().is_none_or(|after| place(role) > *after));
    let left = left.take(usize::try_from(rows).unwrap_or(usize::MAX)).collect();
    Ok(Json(paged(&page, left, place)?))
}

/// Where a role stands in the list: `!` comes before every id.
fn place(role: &RoleInfo) -> String {
    match role.id {
        Some(id) => id.to_string(),
        None => format!("!{}", Role::ALL.iter().take_while(|built_in| built_in.as_str() != role.name).count()),
    }
}

/// Makes a role of the team's own. Nobody can put into it what they do not hold.
#[utoipa::path(
    post, path = "/v1/teams/{id}/roles", tag = "teams", request_body = NewRole,
    params(
        ("id" = TeamId, Path, description = "The team"),
        ("Idempotency-Key" = Option<String>, Header, description = "Repeats the first answer for 24 hours"),
    ),
    responses((status = 201, description = "The role", body = RoleInfo)),
)]
pub(super) async fn create_role(
    State(state): State<AppState>,
    caller: Caller,
    Path(id): Path<TeamId>,
    idempotency: Idempotency,
    Body(new): Body<NewRole>,
) -> ApiResult<Response> {
    let scope = caller.team(&state, id, Permission::RoleEdit).await?;
    let mut fields = Fields::new();
    check_name(&mut fields, &new.name);
    fields.text("/description", &new.description, limits::MAX_DESCRIPTION);
    let permissions = check_permissions(&mut fields, &new.permissions);
    fields.done()?;
    let now = state.ambient.now();
    let (mut tx, held) = scope.write_knowing().await?;
    let slot = match idempotency.begin(&mut tx, id.uuid(), &new, now).await? {
        Begun::First(slot) => slot,
        Begun::Again(answer) => return Ok(answer),
    };
    grant::gives(held, permissions)?;
    limits::room(roles::count(&mut tx).await?, limits::ROLES_PER_TEAM, "roles of a team's own")?;
    let role = OwnRole {
        id: state.ambient.id(),
        name: new.name,
        description: new.description,
        permissions,
        created_at: now,
        updated_at: now,
    };
    roles::insert(&mut tx, &role).await.map_err(|error| name_taken(error, "a role of this team", &role.name))?;
    let role_id = role.id;
    let role = AnyRole::Own(role).into_api();
    let entry = audit::Entry::new("role.create", "role", role_id).after(serde_json::to_value(&role)?);
    audit::in_team(&mut tx, &state.ambient, caller.actor(), entry).await?;
    let answer = slot.answer(&mut tx, StatusCode::CREATED, &role).await?;
    tx.commit().await?;
    Ok(answer)
}

/// A role's name is one by which it can be named: not that of another kind of role, and no id.
pub(super) fn check_name(fields: &mut Fields, name: &str) {
    fields.name("/name", name, limits::MAX_NAME);
    if Role::ALL.iter().any(|built_in| built_in.as_str().eq_ignore_ascii_case(name)) {
        fields.fault("/name", "the name of a built-in role; choose another");
    }
    if name.parse::<uuid::Uuid>().is_ok() {
        fields.fault("/name", "an id is no name; choose another");
    }
}

/// The permissions that a body names.
pub(super) fn check_permissions(fields: &mut Fields, names: &[String]) -> Permissions {
    if names.len() > Permission::ALL.len() {
        fields.fault("/permissions", format!("at most {}: each once", Permission::ALL.len()));
        return Permissions::default();
    }
    let mut permissions = vec![Permission::TeamRead];
    for (n, name) in names.iter().enumerate() {
        if let Ok(permission) = name.parse() {
            permissions.push(permission);
        } else {
            let detail = "not a permission; `GET /v1/permissions` lists those there are";
            fields.fault(&format!("/permissions/{n}"), detail);
        }
    }
    permissions.into_iter().collect()
}
