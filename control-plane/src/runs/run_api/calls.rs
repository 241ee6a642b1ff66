//! `POST /run/v1/tasks/{id}/calls`: a host call that the control-plane carries out.

use axum::{Json, extract::State};
use restroy_run_queue::run_api::{Call, CallAnswer};

use crate::{
    api::http::{Body, Path},
    error::ApiResult,
    runs::{effects, executors::TaskToken},
    state::AppState,
};
use restroy_sdk::ids::TaskId;

pub(super) async fn call(
    State(state): State<AppState>,
    TaskToken(token): TaskToken,
    Path(id): Path<TaskId>,
    Body(call): Body<Call>,
) -> ApiResult<Json<CallAnswer>> {
    effects::call(&state, id, &token, call).await.map(Json)
}
