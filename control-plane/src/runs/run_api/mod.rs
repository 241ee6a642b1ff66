//! The run API: what executors speak to, on a listener of its own. See
//! [`restroy_run_queue::run_api`] for the protocol.

mod artifacts;
mod calls;
mod claim;
mod heartbeat;
mod release;
mod renew;
mod report;

use axum::{
    Extension, Router,
    routing::{post, put},
};
use restroy_sdk::json_bounds::JsonLimits;

use super::limits::{MAX_ARTIFACT, MAX_BATCH, MAX_CALL};
use crate::{api::http, state::AppState};

/// The run API's routes.
pub fn router(state: AppState) -> Router {
    let router = Router::new()
        .route("/run/v1/executors/heartbeat", post(heartbeat::heartbeat))
        .route("/run/v1/tasks/{id}/claim", post(claim::claim))
        .route("/run/v1/tasks/{id}/events", post(report::report).layer(http::body_limit(MAX_BATCH)))
        .route("/run/v1/tasks/{id}/renew", post(renew::renew))
        .route("/run/v1/tasks/{id}/release", post(release::release))
        .route("/run/v1/tasks/{id}/calls", post(calls::call).layer(http::body_limit(MAX_CALL)))
        .route("/run/v1/tasks/{id}/artifacts", put(artifacts::put).layer(http::body_limit(MAX_ARTIFACT + 1)))
        .layer(Extension(JsonLimits::REPORT))
        .fallback(http::fallback)
        .method_not_allowed_fallback(http::method_not_allowed);
    http::around(router, &state).with_state(state)
}
