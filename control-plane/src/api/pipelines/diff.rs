//! `GET /v1/pipelines/{id}/versions/{a}/diff/{b}`

use axum::{Json, extract::State};
use restroy_sdk::{
    api::pipeline::{Definition, VersionDiff},
    document,
    ids::{Id, PipelineId},
};

use super::versions::load_version;
use crate::{
    api::http::Path,
    auth::{Caller, Permission},
    error::ApiResult,
    state::AppState,
};

/// Compare two versions
///
/// Fields and steps of the document, files line by line, and capabilities. Few comparisons run concurrently: 429
/// or 503 with `Retry-After` when too many wait.
#[utoipa::path(
    get, path = "/v1/pipelines/{id}/versions/{number}/diff/{other}", tag = "pipelines",
    params(
        ("id" = PipelineId, Path, description = "The pipeline"),
        ("number" = i64, Path, description = "The version to compare from"),
        ("other" = i64, Path, description = "The version to compare to"),
    ),
    responses((status = 200, description = "What differs", body = VersionDiff)),
)]
pub(super) async fn diff_versions(
    State(state): State<AppState>,
    caller: Caller,
    Path((id, number, other)): Path<(PipelineId, i64, i64)>,
) -> ApiResult<Json<VersionDiff>> {
    let scope = caller.pipeline(&state, id, Permission::PipelineRead).await?;
    // Both versions are in memory from here on.
    let turn = state.tenants.turn(scope.team().uuid()).await?;
    let mut tx = scope.read().await?;
    let (from, to) = (load_version(&mut tx, id, number).await?, load_version(&mut tx, id, other).await?);
    drop(tx);
    Ok(Json(turn.run(move || compare(from, to)).await?))
}

/// Takes its time with much text: off the async threads.
fn compare(from: Definition, to: Definition) -> VersionDiff {
    let diff = document::diff((&from.definition, &from.files), (&to.definition, &to.files));
    VersionDiff { from: from.version, to: to.version, diff }
}
