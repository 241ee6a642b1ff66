//! The run API: what executors speak to, on a listener of its own. See
//! [`restroy_run_queue::run_api`] for the protocol.

mod artifacts;
mod calls;
mod claim;
mod heartbeat;
pub(crate) mod lanes;
mod outputs;
mod release;
mod renew;
mod report;
mod signals;
mod suspend;

use axum::{
    Extension, Router,
    routing::{post, put},
};
use restroy_sdk::json_bounds::JsonLimits;

pub use signals::Listeners;

use super::limits::{MAX_ARTIFACT, MAX_BATCH, MAX_CALL};
use crate::{api::http, state::AppState};

/// The run API's routes.
pub fn router(state: AppState) -> Router {
    let router = Router::new()
        .route("/run/v1/executors/heartbeat", post(heartbeat::heartbeat))
        .route("/run/v1/executors/signals", post(signals::signals))
        .route("/run/v1/tasks/{id}/claim", post(claim::claim))
        .route("/run/v1/tasks/{id}/events", post(report::report).layer(http::body_limit(MAX_BATCH)))
        .route("/run/v1/tasks/{id}/renew", post(renew::renew))
        .route("/run/v1/tasks/{id}/outputs", post(outputs::outputs))
        .route("/run/v1/tasks/{id}/release", post(release::release))
        .route("/run/v1/tasks/{id}/suspend", post(suspend::suspend))
        .route("/run/v1/tasks/{id}/stopped", post(signals::stopped))
        .route("/run/v1/tasks/{id}/calls", post(calls::call).layer(http::body_limit(MAX_CALL)))
        .route("/run/v1/tasks/{id}/artifacts", put(artifacts::put).layer(http::body_limit(MAX_ARTIFACT + 1)))
        .layer(Extension(JsonLimits::REPORT))
        .fallback(http::fallback)
        .method_not_allowed_fallback(http::method_not_allowed);
    http::run_api_layers(router, &state).with_state(state)
}
