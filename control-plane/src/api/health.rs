//! Whether the process lives, and whether it can serve.
//!
//! `/readyz` says `ready`, `degraded` or, with 503, `unready`, and why. Ready means that things can be written: each
//! look writes a little to the database and to Redis, at most once in two seconds, and says what refused.
//! Without Redis new runs are still accepted, and wait; active runs continue and are watched by way of the database.
//! So its absence is a note and no reason to take every replica out of service at once, which would turn work that
//! waits into work that is refused. A Redis that answers and refuses writes does not recover by itself: that is
//! `unready`, so that whoever watches the installation hears of it.

use axum::{
    Extension, Json, Router,
    extract::State,
    http::{StatusCode, header},
    response::{IntoResponse, Response},
    routing::get,
};
use restroy_run_queue::queue::QueueUnavailable;
use serde::Serialize;
use serde_json::json;

use super::http::CompleteResponse;
use crate::state::AppState;

/// The two routes. They show nothing of any team, and ask for no credential.
pub fn routes() -> Router<AppState> {
    Router::new().route("/healthz", get(healthz)).route("/readyz", get(readyz))
}

/// The process lives.
async fn healthz() -> Response {
    Json(json!({ "status": "ok" })).into_response()
}

/// Whether a service can serve, and why not.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Readiness {
    /// `ready`, `degraded` (it serves, and something is wrong) or `unready`.
    pub status: &'static str,
    /// What is wrong; empty when it is ready.
    pub reasons: Vec<String>,
}

async fn readyz(State(state): State<AppState>) -> Response {
    let readiness = readiness(&state).await;
    let status = if readiness.status == "unready" { StatusCode::SERVICE_UNAVAILABLE } else { StatusCode::OK };
    (status, Extension(CompleteResponse), [(header::CACHE_CONTROL, "no-store")], Json(readiness)).into_response()
}

/// How this process stands.
pub async fn readiness(state: &AppState) -> Readiness {
    let mut reasons = Vec::new();
    if state.stopping.is_cancelled() {
        reasons.push("it is stopping".to_owned());
    }
    reasons.extend(state.recent.check_database(&state.db, &state.ambient).await);
    let queue = state.queue.check().await;
    if let Err(unusable @ (QueueUnavailable::OutOfMemory | QueueUnavailable::ReadOnly | QueueUnavailable::WrongType)) =
        queue
    {
        reasons.push(unusable.to_string());
    }
    if !reasons.is_empty() {
        return Readiness { status: "unready", reasons };
    }
    if queue.is_err() || !state.wake.connected() {
        let note = "Redis does not answer: new runs are queued until it is back; running ones continue".to_owned();
        return Readiness { status: "degraded", reasons: vec![note] };
    }
    Readiness { status: "ready", reasons }
}
