//! Whether the process lives, and whether it can serve.
//!
//! `/readyz` says `ready`, `degraded` or, with 503, `unready`, and why. Ready means that things can be written: each
//! look writes a little to the database and to Redis, at most once in [`PROBE_INTERVAL`], and says what refused.
//! Without Redis new runs are still accepted, and wait; active runs continue and are watched by way of the database.
//! So its absence is a note and no reason to take every replica out of service at once, which would turn work that
//! waits into work that is refused. A Redis that answers and refuses writes does not recover by itself: that is
//! `unready`, so that whoever watches the installation hears of it.

use std::time::Duration;

use axum::{
    Extension, Json, Router,
    extract::State,
    http::{StatusCode, header},
    response::{IntoResponse, Response},
    routing::get,
};
use restroy_run_queue::queue::QueueUnavailable;
use restroy_sdk::time::Timestamp;
use serde::Serialize;
use serde_json::json;
use tokio::{sync::Mutex, time::timeout};

use super::http::CompleteResponse;
use crate::{
    state::AppState,
    store::{migrate::MigrateError, probe},
};

/// How long the database has to answer.
const PROBE_TIMEOUT: Duration = Duration::from_secs(3);
/// How long its answer holds: anybody may ask, and as often as they like.
const PROBE_INTERVAL: Duration = Duration::from_secs(2);

/// What the database said when it was last asked, and when that was. One asks at a time.
#[derive(Debug, Default)]
pub(crate) struct CachedProbe(Mutex<Option<(Timestamp, Option<String>)>>);

impl CachedProbe {
    /// What is wrong with the database.
    async fn check_database(&self, state: &AppState) -> Option<String> {
        let mut recent = self.0.lock().await;
        let now = state.ambient.now();
        if let Some((at, wrong)) = recent.as_ref()
            && now.since(*at) < PROBE_INTERVAL
            && *at <= now
        {
            return wrong.clone();
        }
        let wrong = probe_database(state).await;
        *recent = Some((state.ambient.now(), wrong.clone()));
        wrong
    }
}

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
    reasons.extend(state.recent.check_database(state).await);
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

/// What is wrong with the database. What exactly is for the operator's log: anybody may ask here.
async fn probe_database(state: &AppState) -> Option<String> {
    let look = async {
        // Embedded, the schema was brought up to date at the start, and nobody else changes it. Otherwise it belongs
        // to another role and is only looked at.
        if state.db.is_shared() {
            state.db.migrate().await?;
        }
        Ok(probe::write(&state.db, state.ambient.now()).await)
    };
    let reason = match timeout(PROBE_TIMEOUT, look).await {
        Ok(Ok(Ok(()))) => return None,
        Ok(Ok(Err(error))) => {
            let reason = error.reason();
            tracing::warn!(%error, "not ready: {reason}");
            reason.to_owned()
        }
        Ok(Err(MigrateError::Version { found, needed })) => {
            format!("the database's schema is at version {found}, and version {needed} is needed")
        }
        Ok(Err(error)) => {
            tracing::warn!(%error, "not ready: the database does not answer as it should");
            "the database does not answer as it should".to_owned()
        }
        Err(_) => "the database does not answer in time".to_owned(),
    };
    Some(reason)
}
