//! The runs' part of the API. One route a file.

mod artifacts;
mod cancel;
mod events;
mod keep;
mod list;
mod read;
mod start;
mod stream;

use utoipa_axum::{router::OpenApiRouter, routes};

use crate::state::AppState;

/// The routes, with their part of the OpenAPI document.
pub(super) fn routes() -> OpenApiRouter<AppState> {
    OpenApiRouter::new()
        .routes(routes!(list::list_pipeline_runs, start::start))
        .routes(routes!(list::list_team_runs))
        .routes(routes!(read::run, keep::delete))
        .routes(routes!(keep::keep, keep::unkeep))
        .routes(routes!(read::steps))
        .routes(routes!(cancel::cancel))
        .routes(routes!(events::events))
        .routes(routes!(stream::stream))
        .routes(routes!(artifacts::list))
        .routes(routes!(artifacts::download))
}
