//! Accounts and sessions.

pub(crate) mod failed_login;
mod login;
mod logout;
mod oidc;
mod password_reset;
mod refresh;
mod register;
mod second_factor;
mod session;
mod verify_email;

use utoipa_axum::{router::OpenApiRouter, routes};

use super::{http::body_limit, limits};
use crate::state::AppState;

pub(super) fn routes() -> OpenApiRouter<AppState> {
    OpenApiRouter::new()
        .routes(routes!(register::register))
        .routes(routes!(verify_email::verify_email))
        .routes(routes!(login::login))
        .routes(routes!(second_factor::login_second_factor))
        .routes(routes!(refresh::refresh_session))
        .routes(routes!(logout::logout))
        .routes(routes!(password_reset::request_password_reset))
        .routes(routes!(password_reset::confirm_password_reset))
        .routes(routes!(oidc::begin_oidc_login))
        .routes(routes!(oidc::finish_oidc_login))
        // Anybody may send here: no more than an account's few fields.
        .layer(body_limit(limits::AUTH_BODY))
}
