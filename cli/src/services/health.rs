//! The listener for operators: whether the process lives, whether it can serve, and its figures.

use std::future::Future;

use axum::{
    Json, Router,
    http::{StatusCode, header},
    response::{IntoResponse, Response},
    routing::get,
};
use serde::Serialize;
use serde_json::json;

/// What Prometheus reads (OpenMetrics 1.0).
const OPENMETRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// Whether a service can serve, and why not.
#[derive(Debug, Serialize)]
pub(super) struct Readiness {
    /// `ready`, `degraded` (it serves, and something is wrong) or `unready`.
    pub(super) status: &'static str,
    /// What is wrong; empty when it is ready.
    pub(super) reasons: Vec<String>,
}

impl Readiness {
    /// Not ready for `reasons`; else degraded for `notes`; else ready.
    pub(super) fn of(reasons: Vec<String>, notes: Vec<String>) -> Self {
        if !reasons.is_empty() {
            Self { status: "unready", reasons }
        } else if notes.is_empty() {
            Self { status: "ready", reasons }
        } else {
            Self { status: "degraded", reasons: notes }
        }
    }
}

impl IntoResponse for Readiness {
    fn into_response(self) -> Response {
        let status = if self.status == "unready" { StatusCode::SERVICE_UNAVAILABLE } else { StatusCode::OK };
        (status, [(header::CACHE_CONTROL, "no-store")], Json(self)).into_response()
    }
}

/// `/healthz`, `/readyz` and `/metrics`. `figures` gives the text of the metrics.
pub(super) fn router<R, F>(
    ready: impl Fn() -> R + Clone + Send + Sync + 'static,
    figures: impl Fn() -> F + Clone + Send + Sync + 'static,
) -> Router
where
    R: Future<Output = Readiness> + Send + 'static,
    F: Future<Output = Result<String, String>> + Send + 'static,
{
    Router::new()
        .route("/healthz", get(async || Json(json!({ "status": "ok" }))))
        .route("/readyz", get(move || ready()))
        .route(
            "/metrics",
            get(move || {
                let figures = figures();
                async move {
                    match figures.await {
                        Ok(text) => ([(header::CONTENT_TYPE, OPENMETRICS)], text).into_response(),
                        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, error).into_response(),
                    }
                }
            }),
        )
}
