//! The modules that a team's pipelines share. A module's versions are immutable; a pipeline stays with the
//! versions that its document pins.

mod module;
mod modules;
mod versions;

use utoipa_axum::{router::OpenApiRouter, routes};

use crate::state::AppState;

pub(super) fn routes() -> OpenApiRouter<AppState> {
    OpenApiRouter::new()
        .routes(routes!(modules::list_library_modules, modules::create_library_module))
        .routes(routes!(module::get_library_module, module::put_library_module, module::delete_library_module))
        .routes(routes!(versions::list_library_module_versions))
        .routes(routes!(versions::get_library_module_version))
}
