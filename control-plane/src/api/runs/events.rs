//! `GET /v1/runs/{id}/events`.

use axum::{
    extract::{State, ws::Utf8Bytes},
    http::{HeaderValue, header},
    response::Response,
};
use restroy_sdk::{api::Page, event::Event, ids::RunId, problem::ProblemCode};
use serde::Deserialize;
use utoipa::IntoParams;

use crate::{
    api::http::{Path, Query},
    auth::{Caller, Permission},
    error::{ApiError, ApiResult},
    runs::{
        cancel::find,
        events::{read_after, size_after},
    },
    state::AppState,
    streams::Chunk,
};

/// The events of a page unless the request says otherwise.
const DEFAULT_LIMIT: u32 = 200;
/// The most events of a page.
const MAX_LIMIT: u32 = 1_000;
/// The most bytes of a page, unless a single event has more.
const MAX_PAGE_BYTES: usize = 2 * 1024 * 1024;

/// Which events.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(super) struct EventFilter {
    /// Events after this number (default: from the first).
    #[serde(default)]
    #[param(minimum = 0)]
    after: i64,
    /// How many events (1–1,000, default 200).
    #[param(minimum = 1, maximum = 1000)]
    limit: Option<u32>,
}

/// List a run's events in order
///
/// `next_cursor` is the number of the page's last event if more follow: pass it as `after`.
#[utoipa::path(
    get, path = "/v1/runs/{id}/events", tag = "runs", operation_id = "list_run_events",
    params(("id" = RunId, Path, description = "The run"), EventFilter),
    responses((status = 200, description = "A page of events", body = Page<Event>))
)]
pub(super) async fn events(
    State(state): State<AppState>,
    caller: Caller,
    Path(id): Path<RunId>,
    Query(filter): Query<EventFilter>,
) -> ApiResult<Response> {
    let limit = filter.limit.unwrap_or(DEFAULT_LIMIT);
    if !(1..=MAX_LIMIT).contains(&limit) || filter.after < 0 {
        let detail = format!("`limit` is 1 to {MAX_LIMIT}, `after` 0 or the number of an event.");
        return Err(ApiError::with(ProblemCode::BadRequest, detail));
    }
    let scope = caller.run(&state, id, Permission::RunRead).await?;
    let mut tx = scope.read().await?;
    let last_seq = find(&mut tx, id).await?.last_seq;
    let (mut seq, mut items, mut bytes) = (filter.after, Vec::new(), 0);
    let mut reserved = state.answers.reserve(caller.user_id, 0)?;
    'page: while seq < last_seq {
        // As they are stored, and once more in pieces.
        reserved.extend(2 * size_after(&mut tx, id, seq).await?)?;
        let rows = read_after(&mut tx, id, seq).await?;
        if rows.is_empty() {
            break;
        }
        for row in &rows {
            for frame in Chunk::from_stored(row, seq)?.frames {
                if items.len() >= limit as usize || (bytes + frame.len() > MAX_PAGE_BYTES && !items.is_empty()) {
                    break 'page;
                }
                seq += 1;
                bytes += frame.len();
                items.push(frame);
            }
        }
    }
    drop(tx);
    // The events are JSON already.
    let next = if seq < last_seq { format!("\"{seq}\"") } else { "null".into() };
    reserved.extend(bytes)?;
    let items: Vec<&str> = items.iter().map(Utf8Bytes::as_str).collect();
    let body = format!("{{\"items\":[{}],\"next_cursor\":{next}}}", items.join(","));
    let mut response = reserved.response(body.into())?;
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    Ok(response)
}
