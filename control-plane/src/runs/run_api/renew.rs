//! `POST /run/v1/tasks/{id}/renew`: sandboxes made progress and had nothing to report.

use axum::{Json, extract::State};
use restroy_run_queue::run_api::Lease;

use crate::{
    api::http::Path,
    error::ApiResult,
    runs::{
        executors::TaskToken,
        lease::{self, Durability},
    },
    state::AppState,
};
use restroy_sdk::ids::TaskId;

pub(super) async fn renew(
    State(state): State<AppState>,
    TaskToken(token): TaskToken,
    Path(id): Path<TaskId>,
) -> ApiResult<Json<Lease>> {
    let (mut tx, holding) = lease::hold(&state.db, Durability::Commit, id, &token).await?;
    lease::renew(&state, &mut tx, &holding, state.ambient.now(), holding.last_batch).await?;
    tx.commit().await?;
    Ok(Json(Lease { lease_ms: lease::lease_ms(&state) }))
}
