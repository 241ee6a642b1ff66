//! `GET /v1/runs/{id}/stream`: a run's events over a WebSocket (RFC 6455), a text frame each.
//!
//! | code | means |
//! |---|---|
//! | 1000 | the run has finished; everything was sent |
//! | 4401 | the session has ended: sign in again |
//! | 4403 | the run may not be seen any more |
//! | 4408 | the reader did not keep up: connect again with `?after=` the last number it saw |
//! | 1011 | a fault of ours: connect again |
//! | 1012 | the server is shutting down: reconnect, and another answers |

use std::time::Duration;

use axum::{
    extract::{
        FromRequestParts, State,
        ws::{CloseFrame, Message, WebSocket, WebSocketUpgrade},
    },
    http::request::Parts,
    response::Response,
};
use futures_util::SinkExt as _;
use restroy_sdk::{event::Event, ids::RunId, problem::ProblemCode};
use serde::Deserialize;
use tokio::time::{Instant, MissedTickBehavior, interval_at, timeout};
use utoipa::IntoParams;

use crate::{
    DomainError, DomainResult,
    api::http::{Path, Query},
    auth::{Caller, PeerAddress, Permission, origin, ticket},
    error::{ApiError, ApiResult},
    runs::{cancel::find, limits::MAX_WATCHERS_PER_USER},
    state::AppState,
    streams::{AccessChanges, Chunk, Next, StreamLimit, Watcher},
};

/// How often the other side is asked whether it is there.
const PING_INTERVAL: Duration = Duration::from_secs(20);
/// How long it may be silent.
const SILENCE_TIMEOUT: Duration = Duration::from_secs(65);
/// How long a frame may take to get out: then the reader is as good as gone.
const SEND_TIMEOUT: Duration = Duration::from_secs(15);
/// How long the other side gets to answer a close.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(2);
/// What a client may send, in bytes: it has nothing to say.
const MAX_MESSAGE: usize = 4096;

/// From where, and as whom.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(super) struct StreamQuery {
    /// Events after this number (default: from the first).
    #[serde(default)]
    #[param(minimum = 0)]
    after: i64,
    /// A ticket for this path (`POST /v1/stream-tickets`), for clients that cannot send a header.
    #[allow(dead_code, reason = "read by the extractor of the caller")]
    ticket: Option<String>,
}

/// Who watches: by the bearer token, or by a ticket, which this spends.
pub(super) struct StreamViewer(Caller);

#[derive(Deserialize)]
struct TicketQuery {
    ticket: Option<String>,
}

impl FromRequestParts<AppState> for StreamViewer {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &AppState) -> ApiResult<Self> {
        origin::check(&state.settings.public_url, &state.settings.allowed_origins, &parts.headers)?;
        let query = axum::extract::Query::<TicketQuery>::try_from_uri(&parts.uri).ok();
        match query.and_then(|query| query.0.ticket) {
            Some(ticket) => Ok(Self(
                ticket::redeem(
                    state,
                    &ticket,
                    parts.uri.path(),
                    PeerAddress::from_parts(parts, &state.settings.trusted_proxies).0,
                )
                .await?,
            )),
            None => Caller::from_request_parts(parts, state).await.map(Self),
        }
    }
}

/// Stream a run's events (WebSocket)
///
/// Sends the history after `after`, then new events, in order and each once. Authorised by the bearer header or a
/// ticket. Closes with 1000 after `run.finished`, and with 4408 if the reader falls behind: reconnect with
/// `after` set to the last number seen.
#[utoipa::path(
    get, path = "/v1/runs/{id}/stream", tag = "runs", operation_id = "stream_run",
    params(("id" = RunId, Path, description = "The run"), StreamQuery),
    responses((status = 101, description = "A text frame per event", body = Event))
)]
pub(super) async fn stream(
    State(state): State<AppState>,
    StreamViewer(caller): StreamViewer,
    Path(id): Path<RunId>,
    Query(filter): Query<StreamQuery>,
    upgrade: WebSocketUpgrade,
) -> ApiResult<Response> {
    // Before it is looked whether the caller may: no change from here on is missed.
    let rights = state.watchers.access_changes();
    let scope = caller.run(&state, id, Permission::RunRead).await?;
    let rights = rights.within(scope.team());
    let run = find(&mut scope.read().await?, id).await?;
    if filter.after < 0 {
        return Err(ApiError::with(ProblemCode::BadRequest, "`after` is 0 or the number of an event."));
    }
    let seat = state.watchers.acquire_permit(caller.user_id).map_err(|none| match none {
        StreamLimit::Full => ApiError::with(
            ProblemCode::Unavailable,
            "Too many open streams. Try again, or read the events page by page.",
        ),
        StreamLimit::TooMany => ApiError::with(
            ProblemCode::RateLimited,
            format!("You have {MAX_WATCHERS_PER_USER} open streams, the maximum. Close some."),
        ),
    })?;
    // Nothing lies after the newest event yet.
    let after = filter.after.min(run.last_seq);
    let complete = run.status.is_terminal() && after == run.last_seq;
    let watcher =
        Watcher::new((state.db.clone(), state.watchers.clone(), state.answers.clone()), seat, scope.team(), id, after);
    let upgrade = upgrade.max_message_size(MAX_MESSAGE).max_frame_size(MAX_MESSAGE);
    Ok(upgrade.on_upgrade(move |mut socket| async move {
        let mut watcher = watcher;
        let end = if complete {
            StreamEnd::Finished
        } else {
            watch(&state, &mut socket, caller, id, &mut watcher, rights).await
        };
        close(socket, end).await;
        // And its seat.
        drop(watcher);
    }))
}

/// Why a stream ends.
#[derive(Debug)]
enum StreamEnd {
    Finished,
    SignedOut,
    Forbidden,
    Lagged(i64),
    Fault,
    /// This process is to end.
    Stopping,
    /// The other side is gone: there is nobody to tell.
    Gone,
}

async fn watch(
    state: &AppState,
    socket: &mut WebSocket,
    caller: Caller,
    id: RunId,
    watcher: &mut Watcher,
    mut rights: AccessChanges,
) -> StreamEnd {
    let mut authorise = ticks(state.settings.stream_recheck);
    let mut ping = ticks(PING_INTERVAL);
    let mut heard = Instant::now();
    loop {
        tokio::select! {
            () = state.stopping.cancelled() => return StreamEnd::Stopping,
            next = watcher.next() => match next {
                Ok(Next::Chunk(chunk)) => match send(socket, &chunk).await {
                    SendOutcome::All if chunk.last => return StreamEnd::Finished,
                    SendOutcome::All => {}
                    // How much of it got out is not known: it is sent again.
                    SendOutcome::TooSlow => return StreamEnd::Lagged(chunk.first_seq - 1),
                    SendOutcome::Gone => return StreamEnd::Gone,
                },
                Ok(Next::Lagged) => return StreamEnd::Lagged(watcher.seq()),
                Err(_) => return StreamEnd::Fault,
            },
            message = socket.recv() => match message {
                Some(Ok(Message::Close(_)) | Err(_)) | None => return StreamEnd::Gone,
                Some(Ok(_)) => heard = Instant::now(),
            },
            () = wait_for_recheck(&mut authorise, &mut rights) => match ensure_may_watch(state, caller, id).await {
                Ok(()) => {}
                Err(DomainError::Unauthenticated(_)) => return StreamEnd::SignedOut,
                Err(DomainError::NotFound | DomainError::Forbidden(_)) => return StreamEnd::Forbidden,
                // Whoever may watch a minute ago is not cut off because the database is busy.
                Err(error) => tracing::warn!(run_id = %id, %error, "a watcher was not checked"),
            },
            _ = ping.tick() => {
                if heard.elapsed() > SILENCE_TIMEOUT {
                    return StreamEnd::Gone;
                }
                if !matches!(timeout(SEND_TIMEOUT, socket.send(Message::Ping(bytes::Bytes::new()))).await, Ok(Ok(()))) {
                    return StreamEnd::Gone;
                }
            }
        }
    }
}

/// Waits until it is to be looked again whether the caller may watch.
async fn wait_for_recheck(authorise: &mut tokio::time::Interval, rights: &mut AccessChanges) {
    tokio::select! {
        _ = authorise.tick() => {}
        () = rights.changed() => {}
    }
}

enum SendOutcome {
    All,
    TooSlow,
    Gone,
}

/// Sends a chunk's frames together.
async fn send(socket: &mut WebSocket, chunk: &Chunk) -> SendOutcome {
    let all = async {
        for frame in &chunk.frames {
            socket.feed(Message::Text(frame.clone())).await?;
        }
        socket.flush().await
    };
    match timeout(SEND_TIMEOUT, all).await {
        Ok(Ok(())) => SendOutcome::All,
        Ok(Err(_)) => SendOutcome::Gone,
        Err(_) => SendOutcome::TooSlow,
    }
}

async fn ensure_may_watch(state: &AppState, caller: Caller, id: RunId) -> DomainResult<()> {
    caller.revalidate(state).await?.run(state, id, Permission::RunRead).await.map(|_| ())
}

async fn close(mut socket: WebSocket, end: StreamEnd) {
    let (code, reason) = match end {
        StreamEnd::Finished => (1000, "the run has finished".to_owned()),
        StreamEnd::SignedOut => (4401, "the session has ended: sign in again".to_owned()),
        StreamEnd::Forbidden => (4403, "you no longer have access to this run".to_owned()),
        StreamEnd::Lagged(seq) => (4408, format!("you fell behind: reconnect with ?after={seq}")),
        StreamEnd::Fault => (1011, "internal error: reconnect".to_owned()),
        StreamEnd::Stopping => (1012, "the server is shutting down: reconnect".to_owned()),
        StreamEnd::Gone => return,
    };
    let closing = async {
        if socket.send(Message::Close(Some(CloseFrame { code, reason: reason.into() }))).await.is_ok() {
            // The answer to the close, or the end of the connection; what else comes is late.
            while let Some(Ok(_)) = socket.recv().await {}
        }
    };
    let _ = timeout(CLOSE_TIMEOUT, closing).await;
}

fn ticks(period: Duration) -> tokio::time::Interval {
    let mut ticks = interval_at(Instant::now() + period, period);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    ticks
}
