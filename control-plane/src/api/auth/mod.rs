//! Accounts and sessions.

pub(crate) mod failed;
mod login;
mod logout;
mod refresh;
mod register;
mod session;
mod verify_email;

use utoipa_axum::{router::OpenApiRouter, routes};

pub(super) use register::is_address;

use crate::state::AppState;

pub(super) fn routes() -> OpenApiRouter<AppState> {
    OpenApiRouter::new()
        .routes(routes!(register::register))
        .routes(routes!(verify_email::verify_email))
        .routes(routes!(login::login))
        .routes(routes!(refresh::refresh))
        .routes(routes!(logout::logout))
}
