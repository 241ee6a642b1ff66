//! A run's events over a WebSocket that breaks.

use std::sync::{Arc, Mutex};

use axum::{
    Json, Router,
    extract::{
        Query, State, WebSocketUpgrade,
        ws::{CloseFrame, Message, WebSocket},
    },
    http::HeaderMap,
    response::{IntoResponse, Response},
    routing::{any, post},
};
use futures_util::{StreamExt as _, TryStreamExt as _};
use restroy_client::{Client, Error};
use restroy_sdk::{
    event::{Event, EventKind},
    ids::RunId,
    problem::ProblemCode,
};
use serde_json::json;
use uuid::Uuid;

use crate::installation::{bearer, client, problem, serve, tokens};

/// What one connection does after the handshake.
#[derive(Clone)]
enum Act {
    /// Sends the event of this number; the tenth is the run's last.
    Event(i64),
    /// Sends this text.
    Text(&'static str),
    /// Closes with this code.
    Close(u16),
    /// Drops the connection.
    Drop,
    /// Refuses the handshake.
    Refuse(ProblemCode),
}

/// The acts of the connections to come, and the `after` of those that came.
#[derive(Clone)]
struct Play {
    connections: Arc<Mutex<std::vec::IntoIter<Vec<Act>>>>,
    asked: Arc<Mutex<Vec<i64>>>,
}

#[derive(serde::Deserialize)]
struct After {
    after: i64,
}

async fn stream(
    State(play): State<Play>,
    Query(query): Query<After>,
    headers: HeaderMap,
    upgrade: WebSocketUpgrade,
) -> Response {
    if bearer(&headers) != "access-2" {
        return problem(ProblemCode::Unauthorized);
    }
    play.asked.lock().unwrap().push(query.after);
    let acts = play.connections.lock().unwrap().next().unwrap_or_default();
    if let Some(Act::Refuse(code)) = acts.first() {
        return problem(*code);
    }
    upgrade.on_upgrade(async |socket| perform(socket, acts).await).into_response()
}

async fn perform(mut socket: WebSocket, acts: Vec<Act>) {
    for act in acts {
        let message = match act {
            Act::Event(seq) => {
                let kind = if seq == 10 {
                    json!({"type": "run.finished", "status": "succeeded"})
                } else {
                    json!({"type": "step.output", "step": "a", "attempt": 1, "first_line": seq,
                           "lines": [{"level": "info", "text": "x"}]})
                };
                let mut event = kind;
                event["seq"] = seq.into();
                event["at"] = "2026-01-02T03:04:05.000000Z".into();
                Message::text(event.to_string())
            }
            Act::Text(text) => Message::text(text),
            Act::Close(code) => Message::Close(Some(CloseFrame { code, reason: "".into() })),
            Act::Drop | Act::Refuse(_) => return,
        };
        if socket.send(message).await.is_err() {
            return;
        }
    }
    // Until the other side goes.
    while let Some(Ok(_)) = socket.recv().await {}
}

struct Watched {
    seqs: Vec<i64>,
    asked: Vec<i64>,
    error: Option<Error>,
}

/// Follows a run whose connections do as told, beginning with an old access token.
async fn watch(after: i64, connections: Vec<Vec<Act>>) -> Watched {
    let play = Play { connections: Arc::new(Mutex::new(connections.into_iter())), asked: Arc::default() };
    let router = Router::new()
        .route("/v1/runs/{id}/stream", any(stream))
        .route("/v1/auth/refresh", post(async || Json(tokens("access-2", "refresh-2"))))
        .with_state(play.clone());
    let client: Client = client(&serve(router).await, "access-1");
    let mut events = std::pin::pin!(client.stream(RunId(Uuid::nil()), after));
    let mut seqs = Vec::new();
    let error = loop {
        match events.try_next().await {
            Ok(Some(Event { seq, kind, .. })) => {
                seqs.push(seq);
                assert_eq!(matches!(kind, EventKind::RunFinished { .. }), seq == 10);
            }
            Ok(None) => break None,
            Err(error) => break Some(error),
        }
    };
    assert!(events.next().await.is_none(), "nothing follows the end");
    let asked = play.asked.lock().unwrap().clone();
    Watched { seqs, asked, error }
}

fn events(from: i64, to: i64) -> Vec<Act> {
    (from..=to).map(Act::Event).collect()
}

#[tokio::test]
async fn gives_each_event_once_and_ends_with_the_run() {
    let watched = watch(0, vec![events(1, 10)]).await;
    assert_eq!(watched.seqs, (1..=10).collect::<Vec<_>>());
    assert_eq!(watched.asked, [0]);
    assert!(watched.error.is_none());
}

#[tokio::test]
async fn resumes_after_the_last_event_when_the_connection_breaks() {
    let mut first = events(4, 6);
    first.push(Act::Drop);
    // The second reports an event again that the first already told, and is then cut off.
    let mut second = events(6, 7);
    second.push(Act::Close(4408));
    let watched = watch(3, vec![first, second, events(8, 10)]).await;
    assert_eq!(watched.seqs, (4..=10).collect::<Vec<_>>());
    assert_eq!(watched.asked, [3, 6, 7]);
}

#[tokio::test]
async fn a_gap_or_an_invalid_frame_reconnects() {
    let gap = vec![Act::Event(1), Act::Event(3)];
    let noise = vec![Act::Event(2), Act::Text("noise")];
    let watched = watch(0, vec![gap, noise, events(3, 10)]).await;
    assert_eq!(watched.seqs, (1..=10).collect::<Vec<_>>());
    assert_eq!(watched.asked, [0, 1, 2]);
}

#[tokio::test]
async fn events_of_unknown_kinds_are_passed_over() {
    let new = r#"{"seq": 9, "at": "2026-01-02T03:04:05Z", "type": "step.dreaming", "of": "sheep"}"#;
    let watched = watch(7, vec![vec![Act::Event(8), Act::Text(new), Act::Event(10)]]).await;
    assert_eq!(watched.seqs, [8, 10]);
    assert_eq!(watched.asked, [7]);
}

#[tokio::test]
async fn a_run_that_is_over_ends_at_once() {
    let watched = watch(10, vec![vec![Act::Close(1000)]]).await;
    assert!(watched.seqs.is_empty() && watched.error.is_none());
}

#[tokio::test]
async fn what_may_not_be_watched_is_an_error_that_lasts() {
    let watched = watch(0, vec![vec![Act::Refuse(ProblemCode::NotFound)]]).await;
    let code = |error: &Option<Error>| error.as_ref().and_then(Error::problem).map(|problem| problem.code);
    assert_eq!(code(&watched.error), Some(ProblemCode::NotFound));
    let watched = watch(0, vec![vec![Act::Event(1), Act::Close(4403)]]).await;
    assert_eq!(watched.seqs, [1]);
    assert_eq!(code(&watched.error), Some(ProblemCode::Forbidden));
}

#[tokio::test]
async fn a_busy_installation_is_asked_again() {
    let busy = vec![Act::Refuse(ProblemCode::Unavailable)];
    let watched = watch(8, vec![busy, vec![Act::Event(9), Act::Close(4401)], events(10, 10)]).await;
    assert_eq!(watched.seqs, [9, 10]);
}
