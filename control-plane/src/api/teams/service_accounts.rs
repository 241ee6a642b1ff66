//! `/v1/teams/{id}/service-accounts` and their tokens

use axum::{Json, extract::State, http::StatusCode, response::Response};
use restroy_run_queue::wake::Wake;
use restroy_sdk::{
    api::{
        Page,
        token::{ApiToken, CreatedApiToken, NewApiToken, NewServiceAccount, ServiceAccount},
    },
    ids::{Id, TeamId, UserId},
    problem::{FieldError, Problem, ProblemCode},
};
use serde_json::json;

use super::member::find_role;
use crate::{
    api::{
        http::{Body, FieldErrors, Idempotency, Idempotent, Path, Query, SortedPageQuery},
        limits, new_token,
    },
    auth::{Caller, Permission, Permissions, grant},
    error::{ApiError, ApiResult},
    state::AppState,
    store::{
        Bypass, TeamTx, api_tokens, audit,
        members::{self, Membership},
        service_accounts, users,
    },
};

/// List a team's service accounts
#[utoipa::path(
    get, path = "/v1/teams/{id}/service-accounts", tag = "tokens",
    params(("id" = TeamId, Path, description = "The team"), SortedPageQuery),
    responses((status = 200, description = "The oldest first by default", body = Page<ServiceAccount>)),
)]
pub(super) async fn list_service_accounts(
    State(state): State<AppState>,
    caller: Caller,
    Path(id): Path<TeamId>,
    Query(sorted): Query<SortedPageQuery>,
) -> ApiResult<Json<Page<ServiceAccount>>> {
    let scope = caller.team(&state, id, Permission::MemberRead).await?;
    let selection = sorted.selection()?;
    let accounts = service_accounts::list(&mut scope.read().await?, &selection).await?;
    Ok(Json(sorted.page(accounts, |account| (account.id.uuid(), &account.name))?))
}

/// Create a service account
///
/// An account without a person that acts in this team through API tokens. Its role may not exceed the caller's
/// permissions.
#[utoipa::path(
    post, path = "/v1/teams/{id}/service-accounts", tag = "tokens",
    params(
        ("id" = TeamId, Path, description = "The team"),
        ("Idempotency-Key" = Option<String>, Header, description = "Repeats the first answer for 24 hours"),
    ),
    request_body = NewServiceAccount,
    responses((status = 201, description = "The service account", body = ServiceAccount)),
)]
pub(super) async fn create_service_account(
    State(state): State<AppState>,
    caller: Caller,
    Path(id): Path<TeamId>,
    idempotency: Idempotency,
    Body(new): Body<NewServiceAccount>,
) -> ApiResult<Response> {
    let scope = caller.team(&state, id, Permission::TokenManage).await?;
    let now = state.ambient.now();
    let (mut tx, held) = scope.write_bypassing_rls(Bypass::AccountsOfTeam).await?;
    let slot = match idempotency.begin(&mut tx, id.uuid(), &new, now).await? {
        Idempotent::New(slot) => slot,
        Idempotent::Replay(answer) => return Ok(answer),
    };
    let role = find_role(&mut tx, &new.role).await?;
    if role.is_owner() {
        let fault = FieldError::new("/role", "a service account cannot own a team; name another role");
        return Err(Problem::new(ProblemCode::Invalid).errors(vec![fault]).into());
    }
    grant::ensure_can_grant(held, role.permissions())?;
    limits::ensure_below_limit(members::count(&mut tx).await?, limits::MEMBERS_PER_TEAM, "members of a team")?;
    let present = service_accounts::count(&mut tx).await?;
    limits::ensure_below_limit(present, limits::SERVICE_ACCOUNTS_PER_TEAM, "service accounts in a team")?;
    if service_accounts::has_name(&mut tx, &new.name).await? {
        let detail = format!("`{}` is the name of a service account of this team; choose another.", new.name);
        return Err(ApiError::with(ProblemCode::NameTaken, detail));
    }
    let account = state.ambient.id::<UserId>();
    let maker = caller.accountable_user();
    service_accounts::insert(&mut tx, account, maker, &new.name, &role, now).await?;
    let entry = audit::Entry::new("service_account.create", "user", account).after(serde_json::to_value(&new)?);
    audit::record_in_team(&mut tx, &state.ambient, caller.actor(), entry).await?;
    let account = ServiceAccount {
        id: account,
        name: new.name,
        role: role.name().to_owned(),
        created_at: now,
        created_by: Some(maker),
    };
    let answer = slot.store_response(&mut tx, StatusCode::CREATED, &account).await?;
    tx.commit().await?;
    Ok(answer)
}

/// Delete a service account and revoke its tokens
#[utoipa::path(
    delete, path = "/v1/teams/{id}/service-accounts/{account_id}", tag = "tokens",
    params(
        ("id" = TeamId, Path, description = "The team"),
        ("account_id" = UserId, Path, description = "The service account"),
    ),
    responses((status = 204, description = "Deleted")),
)]
pub(super) async fn delete_service_account(
    State(state): State<AppState>,
    caller: Caller,
    Path((id, account)): Path<(TeamId, UserId)>,
) -> ApiResult<StatusCode> {
    let scope = caller.team(&state, id, Permission::TokenManage).await?;
    let (mut tx, held) = scope.write_bypassing_rls(Bypass::AccountsOfTeam).await?;
    let found = require_manageable(&mut tx, held, account).await?;
    users::delete(&mut tx, account, state.ambient.now()).await?;
    let entry = audit::Entry::new("service_account.delete", "user", account)
        .before(json!({ "name": found.member.name, "role": found.member.role }));
    audit::record_in_team(&mut tx, &state.ambient, caller.actor(), entry).await?;
    tx.commit().await?;
    state.wake.send(Wake::Access { team_id: id });
    Ok(StatusCode::NO_CONTENT)
}

/// List a service account's API tokens
#[utoipa::path(
    get, path = "/v1/teams/{id}/service-accounts/{account_id}/api-tokens", tag = "tokens",
    params(
        ("id" = TeamId, Path, description = "The team"),
        ("account_id" = UserId, Path, description = "The service account"),
        SortedPageQuery,
    ),
    responses((status = 200, description = "The oldest first by default", body = Page<ApiToken>)),
)]
pub(super) async fn list_service_account_tokens(
    State(state): State<AppState>,
    caller: Caller,
    Path((id, account)): Path<(TeamId, UserId)>,
    Query(sorted): Query<SortedPageQuery>,
) -> ApiResult<Json<Page<ApiToken>>> {
    let scope = caller.team(&state, id, Permission::TokenManage).await?;
    let selection = sorted.selection()?;
    let mut tx = scope.read_bypassing_rls(Bypass::AccountsOfTeam).await?;
    service_accounts::get(&mut tx, account).await?.ok_or_else(ApiError::not_found)?;
    let tokens = api_tokens::list_for_user(&mut tx, account, &selection, state.ambient.now()).await?;
    Ok(Json(sorted.page(tokens, |token| (token.id.uuid(), &token.name))?))
}

/// Create an API token for a service account
///
/// It is shown once. Requires a login: a token cannot create tokens. It ends when its creator leaves the team or
/// no longer has all of its permissions there.
#[utoipa::path(
    post, path = "/v1/teams/{id}/service-accounts/{account_id}/api-tokens", tag = "tokens",
    params(
        ("id" = TeamId, Path, description = "The team"),
        ("account_id" = UserId, Path, description = "The service account"),
        ("Idempotency-Key" = Option<String>, Header, description = "Repeats the first answer, without the token, for 24 hours"),
    ),
    request_body = NewApiToken,
    responses((status = 201, description = "The token", body = CreatedApiToken)),
)]
pub(super) async fn create_service_account_token(
    State(state): State<AppState>,
    caller: Caller,
    Path((id, account)): Path<(TeamId, UserId)>,
    idempotency: Idempotency,
    Body(mut new): Body<NewApiToken>,
) -> ApiResult<Response> {
    let scope = caller.team(&state, id, Permission::TokenManage).await?;
    caller.require_session()?;
    let now = state.ambient.now();
    new_token::validate(&new, now)?;
    if new.team_id.is_some_and(|team| team != id) {
        FieldErrors::new().error("/team_id", "a service account reaches its own team only; leave it out").finish()?;
    }
    new.team_id = Some(id);
    let (mut tx, held) = scope.write_bypassing_rls(Bypass::AccountsOfTeam).await?;
    require_manageable(&mut tx, held, account).await?;
    let slot = match idempotency.begin(&mut tx, id.uuid(), &new, now).await? {
        Idempotent::New(slot) => slot,
        Idempotent::Replay(answer) => return Ok(answer),
    };
    let created = new_token::create(&state, &mut tx, account, caller.user_id, &new, now).await?;
    let entry = audit::Entry::new("token.create", "token", created.about.id).after(serde_json::to_value(&new)?);
    audit::record_in_team(&mut tx, &state.ambient, caller.actor(), entry).await?;
    new_token::respond(tx.into_system(), slot, created).await
}

/// A service account of the team that holds no more than the caller: who makes its tokens acts as it.
async fn require_manageable(tx: &mut TeamTx, held: Permissions, account: UserId) -> ApiResult<Membership> {
    let found = members::get(tx, account).await?.filter(|member| member.service).ok_or_else(ApiError::not_found)?;
    grant::ensure_can_manage(held, found.permissions)?;
    Ok(found)
}
