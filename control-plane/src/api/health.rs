//! Whether the process lives, and whether it can serve.
//!
//! `/readyz` says `ready`, `degraded` or, with 503, `unready`, and why. Without Redis new runs are still
//! accepted, and wait; those at work go on and are watched by way of the database. So its absence is a
//! note and no reason to take every replica out of service at once, which would turn work that waits
//! into work that is refused.

use std::time::Duration;

use axum::{
    Extension, Json, Router,
    extract::State,
    http::{StatusCode, header},
    response::{IntoResponse, Response},
    routing::get,
};
use restroy_sdk::time::Timestamp;
use serde::Serialize;
use serde_json::json;
use sqlx::query_scalar;
use tokio::{sync::Mutex, time::timeout};

use super::http::Complete;
use crate::{sql, state::AppState, store::migrate::MigrateError};

/// How long the database has to answer.
const PATIENCE: Duration = Duration::from_secs(3);
/// How long its answer is good: anybody may ask, and as often as they like.
const GOOD: Duration = Duration::from_secs(1);

/// What the database said when it was last asked, and when that was. One asks at a time.
#[derive(Debug, Default)]
pub(crate) struct Recent(Mutex<Option<(Timestamp, Option<String>)>>);

impl Recent {
    /// What is wrong with the database.
    async fn database(&self, state: &AppState) -> Option<String> {
        let mut recent = self.0.lock().await;
        let now = state.ambient.now();
        if let Some((at, wrong)) = recent.as_ref()
            && now.since(*at) < GOOD
            && *at <= now
        {
            return wrong.clone();
        }
        let wrong = database(state).await;
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
    (status, Extension(Complete), [(header::CACHE_CONTROL, "no-store")], Json(readiness)).into_response()
}

/// How this process stands.
pub async fn readiness(state: &AppState) -> Readiness {
    let mut reasons = Vec::new();
    if state.stopping.is_cancelled() {
        reasons.push("it is stopping".to_owned());
    }
    reasons.extend(state.recent.database(state).await);
    if !reasons.is_empty() {
        return Readiness { status: "unready", reasons };
    }
    if !state.wake.connected() {
        let note = "Redis does not answer: new runs are taken on and wait for it, the others go on".to_owned();
        return Readiness { status: "degraded", reasons: vec![note] };
    }
    Readiness { status: "ready", reasons }
}

/// What is wrong with the database. What exactly is for the operator's log: anybody may ask here.
async fn database(state: &AppState) -> Option<String> {
    match timeout(PATIENCE, schema(state)).await {
        Ok(Ok(())) => None,
        Ok(Err(MigrateError::Version { found, needed })) => {
            Some(format!("the database's schema is at version {found}, and version {needed} is needed"))
        }
        Ok(Err(error)) => {
            tracing::warn!(%error, "not ready: the database does not answer as it should");
            Some("the database does not answer as it should".to_owned())
        }
        Err(_) => Some("the database does not answer in time".to_owned()),
    }
}

/// Whether the database answers and its schema is this program's.
async fn schema(state: &AppState) -> Result<(), MigrateError> {
    if state.db.is_shared() {
        // Only looks: the schema belongs to another role.
        return state.db.migrate().await;
    }
    // Embedded, the schema was brought up to date at the start, and nobody else changes it.
    let mut tx = state.db.system_read().await?;
    let _: i64 = sql!(&mut tx, fetch_one, query_scalar("SELECT count(*) FROM leader_leases"))?;
    Ok(())
}
