//! A run's stream over a plain WebSocket client: history, then live, in order, each event once.

use futures_util::{StreamExt as _, future::join_all};
use restroy_sdk::{event::Event, ids::RunId};
use serde_json::json;
use tokio_tungstenite::{
    connect_async,
    tungstenite::{
        self, Message, client::IntoClientRequest as _, http::HeaderValue, protocol::frame::coding::CloseCode,
    },
};

use crate::{
    server::PATIENCE,
    world::{World, assert_gapless, person},
};

/// Connects with a ticket, as a browser does, and reads to the close frame.
async fn read_all(url: String, origin: Option<String>) -> (Vec<Event>, Option<CloseCode>) {
    let mut request = url.into_client_request().unwrap();
    if let Some(origin) = origin {
        request.headers_mut().insert("origin", HeaderValue::from_str(&origin).unwrap());
    }
    let (mut socket, _) = connect_async(request).await.unwrap();
    let (mut events, mut code) = (Vec::new(), None);
    let reading = async {
        while let Some(message) = socket.next().await {
            match message {
                Ok(Message::Text(text)) => events.push(serde_json::from_str(&text).unwrap()),
                Ok(Message::Close(frame)) => code = frame.map(|frame| frame.code),
                Ok(_) => {}
                Err(_) => break,
            }
        }
    };
    tokio::time::timeout(PATIENCE, reading).await.expect("the stream ends");
    (events, code)
}

async fn stream_url(world: &World, run: RunId, after: i64) -> String {
    let path = format!("/v1/runs/{run}/stream");
    let ticket = world.client.stream_ticket(&path).await.unwrap().ticket;
    format!("{}{path}?after={after}&ticket={ticket}", world.server.url.replace("http://", "ws://"))
}

#[tokio::test]
async fn every_watcher_gets_every_event_once_and_in_order() {
    let world = World::new(&[]).await;
    let definition = json!({"restroy": 1, "steps": {
        "many": {"script": "scripts/many.lua", "for_each": "params.items", "max_parallel": 4},
        "last": {"script": "scripts/last.lua", "needs": ["many"]},
    }});
    let files = [
        ("scripts/many.lua", "for i = 1, 50 do print(index .. ': line ' .. i) end sleep(0.05) return item * 2"),
        ("scripts/last.lua", "return inputs.many"),
    ];
    let pipeline = world.push("many", definition, &files).await;
    let run = world.start(pipeline, json!({"items": [1, 2, 3, 4, 5, 6, 7, 8]})).await;
    let origin = Some(world.server.origin());
    let mut watchers = Vec::new();
    for _ in 0..10 {
        watchers.push(read_all(stream_url(&world, run, 0).await, origin.clone()));
    }
    let seen = join_all(watchers).await;
    let (first, _) = &seen[0];
    assert_gapless(first);
    for (events, code) in &seen {
        assert_eq!(serde_json::to_value(events).unwrap(), serde_json::to_value(first).unwrap());
        assert_eq!(*code, Some(CloseCode::Normal));
    }
    let lines = crate::world::lines(first);
    assert_eq!(lines.len(), 8 * 50);
    for index in 1..=8 {
        let of_item: Vec<_> = lines.iter().filter(|line| line.starts_with(&format!("{index}: "))).collect();
        let expected: Vec<_> = (1..=50).map(|line| format!("{index}: line {line}")).collect();
        assert!(
            of_item.iter().zip(&expected).all(|(line, expected)| **line == expected),
            "the lines of an item stay in order"
        );
    }
    assert_eq!(world.finish(run).await.output("last"), json!([2, 4, 6, 8, 10, 12, 14, 16]));

    let last = first.last().unwrap().seq;
    let (rest, code) = read_all(stream_url(&world, run, last - 3).await, None).await;
    assert_eq!(rest.iter().map(|event| event.seq).collect::<Vec<_>>(), [last - 2, last - 1, last]);
    assert_eq!(code, Some(CloseCode::Normal));
}

#[tokio::test]
async fn a_ticket_is_good_once_for_its_path_and_owner() {
    let world = World::new(&[]).await;
    let pipeline = world.push_script("one", "return 1", json!({})).await;
    let run = world.run(pipeline, json!({})).await.succeeded().run.id;
    let status = |url: String, origin: Option<&'static str>| async move {
        let mut request = url.into_client_request().unwrap();
        if let Some(origin) = origin {
            request.headers_mut().insert("origin", HeaderValue::from_static(origin));
        }
        match connect_async(request).await {
            Ok(_) => 101,
            Err(tungstenite::Error::Http(response)) => response.status().as_u16(),
            Err(error) => panic!("{error}"),
        }
    };
    let url = stream_url(&world, run, 0).await;
    assert_eq!(status(url.clone(), None).await, 101);
    assert_eq!(status(url, None).await, 401, "a ticket is good once");
    let url = stream_url(&world, run, 0).await;
    assert_eq!(status(url, Some("https://evil.example")).await, 403, "a page of another origin");
    let (plain, _) =
        stream_url(&world, run, 0).await.split_once("&ticket").map(|(a, b)| (a.to_owned(), b.to_owned())).unwrap();
    assert_eq!(status(plain.clone(), None).await, 401, "no credentials");

    let other = world.run(pipeline, json!({})).await.succeeded().run.id;
    let ticket = world.client.stream_ticket(&format!("/v1/runs/{other}/stream")).await.unwrap().ticket;
    assert_eq!(status(format!("{plain}&ticket={ticket}"), None).await, 401, "a ticket for another path");

    let stranger = person(&world.server, "mallory").await;
    if let Ok(ticket) = stranger.stream_ticket(&format!("/v1/runs/{run}/stream")).await {
        assert_eq!(status(format!("{plain}&ticket={}", ticket.ticket), None).await, 404, "a stranger's ticket");
    }
}
