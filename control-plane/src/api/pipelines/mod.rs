//! Pipelines, their definitions and versions.

mod capabilities;
mod definition;
mod diff;
mod escalation;
mod moving;
mod pipeline;
mod publish;
mod restore;
mod restore_version;
mod review;
mod schedules;
mod scripts;
mod versions;

use utoipa_axum::{
    router::{OpenApiRouter, UtoipaMethodRouterExt},
    routes,
};

use super::{http::body_limit, limits};
use crate::state::AppState;

pub(super) fn routes() -> OpenApiRouter<AppState> {
    let definition = routes!(definition::get_definition, definition::put_definition);
    OpenApiRouter::new()
        .routes(routes!(pipeline::get_pipeline, pipeline::patch_pipeline, pipeline::delete_pipeline))
        .routes(routes!(moving::move_pipeline))
        .routes(routes!(restore::restore_pipeline))
        .routes(definition.layer(body_limit(limits::DEFINITION_BODY)))
        .routes(routes!(versions::list_versions))
        .routes(routes!(versions::get_version))
        .routes(routes!(diff::diff_versions))
        .routes(routes!(capabilities::get_capabilities))
        .routes(routes!(restore_version::restore_version))
        .routes(routes!(publish::publish_version))
        .routes(routes!(scripts::list_scripts))
        .routes(routes!(schedules::list_schedules))
        .routes(routes!(schedules::pause_schedule))
        .routes(routes!(schedules::resume_schedule))
}
