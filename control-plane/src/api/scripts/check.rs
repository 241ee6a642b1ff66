//! `POST /v1/scripts/{id}/check`

use std::collections::BTreeMap;

use axum::{Json, extract::State};
use restroy_sdk::{
    api::script::{CheckResult, CheckScript},
    ids::ScriptId,
    problem::{FieldError, Problem, ProblemCode},
};

use crate::{
    api::{
        compile::CompileBudget,
        http::{Body, Path},
    },
    auth::{Caller, Permission},
    error::{ApiError, ApiResult},
    state::AppState,
    store::{
        quota::{self, Limit},
        scripts,
    },
};

/// Compile a source without storing or running it
///
/// In the script's place among the pipeline's files.
#[utoipa::path(
    post, path = "/v1/scripts/{id}/check", tag = "scripts", request_body = CheckScript,
    params(("id" = ScriptId, Path, description = "The script")),
    responses((status = 200, description = "What compiling said", body = CheckResult)),
)]
pub(super) async fn check_script(
    State(state): State<AppState>,
    caller: Caller,
    Path(id): Path<ScriptId>,
    Body(body): Body<CheckScript>,
) -> ApiResult<Json<CheckResult>> {
    let scope = caller.script(&state, id, Permission::PipelineRead).await?;
    let (script, most) = {
        let mut tx = scope.read().await?;
        let script = scripts::get(&mut tx, id).await?.ok_or_else(ApiError::not_found)?;
        (script, quota::effective(&mut tx, Limit::SourceBytes).await?)
    };
    if i64::try_from(body.source.len()).unwrap_or(i64::MAX) > most {
        let detail = format!("the source has {} bytes; at most {most}", body.source.len());
        return Err(Problem::new(ProblemCode::Invalid).errors(vec![FieldError::new("/source", detail)]).into());
    }
    let file = BTreeMap::from([(script.path, body.source)]);
    let errors = CompileBudget::new(&state, scope.team()).check_files(&file).await?;
    Ok(Json(CheckResult { ok: errors.is_empty(), errors }))
}
