//! The caller's own account. But for looking at it, all of it takes a login: an API token cannot change the
//! account that it belongs to.

mod api_tokens;
mod delete;
mod email;
mod password;
mod profile;
mod proof;
mod sessions;
mod totp;

use utoipa_axum::{router::OpenApiRouter, routes};

use crate::state::AppState;

pub(super) fn routes() -> OpenApiRouter<AppState> {
    OpenApiRouter::new()
        .routes(routes!(profile::get_me, profile::patch_me, delete::delete_me))
        .routes(routes!(password::change_password))
        .routes(routes!(sessions::list_sessions, sessions::end_other_sessions))
        .routes(routes!(sessions::end_session))
        .routes(routes!(email::change_email))
        .routes(routes!(email::confirm_email))
        .routes(routes!(totp::begin_totp, totp::remove_totp))
        .routes(routes!(totp::confirm_totp))
        .routes(routes!(totp::renew_recovery_codes))
        .routes(routes!(api_tokens::list_api_tokens, api_tokens::create_api_token))
        .routes(routes!(api_tokens::revoke_api_token))
}
