//! One who watches a run over a single WebSocket connection, frame by frame.

use futures_util::{SinkExt as _, StreamExt as _};
use restroy_sdk::{event::Event, ids::RunId};
use tokio::{sync::watch, task::JoinHandle};
use tokio_tungstenite::{
    connect_async,
    tungstenite::{Message, client::IntoClientRequest as _},
};

use super::service::within;

/// What a watcher saw.
#[derive(Debug, Clone, Default)]
pub struct Seen {
    /// The text frames, as they came.
    pub frames: Vec<String>,
    /// Why it ended: the code of the close frame, none without one.
    pub close: Option<u16>,
}

impl Seen {
    /// The number of the newest event.
    pub fn last(&self) -> i64 {
        self.events().last().map_or(0, |event| event.seq)
    }

    pub fn events(&self) -> Vec<Event> {
        self.frames.iter().map(|frame| serde_json::from_str(frame).unwrap()).collect()
    }
}

/// One who watches.
pub struct Watch {
    seen: watch::Receiver<Seen>,
    reading: JoinHandle<()>,
}

impl Watch {
    /// Connects; what comes is read from now on.
    pub async fn start(url: &str, token: &str, run: RunId, after: i64) -> Self {
        let url = format!("{}/v1/runs/{run}/stream?after={after}", url.replacen("http", "ws", 1));
        let mut request = url.into_client_request().unwrap();
        request.headers_mut().insert("authorization", format!("Bearer {token}").parse().unwrap());
        let (mut socket, _) = within("the handshake", connect_async(request)).await.unwrap();
        let (send, seen) = watch::channel(Seen::default());
        let reading = tokio::spawn(async move {
            while let Some(Ok(message)) = socket.next().await {
                match message {
                    Message::Text(text) => send.send_modify(|seen| seen.frames.push(text.to_string())),
                    Message::Close(frame) => {
                        send.send_modify(|seen| seen.close = frame.map(|frame| frame.code.into()));
                        let _ = socket.flush().await;
                    }
                    _ => {}
                }
            }
        });
        Self { seen, reading }
    }

    /// Waits until an event of this kind has come.
    pub async fn until(&mut self, kind: &str) {
        let tag = format!("\"type\":\"{kind}\"");
        let come = self.seen.wait_for(|seen| seen.frames.iter().any(|frame| frame.contains(&tag)));
        within(&format!("an event {kind}"), come).await.unwrap();
    }

    /// Waits for the end of the connection.
    pub async fn end(self) -> Seen {
        within("the end of a stream", self.reading).await.unwrap();
        self.seen.borrow().clone()
    }
}

/// Insists that a stream was whole: in order, each event once, closed with 1000 at its end.
pub fn assert_whole(seen: &Seen) {
    let events = seen.events();
    let seqs: Vec<_> = events.iter().map(|event| event.seq).collect();
    assert_eq!(seqs, (1..=i64::try_from(events.len()).unwrap()).collect::<Vec<_>>(), "{:#?}", seen.frames);
    assert!(seen.frames.last().is_some_and(|frame| frame.contains("run.finished")), "{:#?}", seen.frames);
    assert_eq!(seen.close, Some(1000));
}
