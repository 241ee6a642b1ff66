//! A run's events over a WebSocket (RFC 6455), resumed where a connection broke.

use std::{pin::pin, time::Duration};

use futures_util::{SinkExt as _, Stream, StreamExt as _, stream};
use reqwest::{
    StatusCode,
    header::{CONNECTION, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_KEY, SEC_WEBSOCKET_VERSION, UPGRADE},
};
use serde::Deserialize;
use tokio_tungstenite::{
    WebSocketStream,
    tungstenite::{
        Message,
        handshake::{client::generate_key, derive_accept_key},
        protocol::{CloseFrame, Role, WebSocketConfig, frame::coding::CloseCode},
    },
};

use super::{
    Client,
    error::{Error, Result},
    request::Answer,
};
use restroy_sdk::{
    event::{Event, EventKind},
    ids::RunId,
    problem::{Problem, ProblemCode},
};

/// How long the handshake may take.
const HANDSHAKE: Duration = Duration::from_secs(15);
/// After this silence the other side is asked whether it is there.
const QUIET: Duration = Duration::from_secs(15);
/// Questions in a row that may stay without an answer.
const MAX_UNANSWERED: u32 = 2;
/// Connections in a row that may fail or bring nothing; about half a minute.
const MAX_FAILURES: u32 = 10;
/// The longest event: a step's output at its hard maximum, escaped.
const MAX_MESSAGE: usize = 32 * 1024 * 1024;

/// Close codes of the API: the caller's session ended, the caller may not see the run.
const CLOSE_UNAUTHORIZED: u16 = 4401;
const CLOSE_FORBIDDEN: u16 = 4403;

type Socket = WebSocketStream<reqwest::Upgraded>;

pub(super) fn events(client: Client, run: RunId, after: i64) -> impl Stream<Item = Result<Event>> + Send {
    let follower = Follower { client, run, last: after, socket: None, failures: 0, ended: false };
    stream::unfold(follower, async |mut follower| {
        let item = follower.next().await?;
        follower.ended |= match &item {
            Ok(event) => matches!(event.kind, EventKind::RunFinished { .. }),
            Err(_) => true,
        };
        Some((item, follower))
    })
    .fuse()
}

struct Follower {
    client: Client,
    run: RunId,
    /// The number of the newest event that was given out.
    last: i64,
    socket: Option<Socket>,
    /// Connections in a row that brought no event.
    failures: u32,
    ended: bool,
}

/// What a connection brought.
enum StreamItem {
    Event(Box<Event>),
    /// The event of this number, of a kind that this client does not know.
    Unknown(i64),
    /// Nothing that was not given out before.
    Nothing,
    /// The run is over and everything was reported.
    End,
    /// The connection is of no more use.
    Broken(String),
    Failed(Error),
}

impl Follower {
    async fn next(&mut self) -> Option<Result<Event>> {
        while !self.ended {
            let brought = match &mut self.socket {
                Some(socket) => read(socket).await,
                None => match self.connect().await {
                    Ok(socket) => {
                        self.socket = Some(socket);
                        continue;
                    }
                    Err(error) if error.is_transient() => StreamItem::Broken(error.to_string()),
                    Err(error) => StreamItem::Failed(error),
                },
            };
            match self.check_sequence(brought) {
                StreamItem::Event(event) => {
                    self.failures = 0;
                    self.last = event.seq;
                    return Some(Ok(*event));
                }
                StreamItem::Unknown(seq) => self.last = seq,
                StreamItem::Nothing => {}
                StreamItem::End => return None,
                StreamItem::Failed(error) => return Some(Err(error)),
                StreamItem::Broken(reason) => {
                    self.socket = None;
                    if self.failures >= MAX_FAILURES {
                        let address = self.client.base().to_string();
                        return Some(Err(Error::Unreachable { address, reason, sent: false }));
                    }
                    tracing::debug!(run = %self.run, after = self.last, reason, "connecting again");
                    self.client.back_off(self.failures).await;
                    self.failures += 1;
                }
            }
        }
        None
    }

    /// Events come in order, each once, whatever the connection brings.
    fn check_sequence(&self, brought: StreamItem) -> StreamItem {
        let seq = match &brought {
            StreamItem::Event(event) => event.seq,
            StreamItem::Unknown(seq) => *seq,
            _ => return brought,
        };
        if seq <= self.last {
            StreamItem::Nothing
        } else if seq > self.last + 1 {
            StreamItem::Broken(format!("event {seq} came after {}", self.last))
        } else {
            brought
        }
    }

    async fn connect(&mut self) -> Result<Socket> {
        let token = self.client.access_token()?;
        let answer = self.handshake(&token).await?;
        match answer {
            Ok(socket) => Ok(socket),
            Err(answer) if answer.response.status() == StatusCode::UNAUTHORIZED => {
                let token = self.client.refreshed(&token).await?;
                match self.handshake(&token).await? {
                    Ok(socket) => Ok(socket),
                    Err(answer) => Err(answer.problem().await),
                }
            }
            Err(answer) => Err(answer.problem().await),
        }
    }

    /// Asks for the connection; an answer that is not an upgrade is given back.
    async fn handshake(&mut self, token: &str) -> Result<Result<Socket, Answer>> {
        let base = self.client.base();
        let mut url = base.clone();
        if let Ok(mut path) = url.path_segments_mut() {
            path.pop_if_empty().extend(["v1", "runs", &self.run.to_string(), "stream"]);
        }
        url.query_pairs_mut().append_pair("after", &self.last.to_string());
        let key = generate_key();
        let request = self
            .client
            .http
            .get(url)
            .bearer_auth(token)
            .header(CONNECTION, "Upgrade")
            .header(UPGRADE, "websocket")
            .header(SEC_WEBSOCKET_VERSION, "13")
            .header(SEC_WEBSOCKET_KEY, &key);
        let late = |_| Error::Unreachable { address: base.to_string(), reason: "no answer in time".into(), sent: true };
        let response = tokio::time::timeout(HANDSHAKE, request.send())
            .await
            .map_err(late)?
            .map_err(|error| Error::unreachable(base, &error))?;
        if response.status() != StatusCode::SWITCHING_PROTOCOLS {
            return Ok(Err(Answer { base: base.clone(), response }));
        }
        let accepted = response.headers().get(SEC_WEBSOCKET_ACCEPT).map(reqwest::header::HeaderValue::as_bytes);
        if accepted != Some(derive_accept_key(key.as_bytes()).as_bytes()) {
            return Err(Error::answer(base, "a WebSocket handshake that does not fit the request"));
        }
        let upgraded = response.upgrade().await.map_err(|error| Error::unreachable(base, &error))?;
        let config = WebSocketConfig::default().max_message_size(Some(MAX_MESSAGE)).max_frame_size(Some(MAX_MESSAGE));
        Ok(Ok(WebSocketStream::from_raw_socket(upgraded, Role::Client, Some(config)).await))
    }
}

/// What the connection brings next.
async fn read(socket: &mut Socket) -> StreamItem {
    let mut unanswered = 0;
    loop {
        let message = match tokio::time::timeout(QUIET, pin!(socket.next())).await {
            Ok(None) => return StreamItem::Broken("the connection ended".into()),
            Ok(Some(Err(error))) => return StreamItem::Broken(error.to_string()),
            Ok(Some(Ok(message))) => message,
            Err(_) if unanswered >= MAX_UNANSWERED => return StreamItem::Broken("the connection fell silent".into()),
            Err(_) => {
                unanswered += 1;
                if let Err(error) = socket.send(Message::Ping(Vec::new().into())).await {
                    return StreamItem::Broken(error.to_string());
                }
                continue;
            }
        };
        match message {
            Message::Text(text) => return event(&text),
            Message::Close(frame) => return closed(frame.as_ref()),
            Message::Ping(_) | Message::Pong(_) | Message::Binary(_) | Message::Frame(_) => unanswered = 0,
        }
    }
}

fn event(text: &str) -> StreamItem {
    /// What every event has, of whatever kind.
    #[derive(Deserialize)]
    struct AnyEvent {
        seq: i64,
    }
    match serde_json::from_str::<Event>(text) {
        Ok(event) => StreamItem::Event(Box::new(event)),
        // A newer installation may tell more than this client knows.
        Err(error) => match serde_json::from_str::<AnyEvent>(text) {
            Ok(event) => StreamItem::Unknown(event.seq),
            Err(_) => StreamItem::Broken(format!("a frame that is not an event: {error}")),
        },
    }
}

fn closed(frame: Option<&CloseFrame>) -> StreamItem {
    let Some(frame) = frame else { return StreamItem::Broken("the connection was closed".into()) };
    match frame.code {
        CloseCode::Normal => StreamItem::End,
        // The handshake refreshes the token, or finds that the session ended.
        CloseCode::Library(CLOSE_UNAUTHORIZED) => StreamItem::Broken("the session is to be renewed".into()),
        CloseCode::Library(CLOSE_FORBIDDEN) => {
            let problem = Problem::new(ProblemCode::Forbidden).detail("You no longer have access to this run.");
            StreamItem::Failed(Error::Problem(Box::new(problem)))
        }
        code => StreamItem::Broken(format!("closed with code {}: {}", u16::from(code), frame.reason)),
    }
}
