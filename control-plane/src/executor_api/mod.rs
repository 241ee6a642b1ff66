//! The run API: what executors speak to, on a listener of its own. See
//! [`restroy_run_queue::run_api`] for the protocol.

mod executors;
mod extract;
mod signals;
mod tasks;

use axum::{
    Extension, Router,
    routing::{post, put},
};
use restroy_run_queue::run_api::PROTOCOL;
use restroy_sdk::{json_bounds::JsonLimits, problem::ProblemCode};

use crate::{
    api::http,
    error::{ApiError, ApiResult},
    runs::limits::{MAX_ARTIFACT, MAX_BATCH, MAX_CALL},
    state::AppState,
};

/// The run API's routes.
pub fn router(state: AppState) -> Router {
    let router = Router::new()
        .route("/run/v1/executors/heartbeat", post(executors::heartbeat))
        .route("/run/v1/executors/signals", post(signals::signals))
        .route("/run/v1/tasks/{id}/claim", post(tasks::claim))
        .route("/run/v1/tasks/{id}/events", post(tasks::report).layer(http::body_limit(MAX_BATCH)))
        .route("/run/v1/tasks/{id}/renew", post(tasks::renew))
        .route("/run/v1/tasks/{id}/outputs", post(tasks::outputs))
        .route("/run/v1/tasks/{id}/release", post(tasks::release))
        .route("/run/v1/tasks/{id}/suspend", post(tasks::suspend))
        .route("/run/v1/tasks/{id}/stopped", post(executors::stopped))
        .route("/run/v1/tasks/{id}/calls", post(tasks::call).layer(http::body_limit(MAX_CALL)))
        .route("/run/v1/tasks/{id}/artifacts", put(tasks::put_artifact).layer(http::body_limit(MAX_ARTIFACT + 1)))
        .layer(Extension(JsonLimits::REPORT))
        .fallback(http::fallback)
        .method_not_allowed_fallback(http::method_not_allowed);
    http::run_api_layers(router, &state).with_state(state)
}

/// Refuses an executor that speaks another version of the run API.
fn check_protocol(protocol: u32) -> ApiResult<()> {
    if protocol == PROTOCOL {
        return Ok(());
    }
    let detail = format!(
        "The executor speaks version {protocol} of the run API, this control-plane version {PROTOCOL}: upgrade the older."
    );
    Err(ApiError::with(ProblemCode::BadRequest, detail))
}
