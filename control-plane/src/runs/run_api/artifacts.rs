//! `PUT /run/v1/tasks/{id}/artifacts`: a script keeps a file.

use axum::{Json, extract::State};
use bytes::Bytes;
use restroy_run_queue::run_api::CallAnswer;
use restroy_sdk::{event::StepRef, ids::TaskId};
use serde::Deserialize;

use crate::{
    api::http::{Path, Query},
    error::ApiResult,
    runs::{
        effects::{self, CallingAttempt},
        executors::TaskToken,
    },
    state::AppState,
};

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

pub(super) async fn put(
    State(state): State<AppState>,
    TaskToken(token): TaskToken,
    Path(id): Path<TaskId>,
    Query(put): Query<ArtifactQuery>,
    content: Bytes,
) -> ApiResult<Json<CallAnswer>> {
    let step = StepRef { step: put.step, index: put.index.filter(|index| *index > 0), attempt: put.attempt };
    let caller = CallingAttempt { step, call_number: put.call_number, key: put.key };
    effects::keep_artifact(&state, id, &token, caller, &put.name, &content).await.map(Json)
}
