//! `POST /run/v1/tasks/{id}/release`: an executor that is to end gives a task back.

use axum::{Json, extract::State};
use restroy_run_queue::run_api::Released;
use restroy_sdk::ids::TaskId;

use crate::{
    api::http::Path,
    error::ApiResult,
    runs::{
        executors::TaskToken,
        lease::{self, LeaseWrite},
        lease_expiry,
    },
    state::AppState,
};

pub(super) async fn release(
    State(state): State<AppState>,
    TaskToken(token): TaskToken,
    Path(id): Path<TaskId>,
) -> ApiResult<Json<Released>> {
    let (mut tx, leased) = lease::leased_task(&state.db, LeaseWrite::Commit, id, &token).await?;
    let given = lease_expiry::release(&mut tx, &leased, state.ambient.now()).await?.ok_or_else(lease::lease_lost)?;
    given.announcements.commit(tx, &state).await?;
    tracing::info!(task_id = %id, run_id = %leased.run_id, "a task was given back");
    Ok(Json(Released {}))
}
