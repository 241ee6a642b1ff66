//! Scripts.

mod check;
mod script;
mod versions;

use utoipa_axum::{router::OpenApiRouter, routes};

use crate::state::AppState;

pub(super) fn routes() -> OpenApiRouter<AppState> {
    OpenApiRouter::new()
        .routes(routes!(script::get_script))
        .routes(routes!(versions::list_script_versions))
        .routes(routes!(check::check_script))
}
