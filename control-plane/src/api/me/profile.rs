//! `GET` and `PATCH /v1/me`

use axum::{Json, extract::State};
use jiff::tz::TimeZone;
use restroy_sdk::api::{account::MePatch, auth::Me};
use serde_json::json;

use crate::{
    api::http::{Body, FieldErrors},
    auth::Caller,
    error::{ApiError, ApiResult},
    state::AppState,
    store::{
        Tx, audit, second_factor, teams,
        users::{self, User},
    },
};

/// Get the caller's account and teams
#[utoipa::path(
    get, path = "/v1/me", tag = "me",
    responses((status = 200, description = "The account", body = Me)),
)]
pub(super) async fn get_me(State(state): State<AppState>, caller: Caller) -> ApiResult<Json<Me>> {
    let mut tx = state.db.system_read().await?;
    let user = users::by_id(&mut tx, caller.user_id).await?.ok_or_else(ApiError::not_found)?;
    load_profile(&mut tx, caller, user).await.map(Json)
}

/// Update the caller's profile
#[utoipa::path(
    patch, path = "/v1/me", tag = "me", request_body = MePatch,
    responses((status = 200, description = "The account", body = Me)),
)]
pub(super) async fn patch_me(
    State(state): State<AppState>,
    caller: Caller,
    Body(patch): Body<MePatch>,
) -> ApiResult<Json<Me>> {
    caller.require_session()?;
    if patch.timezone.as_deref().is_some_and(|zone| TimeZone::get(zone).is_err()) {
        FieldErrors::new().error("/timezone", "no such time zone; one of IANA's, such as `Europe/Kyiv`").finish()?;
    }
    let mut tx = state.db.system_write().await?;
    users::lock(&mut tx, caller.user_id).await?;
    let mut user = users::by_id(&mut tx, caller.user_id).await?.ok_or_else(ApiError::not_found)?;
    // Which fields, not what they say: what identifies a person goes when they have gone.
    let mut changed = Vec::new();
    for (field, value, new) in [
        ("name", &mut user.name, patch.name),
        ("about", &mut user.about, patch.about),
        ("timezone", &mut user.timezone, patch.timezone),
    ] {
        if let Some(new) = new.filter(|new| new != value) {
            *value = new;
            changed.push(field);
        }
    }
    if !changed.is_empty() {
        users::update_profile(&mut tx, &user).await?;
        let entry = audit::Entry::new("user.change", "user", user.id).details(json!({ "fields": changed }));
        audit::record_for_user(&mut tx, &state.ambient, caller.actor(), entry).await?;
    }
    let me = load_profile(&mut tx, caller, user).await?;
    tx.commit().await?;
    Ok(Json(me))
}

async fn load_profile(tx: &mut Tx, caller: Caller, user: User) -> ApiResult<Me> {
    let teams = teams::roles_of_user(tx, caller.team_viewer()).await?;
    let two_factor = second_factor::is_on(tx, caller.user_id).await?;
    Ok(Me {
        id: user.id,
        email: user.email,
        name: user.name,
        email_verified: user.email_verified_at.is_some(),
        created_at: user.created_at,
        about: user.about,
        timezone: user.timezone,
        kind: user.kind,
        two_factor,
        last_login_at: user.last_login_at,
        teams,
    })
}
