//! Whether the process lives, and whether it can serve.

use axum::{Json, Router, extract::State, routing::get};
use serde_json::{Value, json};
use sqlx::query_scalar;

use crate::{error::ApiResult, sql, state::AppState};

pub(super) fn routes() -> Router<AppState> {
    Router::new().route("/healthz", get(healthz)).route("/readyz", get(readyz))
}

/// The process lives.
async fn healthz() -> Json<Value> {
    Json(json!({ "status": "ok" }))
}

/// The database answers, and its schema is there; else 503.
async fn readyz(State(state): State<AppState>) -> ApiResult<Json<Value>> {
    let mut tx = state.db.system_read().await?;
    let _: i64 = sql!(&mut tx, fetch_one, query_scalar("SELECT count(*) FROM leader_leases"))?;
    Ok(Json(json!({ "status": "ok" })))
}
