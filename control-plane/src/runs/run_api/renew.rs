//! `POST /run/v1/tasks/{id}/renew`: sandboxes made progress and had nothing to report.

use axum::{Json, extract::State};
use restroy_run_queue::run_api::Lease;

use crate::{
    api::http::Path,
    error::ApiResult,
    runs::{executors::TaskToken, lease},
    state::AppState,
};
use restroy_sdk::ids::TaskId;

pub(super) async fn renew(
    State(state): State<AppState>,
    TaskToken(token): TaskToken,
    Path(id): Path<TaskId>,
) -> ApiResult<Json<Lease>> {
    lease::renew_by_token(&state, id, &token).await?;
    Ok(Json(Lease { lease_ms: lease::lease_ms(&state) }))
}
