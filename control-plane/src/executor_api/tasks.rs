//! What the holder of a task sends about it.

use axum::{Json, extract::State};
use bytes::Bytes;
use restroy_run_queue::run_api::{
    Batch, BatchAnswer, Call, CallAnswer, Claim, Claimed, Lease, OutputsPage, OutputsRequest, Released, Suspend,
};
use restroy_sdk::{event::StepRef, ids::TaskId};
use serde::Deserialize;

use super::{check_protocol, extract::TaskToken};
use crate::{
    api::http::{Body, Path, Query},
    error::ApiResult,
    runs::{
        claim,
        effects::{self, CallingAttempt},
        executor::Executor,
        lease, lease_expiry, outputs, report, suspend,
    },
    state::AppState,
};

/// `POST /run/v1/tasks/{id}/claim`: an executor takes a task.
pub(super) async fn claim(
    State(state): State<AppState>,
    executor: Executor,
    Path(id): Path<TaskId>,
    Body(claim): Body<Claim>,
) -> ApiResult<Json<Claimed>> {
    check_protocol(claim.protocol)?;
    Ok(Json(claim::claim(&state, &executor, id, claim).await?))
}

/// `POST /run/v1/tasks/{id}/events`: a batch is taken as a whole, in one transaction, or refused.
pub(super) async fn report(
    State(state): State<AppState>,
    TaskToken(token): TaskToken,
    Path(id): Path<TaskId>,
    Body(batch): Body<Batch>,
) -> ApiResult<Json<BatchAnswer>> {
    Ok(Json(report::report(&state, id, &token, batch).await?))
}

/// `POST /run/v1/tasks/{id}/renew`: sandboxes made progress and had nothing to report.
pub(super) async fn renew(
    State(state): State<AppState>,
    TaskToken(token): TaskToken,
    Path(id): Path<TaskId>,
) -> ApiResult<Json<Lease>> {
    lease::renew_by_token(&state, id, &token).await?;
    Ok(Json(Lease { lease_ms: lease::lease_ms(&state) }))
}

/// `POST /run/v1/tasks/{id}/outputs`: what steps returned that ended under an earlier lease.
pub(super) async fn outputs(
    State(state): State<AppState>,
    TaskToken(token): TaskToken,
    Path(id): Path<TaskId>,
    Body(request): Body<OutputsRequest>,
) -> ApiResult<Json<OutputsPage>> {
    Ok(Json(outputs::outputs(&state, id, &token, request).await?))
}

/// `POST /run/v1/tasks/{id}/release`: an executor that is to end gives a task back.
pub(super) async fn release(
    State(state): State<AppState>,
    TaskToken(token): TaskToken,
    Path(id): Path<TaskId>,
) -> ApiResult<Json<Released>> {
    lease_expiry::release(&state, id, &token).await?;
    Ok(Json(Released {}))
}

/// `POST /run/v1/tasks/{id}/suspend`: nothing is left of a run but attempts whose time has not come.
pub(super) async fn suspend(
    State(state): State<AppState>,
    TaskToken(token): TaskToken,
    Path(id): Path<TaskId>,
    Body(request): Body<Suspend>,
) -> ApiResult<Json<Released>> {
    suspend::suspend(&state, id, &token, &request).await?;
    Ok(Json(Released {}))
}

/// `POST /run/v1/tasks/{id}/calls`: a host call of a script.
pub(super) async fn call(
    State(state): State<AppState>,
    TaskToken(token): TaskToken,
    Path(id): Path<TaskId>,
    Body(call): Body<Call>,
) -> ApiResult<Json<CallAnswer>> {
    Ok(Json(effects::call(&state, id, &token, call).await?))
}

/// Who keeps the file, and how it is called.
#[derive(Debug, Deserialize)]
pub(super) struct ArtifactQuery {
    step: String,
    #[serde(default)]
    index: Option<u32>,
    attempt: u32,
    call_number: u64,
    key: String,
    name: String,
}

/// `PUT /run/v1/tasks/{id}/artifacts`: a script keeps a file.
pub(super) async fn put_artifact(
    State(state): State<AppState>,
    TaskToken(token): TaskToken,
    Path(id): Path<TaskId>,
    Query(put): Query<ArtifactQuery>,
    content: Bytes,
) -> ApiResult<Json<CallAnswer>> {
    let step = StepRef { step: put.step, index: put.index.filter(|index| *index > 0), attempt: put.attempt };
    let caller = CallingAttempt { step, call_number: put.call_number, key: put.key };
    Ok(Json(effects::keep_artifact(&state, id, &token, caller, &put.name, &content).await?))
}
