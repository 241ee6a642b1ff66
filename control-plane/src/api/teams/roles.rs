//! `/v1/teams/{id}/roles`

use axum::{Json, extract::State, http::StatusCode, response::Response};
use restroy_sdk::{
    api::{
        Page,
        role::{NewRole, Role as RoleInfo},
    },
    ids::{Id, TeamId},
};
use serde::Deserialize;
use utoipa::IntoParams;

use crate::{
    api::{
        http::{Body, FieldErrors, Idempotency, Idempotent, PageQuery, Path, Query, name_filter, paged},
        limits,
    },
    auth::{Caller, Permission, Permissions, Role, grant},
    error::{ApiResult, name_taken},
    state::AppState,
    store::{
        audit,
        roles::{self, AnyRole, CustomRole},
        sort::SortOrder,
    },
};

/// Which roles.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(super) struct RoleQuery {
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

/// List a team's roles
///
/// Sorted by age, the built-in roles come first, the one with the most permissions at the top.
#[utoipa::path(
    get, path = "/v1/teams/{id}/roles", tag = "teams",
    params(("id" = TeamId, Path, description = "The team"), RoleQuery),
    responses((status = 200, description = "The oldest first by default", body = Page<RoleInfo>)),
)]
pub(super) async fn list_roles(
    State(state): State<AppState>,
    caller: Caller,
    Path(id): Path<TeamId>,
    Query(listing): Query<RoleQuery>,
) -> ApiResult<Json<Page<RoleInfo>>> {
    let scope = caller.team(&state, id, Permission::TeamRead).await?;
    let RoleQuery { sort, name, limit, cursor } = listing;
    let order = sort.unwrap_or_default();
    name_filter(name.as_deref())?;
    let page = PageQuery::new(limit, cursor).for_list((order, &name));
    let (after, rows) = (page.after::<String>()?, page.rows()?);
    // There are few, and part of them is in the code: the page is cut out here.
    let own = roles::list_custom(&mut scope.read().await?).await?;
    let all = Role::ALL.iter().copied().map(AnyRole::BuiltIn).chain(own.into_iter().map(AnyRole::Own));
    let wanted = name.map(|name| name.to_ascii_lowercase());
    let named = |role: &RoleInfo| wanted.as_ref().is_none_or(|wanted| role.name.to_ascii_lowercase().contains(wanted));
    let mut left: Vec<RoleInfo> = all.map(AnyRole::into_api).filter(named).collect();
    left.sort_by_cached_key(|role| list_position(order, role));
    if matches!(order, SortOrder::Newest | SortOrder::NameDown) {
        left.reverse();
        left.retain(|role| after.as_ref().is_none_or(|after| list_position(order, role) < *after));
    } else {
        left.retain(|role| after.as_ref().is_none_or(|after| list_position(order, role) > *after));
    }
    left.truncate(usize::try_from(rows).unwrap_or(usize::MAX));
    Ok(Json(paged(&page, left, |role| list_position(order, role))?))
}

/// Where a role stands in the list: `!` comes before every id.
fn list_position(order: SortOrder, role: &RoleInfo) -> String {
    let by_age = match role.id {
        Some(id) => id.to_string(),
        None => format!("!{}", Role::ALL.iter().take_while(|built_in| built_in.as_str() != role.name).count()),
    };
    match order {
        SortOrder::Oldest | SortOrder::Newest => by_age,
        SortOrder::Name | SortOrder::NameDown => format!("{}\n{by_age}", role.name),
    }
}

/// Create a custom role
///
/// Nobody can grant permissions that they do not have.
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
    let mut fields = FieldErrors::new();
    check_name(&mut fields, &new.name);
    fields.finish()?;
    let permissions = parse_permissions(&new.permissions);
    let now = state.ambient.now();
    let (mut tx, held) = scope.write_with_permissions().await?;
    let slot = match idempotency.begin(&mut tx, id.uuid(), &new, now).await? {
        Idempotent::New(slot) => slot,
        Idempotent::Replay(answer) => return Ok(answer),
    };
    grant::ensure_can_grant(held, permissions)?;
    limits::ensure_below_limit(roles::count(&mut tx).await?, limits::ROLES_PER_TEAM, "roles of a team's own")?;
    let role = CustomRole {
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
    audit::record_in_team(&mut tx, &state.ambient, caller.actor(), entry).await?;
    let answer = slot.store_response(&mut tx, StatusCode::CREATED, &role).await?;
    tx.commit().await?;
    Ok(answer)
}

/// A role's name is one by which it can be named: not that of another kind of role, and no id.
pub(super) fn check_name(fields: &mut FieldErrors, name: &str) {
    if Role::ALL.iter().any(|built_in| built_in.as_str().eq_ignore_ascii_case(name)) {
        fields.error("/name", "the name of a built-in role; choose another");
    }
    if name.parse::<uuid::Uuid>().is_ok() {
        fields.error("/name", "an id is not a name; choose another");
    }
}

/// The permissions that a body names; [`crate::api::rules`] saw to it that there are such.
pub(super) fn parse_permissions(names: &[String]) -> Permissions {
    let named = names.iter().filter_map(|name| name.parse().ok());
    named.chain([Permission::TeamRead]).collect()
}
