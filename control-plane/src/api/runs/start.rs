//! `POST /v1/pipelines/{id}/runs`.

use axum::{extract::State, http::StatusCode, response::Response};
use restroy_sdk::{
    api::run::{NewRun, Run},
    ids::{Id, PipelineId},
};
use serde_json::json;

use crate::{
    api::http::{Body, Idempotency, Idempotent, Path},
    auth::{Caller, Permission},
    error::ApiResult,
    runs::{start, trigger::Starter},
    state::AppState,
    store::audit,
};

/// Start a run
///
/// Runs the pipeline's published version with parameters that match its schema. Requires the permission
/// `pipeline.run`. With an `Idempotency-Key` a repeat returns the first response. A run that `on_conflict: skip`
/// skips is recorded without its parameters.
#[utoipa::path(
    post, path = "/v1/pipelines/{id}/runs", tag = "runs", operation_id = "start_run",
    params(("id" = PipelineId, Path, description = "The pipeline"),
           ("Idempotency-Key" = Option<String>, Header, description = "Makes a repeat harmless, for 24 hours")),
    request_body = NewRun,
    responses((status = 202, description = "It is recorded and will be executed", body = Run))
)]
pub(super) async fn start(
    State(state): State<AppState>,
    caller: Caller,
    Path(id): Path<PipelineId>,
    idempotency: Idempotency,
    Body(body): Body<NewRun>,
) -> ApiResult<Response> {
    let scope = caller.pipeline(&state, id, Permission::PipelineRun).await?;
    // Checked before the writer is taken; a repeat is answered although the check would fail now.
    let prepared = start::prepare(&state, scope.read().await?, id, body.params.clone()).await;
    let mut tx = scope.write_durably().await?;
    let slot = match idempotency.begin(&mut tx, scope.team().uuid(), &body, state.ambient.now()).await? {
        Idempotent::New(slot) => slot,
        Idempotent::Replay(answer) => return Ok(answer),
    };
    let started = start::start(&state, &mut tx, prepared?, &Starter::caller(scope.caller())).await?;
    let entry = audit::Entry::new("run.start", "run", started.id()).after(json!({
        "pipeline_id": id,
        "version_id": started.run.version_id,
        "status": started.status(),
    }));
    audit::record_in_team(&mut tx, &state.ambient, scope.actor(), entry).await?;
    // Without the parameters: the caller has them, and the answer is kept for repeats.
    let run = started.run.clone().into_api(None)?;
    let answer = slot.store_response(&mut tx, StatusCode::ACCEPTED, &run).await?;
    started.announcements.commit(tx, &state).await?;
    Ok(answer)
}
