//! `POST /run/v1/executors/heartbeat`: an executor says that it is there.

use axum::{Json, extract::State};
use restroy_run_queue::run_api::{Heartbeat, HeartbeatAnswer, PROTOCOL};
use restroy_sdk::problem::{FieldError, Problem, ProblemCode};
use sqlx::query;

use crate::{
    api::http::Body,
    error::{ApiError, ApiResult},
    runs::executors::Executor,
    sql,
    state::AppState,
};

/// The longest name of an engine, in bytes.
const MAX_ENGINE_ID: usize = 128;

pub(super) async fn heartbeat(
    State(state): State<AppState>,
    executor: Executor,
    Body(beat): Body<Heartbeat>,
) -> ApiResult<Json<HeartbeatAnswer>> {
    check_protocol(beat.protocol)?;
    check_engine(&beat.engine_id)?;
    let now = state.ambient.now();
    let slots = i64::from(beat.slots).min(executor.slot_limit);
    let mut tx = state.db.system_write().await?;
    sql!(
        &mut tx,
        execute,
        query("UPDATE executors SET slots = $2, engine_id = $3, protocol = $4, heartbeat_at = $5 WHERE id = $1")
            .bind(executor.id)
            .bind(slots)
            .bind(beat.engine_id)
            .bind(i64::from(beat.protocol))
            .bind(now)
    )?;
    tx.commit().await?;
    Ok(Json(HeartbeatAnswer {
        executor_id: executor.id,
        slots: u32::try_from(executor.slot_limit).ok(),
        expires_at: executor.expires_at,
    }))
}

/// Refuses what cannot name an engine.
pub(super) fn check_engine(engine_id: &str) -> ApiResult<()> {
    if engine_id.len() <= MAX_ENGINE_ID && engine_id.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Ok(());
    }
    let detail = format!("at most {MAX_ENGINE_ID} printable ASCII characters, no spaces");
    Err(Problem::new(ProblemCode::Invalid).errors(vec![FieldError::new("/engine_id", detail)]).into())
}

/// Refuses a protocol that this side does not speak.
pub(super) fn check_protocol(protocol: u32) -> ApiResult<()> {
    if protocol == PROTOCOL {
        return Ok(());
    }
    let detail = format!(
        "The executor speaks version {protocol} of the run API, this control-plane version {PROTOCOL}: upgrade the older."
    );
    Err(ApiError::with(ProblemCode::BadRequest, detail))
}
