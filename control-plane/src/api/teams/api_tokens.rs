//! `/v1/teams/{id}/api-tokens`

use axum::{Json, extract::State, http::StatusCode};
use restroy_run_queue::wake::Wake;
use restroy_sdk::{
    api::{Page, token::ApiToken},
    ids::{ApiTokenId, Id, TeamId},
    problem::ProblemCode,
};
use serde_json::json;

use crate::{
    api::http::{Path, Query, SortedPageQuery},
    auth::{Caller, Permission, Permissions, grant},
    error::{ApiError, ApiResult},
    state::AppState,
    store::{Bypass, api_tokens, audit},
};

/// List the API tokens with access to a team
///
/// Those of its members and its service accounts.
#[utoipa::path(
    get, path = "/v1/teams/{id}/api-tokens", tag = "tokens",
    params(("id" = TeamId, Path, description = "The team"), SortedPageQuery),
    responses((status = 200, description = "The oldest first by default", body = Page<ApiToken>)),
)]
pub(super) async fn list_team_api_tokens(
    State(state): State<AppState>,
    caller: Caller,
    Path(id): Path<TeamId>,
    Query(sorted): Query<SortedPageQuery>,
) -> ApiResult<Json<Page<ApiToken>>> {
    let scope = caller.team(&state, id, Permission::TokenManage).await?;
    let selection = sorted.selection()?;
    let mut tx = scope.read_bypassing_rls(Bypass::AccountsOfTeam).await?;
    let tokens = api_tokens::list_for_team(&mut tx, &selection, state.ambient.now()).await?;
    Ok(Json(sorted.page(tokens, |token| (token.id.uuid(), &token.name))?))
}

/// Revoke an API token's access to a team
///
/// A token without access to another team ends; a person's token keeps its access to other teams.
#[utoipa::path(
    delete, path = "/v1/teams/{id}/api-tokens/{token_id}", tag = "tokens",
    params(
        ("id" = TeamId, Path, description = "The team"),
        ("token_id" = ApiTokenId, Path, description = "The token"),
    ),
    responses((status = 204, description = "It no longer has access to the team")),
)]
pub(super) async fn revoke_team_api_token(
    State(state): State<AppState>,
    caller: Caller,
    Path((id, token)): Path<(TeamId, ApiTokenId)>,
) -> ApiResult<StatusCode> {
    let scope = caller.team(&state, id, Permission::TokenManage).await?;
    let now = state.ambient.now();
    let (mut tx, held) = scope.write_bypassing_rls(Bypass::AccountsOfTeam).await?;
    let found = api_tokens::find_for_team(&mut tx, token, now).await?.ok_or_else(ApiError::not_found)?;
    if found.user_id != caller.user_id {
        let theirs = Permissions::from_role(found.role.as_deref(), found.granted.as_deref()).map_err(|error| {
            tracing::error!(%error, "a membership cannot be read");
            ApiError::new(ProblemCode::Internal)
        })?;
        grant::ensure_can_manage(held, theirs)?;
    }
    if found.bound {
        api_tokens::revoke(&mut tx, found.user_id, token, now).await?;
    } else {
        api_tokens::revoke_in_team(&mut tx, token, now).await?;
    }
    let entry = audit::Entry::new("token.revoke", "token", token)
        .details(json!({ "everywhere": found.bound }))
        .before(json!({ "name": found.name, "user_id": found.user_id }));
    audit::record_in_team(&mut tx, &state.ambient, caller.actor(), entry).await?;
    tx.commit().await?;
    state.wake.send(Wake::Access { team_id: id });
    Ok(StatusCode::NO_CONTENT)
}
