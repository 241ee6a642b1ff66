//! Scripts and their configuration.

mod check;
mod configuration;
mod script;
mod versions;

use utoipa_axum::{router::OpenApiRouter, routes};

use crate::state::AppState;

pub(super) fn routes() -> OpenApiRouter<AppState> {
    OpenApiRouter::new()
        .routes(routes!(script::get_script))
        .routes(routes!(versions::list_script_versions))
        .routes(routes!(configuration::list_configuration))
        .routes(routes!(
            configuration::get_configuration,
            configuration::put_configuration,
            configuration::delete_configuration
        ))
        .routes(routes!(configuration::list_configuration_history))
        .routes(routes!(check::check_script))
}
