//! What bringing back a board and bringing back a pipeline have in common.

use restroy_sdk::{document::Schedule, problem::ProblemCode, time::Timestamp};
use uuid::Uuid;

use crate::{
    error::{ApiError, ApiResult},
    runs::schedule::next_fire,
};

/// When schedules that were stopped fire next; what passed meanwhile passed. Off the async threads: some
/// expressions take a long search.
pub(super) async fn resumed(
    stopped: Vec<(Uuid, Schedule)>,
    now: Timestamp,
) -> ApiResult<Vec<(Uuid, Option<Timestamp>)>> {
    let search = move || stopped.into_iter().map(|(id, schedule)| (id, next_fire(&schedule, now))).collect();
    tokio::task::spawn_blocking(search).await.map_err(|error| {
        tracing::error!(%error, "schedules cannot be computed");
        ApiError::new(ProblemCode::Internal)
    })
}
