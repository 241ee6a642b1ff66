//! `GET /v1/pipelines/{id}/versions/{n}/capabilities`

use axum::{Json, extract::State};
use restroy_sdk::{api::pipeline::Capabilities, document::capabilities, ids::PipelineId};

use super::escalation::Escalations;
use crate::{
    api::http::Path,
    auth::{Caller, Permission},
    error::{ApiError, ApiResult},
    state::AppState,
    store::{pipelines, versions},
};

/// List a version's capabilities
///
/// Hosts, secrets, the board's key-value store, e-mail and files, and where they exceed those of the published
/// version.
#[utoipa::path(
    get, path = "/v1/pipelines/{id}/versions/{number}/capabilities", tag = "pipelines",
    params(
        ("id" = PipelineId, Path, description = "The pipeline"),
        ("number" = i64, Path, description = "The version's number"),
    ),
    responses((status = 200, description = "The version's capabilities", body = Capabilities)),
)]
pub(super) async fn get_capabilities(
    State(state): State<AppState>,
    caller: Caller,
    Path((id, number)): Path<(PipelineId, i64)>,
) -> ApiResult<Json<Capabilities>> {
    let scope = caller.pipeline(&state, id, Permission::PipelineRead).await?;
    let mut tx = scope.read().await?;
    let pipeline = pipelines::get(&mut tx, id).await?.ok_or_else(ApiError::not_found)?;
    let version = versions::by_number(&mut tx, id, number).await?.ok_or_else(ApiError::not_found)?;
    let document = versions::document(&mut tx, version.id).await?;
    let widened = Escalations::against_published(&mut tx, &pipeline, &document).await?.field_errors();
    Ok(Json(Capabilities { number, capabilities: capabilities(&document), widened }))
}
