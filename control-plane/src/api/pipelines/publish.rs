//! `POST /v1/pipelines/{id}/versions/{n}/publish`

use axum::{Json, extract::State, http::HeaderMap};
use indexmap::IndexMap;
use restroy_sdk::{
    api::pipeline::{Pipeline, Version, VersionWritten},
    document::{Document, Schedule},
    ids::{Id, PipelineId, TeamId},
    problem::{FieldError, ProblemCode},
};
use serde_json::json;

use super::escalation::Escalations;
use crate::{
    api::{
        http::{Path, check_preconditions},
        limits,
    },
    auth::{Caller, Permission, Scope},
    error::{ApiError, ApiResult},
    runs::schedule::next_fire,
    state::AppState,
    store::{
        TeamTx, audit, pipelines,
        schedules::{self, Upcoming},
        versions,
    },
};

/// Publish a version
///
/// New runs use it. Its schedules replace the current ones.
#[utoipa::path(
    post, path = "/v1/pipelines/{id}/versions/{number}/publish", tag = "pipelines",
    params(
        ("id" = PipelineId, Path, description = "The pipeline"),
        ("number" = i64, Path, description = "The version's number"),
        ("If-Match" = Option<String>, Header, description = "412 unless it is the pipeline's tag"),
    ),
    responses((status = 200, description = "The published version and its added capabilities", body = VersionWritten)),
)]
pub(super) async fn publish_version(
    State(state): State<AppState>,
    caller: Caller,
    Path((id, number)): Path<(PipelineId, i64)>,
    headers: HeaderMap,
) -> ApiResult<Json<VersionWritten>> {
    let scope = caller.pipeline(&state, id, Permission::PipelineEdit).await?;
    let mut tx = scope.read().await?;
    let version = versions::by_number(&mut tx, id, number).await?.ok_or_else(ApiError::not_found)?;
    let document = versions::document(&mut tx, version.id).await?;
    drop(tx);
    let upcoming = next_fire_times(&state, scope.team(), &document).await?;
    let (mut tx, scope) = scope.write_with_scope().await?;
    let pipeline = pipelines::get(&mut tx, id).await?.ok_or_else(ApiError::not_found)?;
    check_preconditions(&headers, Some(pipeline.revision))?;
    let widened = publish(&state, &scope, &mut tx, &pipeline, number, &document, &upcoming).await?;
    tx.commit().await?;
    Ok(Json(VersionWritten { version: Version { published: true, ..version }, widened }))
}

/// When the document's schedules fire first, in a turn of the team and before the transaction.
pub(super) async fn next_fire_times(
    state: &AppState,
    team: TeamId,
    document: &Document,
) -> ApiResult<IndexMap<String, Upcoming>> {
    if document.schedules.is_empty() {
        return Ok(IndexMap::new());
    }
    let (schedules, now) = (document.schedules.clone(), state.ambient.now());
    let search = move || {
        let first = |schedule: Schedule| Upcoming { first: next_fire(&schedule, now), schedule };
        schedules.into_iter().map(|(name, schedule)| (name, first(schedule))).collect()
    };
    Ok(state.tenants.run(team.uuid(), search).await?)
}

/// Publishes a version within a transaction, and gives where it may do more than the one before; 403 when
/// that is more than the caller can grant. The scope is that of the transaction ([`Scope::write_with_scope`]).
pub(super) async fn publish(
    state: &AppState,
    scope: &Scope,
    tx: &mut TeamTx,
    pipeline: &Pipeline,
    number: i64,
    document: &Document,
    upcoming: &IndexMap<String, Upcoming>,
) -> ApiResult<Vec<FieldError>> {
    let widened = Escalations::against_published(tx, pipeline, document).await?;
    widened.check(scope, tx, "This version may do more than the published one; to publish it").await?;
    let widened = widened.field_errors();
    ensure_below_schedule_limit(tx, pipeline.id, upcoming.len()).await?;
    pipelines::set_published(tx, pipeline.id, number, state.ambient.now()).await?;
    schedules::replace(tx, &state.ambient, pipeline.id, upcoming).await?;
    let entry = audit::Entry::new("pipeline.publish", "pipeline", pipeline.id);
    let entry = entry
        .details(json!({ "widened": widened }))
        .before(json!({ "published_version": pipeline.published_version }))
        .after(json!({ "published_version": number }));
    audit::record_in_team(tx, &state.ambient, scope.actor(), entry).await?;
    Ok(widened)
}

/// 429 when the team has too many schedules, with this many of the pipeline.
async fn ensure_below_schedule_limit(tx: &mut TeamTx, pipeline: PipelineId, schedules: usize) -> ApiResult<()> {
    let most = limits::SCHEDULES_PER_TEAM;
    if schedules == 0 {
        return Ok(());
    }
    let others = schedules::count_of_others(tx, pipeline).await?;
    if others.saturating_add(i64::try_from(schedules).unwrap_or(i64::MAX)) <= most {
        return Ok(());
    }
    let detail = format!(
        "The limit is {most} schedules of a team: its other pipelines have {others}, including those deleted within \
        30 days, and this version has {schedules}. Remove some from a document and publish it."
    );
    Err(ApiError::with(ProblemCode::QuotaExceeded, detail))
}
