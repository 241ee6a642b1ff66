//! Accounts and sessions.

pub(crate) mod failed;
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
        .routes(routes!(second_factor::second_factor))
        .routes(routes!(refresh::refresh))
        .routes(routes!(logout::logout))
        .routes(routes!(password_reset::ask))
        .routes(routes!(password_reset::confirm))
        .routes(routes!(oidc::begin))
        .routes(routes!(oidc::finish))
        // Anybody may send here: no more than an account's few fields.
        .layer(body_limit(limits::AUTH_BODY))
}
