//! What an executor sends about itself.

use axum::{Json, extract::State};
use restroy_run_queue::run_api::{Heartbeat, HeartbeatAnswer, Released};
use restroy_sdk::ids::TaskId;

use super::check_protocol;
use crate::{
    api::http::{Body, Path},
    error::ApiResult,
    runs::executor::{self, Executor},
    state::AppState,
};

/// `POST /run/v1/executors/heartbeat`: an executor is there.
pub(super) async fn heartbeat(
    State(state): State<AppState>,
    executor: Executor,
    Body(beat): Body<Heartbeat>,
) -> ApiResult<Json<HeartbeatAnswer>> {
    check_protocol(beat.protocol)?;
    executor::record_heartbeat(&state, &executor, &beat).await?;
    Ok(Json(HeartbeatAnswer {
        executor_id: executor.id,
        slots: u32::try_from(executor.slot_limit).ok(),
        expires_at: executor.expires_at,
    }))
}

/// `POST /run/v1/tasks/{id}/stopped`: an executor confirms that it has stopped working on a task.
pub(super) async fn stopped(
    State(state): State<AppState>,
    executor: Executor,
    Path(id): Path<TaskId>,
) -> ApiResult<Json<Released>> {
    executor::confirm_stopped(&state, executor.id, id).await?;
    Ok(Json(Released {}))
}
