//! `GET /v1/me`

use axum::{Json, extract::State};
use restroy_sdk::api::auth::Me;
use utoipa_axum::{router::OpenApiRouter, routes};

use crate::{
    auth::Caller,
    error::{ApiError, ApiResult},
    state::AppState,
    store::{teams, users},
};

pub(super) fn routes() -> OpenApiRouter<AppState> {
    OpenApiRouter::new().routes(routes!(get_me))
}

/// The caller's account and teams.
#[utoipa::path(
    get, path = "/v1/me", tag = "me",
    responses((status = 200, description = "The account", body = Me)),
)]
async fn get_me(State(state): State<AppState>, caller: Caller) -> ApiResult<Json<Me>> {
    let mut tx = state.db.system_read().await?;
    let user = users::by_id(&mut tx, caller.user_id).await?.ok_or_else(ApiError::not_found)?;
    let teams = teams::roles_of_user(&mut tx, caller.user_id).await?;
    Ok(Json(Me {
        id: user.id,
        email: user.email,
        name: user.name,
        email_verified: user.email_verified_at.is_some(),
        created_at: user.created_at,
        teams,
    }))
}
