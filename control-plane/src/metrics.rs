//! What Prometheus reads of this process.

use axum::{
    http::{Method, header},
    response::{IntoResponse, Response},
};
use restroy_domain::metrics::{self, ProcessStats};

use crate::state::AppState;

/// OpenMetrics 1.0, section 4.1.
const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// All metrics at a moment.
#[derive(Debug, Clone)]
pub struct Exposition {
    /// What the text is.
    pub content_type: &'static str,
    /// The text.
    pub body: String,
}

impl IntoResponse for Exposition {
    fn into_response(self) -> Response {
        ([(header::CONTENT_TYPE, self.content_type)], self.body).into_response()
    }
}

/// Looks up what stands, and writes down all metrics.
pub async fn scrape(state: &AppState) -> Exposition {
    let process = ProcessStats {
        now: state.ambient.now(),
        replica: state.replica,
        redis_connected: state.wake.connected(),
        watchers: state.watchers.watching(),
        watched_runs: state.watchers.watched(),
        answers_bytes: state.answers.reserved(),
    };
    Exposition { content_type: CONTENT_TYPE, body: metrics::scrape(&state.metrics, &state.db, process).await }
}

/// The method as a label; whatever a client makes up counts as one.
pub(crate) fn method_label(method: &Method) -> &'static str {
    match *method {
        Method::GET => "GET",
        Method::HEAD => "HEAD",
        Method::POST => "POST",
        Method::PUT => "PUT",
        Method::PATCH => "PATCH",
        Method::DELETE => "DELETE",
        Method::OPTIONS => "OPTIONS",
        _ => "other",
    }
}
