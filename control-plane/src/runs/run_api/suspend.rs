//! `POST /run/v1/tasks/{id}/suspend`: nothing is left of a run but attempts whose time has not come.

use axum::{Json, extract::State};
use restroy_run_queue::run_api::{Released, Suspend};
use restroy_sdk::{
    ids::TaskId,
    problem::{FieldError, Problem, ProblemCode},
};

use crate::{
    api::http::{Body, Path},
    error::{ApiError, ApiResult},
    runs::{
        executors::TaskToken,
        lease::{self, LeaseWrite},
        suspend::{self, SuspendError},
    },
    state::AppState,
};

pub(super) async fn suspend(
    State(state): State<AppState>,
    TaskToken(token): TaskToken,
    Path(id): Path<TaskId>,
    Body(request): Body<Suspend>,
) -> ApiResult<Json<Released>> {
    let (mut tx, leased) = lease::leased_task(&state.db, LeaseWrite::Commit, id, &token).await?;
    let now = state.ambient.now();
    let suspended = match suspend::suspend(&mut tx, &state.ambient, &leased, &request.waiting, now).await {
        Ok(suspended) => suspended,
        Err(SuspendError::Invalid(fault)) => return Err(invalid_request(*fault)),
        Err(SuspendError::Failed(error)) => return Err(error),
    };
    let due = suspended.due;
    suspended.announcements.commit(tx, &state).await?;
    tracing::info!(task_id = %id, run_id = %leased.run_id, ?due, "a run is suspended");
    Ok(Json(Released {}))
}

fn invalid_request(fault: FieldError) -> ApiError {
    Problem::new(ProblemCode::Invalid)
        .detail("The task was not suspended; nothing is recorded.")
        .errors(vec![fault])
        .into()
}
