//! `POST /run/v1/executors/heartbeat`: an executor says that it is there.

use axum::{Json, extract::State};
use restroy_run_queue::run_api::{Heartbeat, HeartbeatAnswer, PROTOCOL};
use restroy_sdk::problem::ProblemCode;
use sqlx::query;

use crate::{
    api::http::Body,
    error::{ApiError, ApiResult},
    runs::executors::Executor,
    sql,
    state::AppState,
};

pub(super) async fn heartbeat(
    State(state): State<AppState>,
    Executor(id): Executor,
    Body(beat): Body<Heartbeat>,
) -> ApiResult<Json<HeartbeatAnswer>> {
    check_protocol(beat.protocol)?;
    let mut tx = state.db.system_write().await?;
    sql!(
        &mut tx,
        execute,
        query("UPDATE executors SET slots = $2, engine_id = $3, protocol = $4, heartbeat_at = $5 WHERE id = $1")
            .bind(id)
            .bind(i64::from(beat.slots))
            .bind(beat.engine_id)
            .bind(i64::from(beat.protocol))
            .bind(state.ambient.now())
    )?;
    tx.commit().await?;
    Ok(Json(HeartbeatAnswer { executor_id: id }))
}

/// Refuses a protocol that this side does not speak.
pub(super) fn check_protocol(protocol: u32) -> ApiResult<()> {
    if protocol == PROTOCOL {
        return Ok(());
    }
    let detail = format!(
        "The executor speaks version {protocol} of the run API, this control-plane version {PROTOCOL}: upgrade the older."
    );
    Err(ApiError::with(ProblemCode::BadRequest, detail))
}
