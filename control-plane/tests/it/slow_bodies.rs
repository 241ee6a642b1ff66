//! Bodies that come slowly, or too many at once. They are written byte by byte, as no client of ours would.

use std::time::Duration;

use reqwest::Method;
use serde_json::json;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};

use crate::support::{PASSWORD, World};

/// A request that says it has a body of so many bytes, and sends the beginning of it.
async fn begun(world: &World, head: &str, bytes: usize, sent: usize) -> TcpStream {
    let host = world.url.trim_start_matches("http://");
    let mut stream = TcpStream::connect(host).await.unwrap();
    let head = format!("{head}\r\nHost: {host}\r\nContent-Type: application/json\r\nContent-Length: {bytes}\r\n\r\n");
    stream.write_all(head.as_bytes()).await.unwrap();
    stream.write_all(&vec![b' '; sent]).await.unwrap();
    stream
}

async fn answer(stream: &mut TcpStream) -> String {
    let mut bytes = vec![0; 64 * 1024];
    let read = stream.read(&mut bytes).await.unwrap();
    String::from_utf8_lossy(&bytes[..read]).into_owned()
}

#[tokio::test]
async fn a_body_that_does_not_come_is_not_waited_for() {
    let world = World::with(|settings| {
        settings.dev = true;
        settings.body_patience = Duration::from_millis(200);
    })
    .await;
    let mut stream = begun(&world, "POST /v1/auth/login HTTP/1.1", 10_000, 9_900).await;
    let refused = answer(&mut stream).await;
    assert!(refused.starts_with("HTTP/1.1 400") && refused.contains("did not arrive in time"), "{refused}");
    world.person("ann").await;
}

#[tokio::test]
async fn bodies_together_are_bounded() {
    let world = World::with(|settings| {
        settings.dev = true;
        settings.bodies_bytes = 100_000;
        settings.body_patience = Duration::from_mins(10);
    })
    .await;
    let ann = world.person("ann").await;
    let (team, large) = (ann.team("Team").await, "x".repeat(20_200));
    let board = json!({ "name": "Board", "description": large });
    let path = format!("/v1/teams/{team}/boards");
    ann.post(&path, board.clone()).await.problem("invalid");
    let head = format!("POST {path} HTTP/1.1\r\nAuthorization: Bearer {}", ann.token);
    let held = begun(&world, &head, 90_000, 80_000).await;
    // As soon as what was sent has come.
    loop {
        let reply = ann.post(&path, board.clone()).await;
        if reply.status == 503 {
            assert!(reply.headers.contains_key("retry-after"));
            reply.problem("unavailable");
            break;
        }
        reply.problem("invalid");
    }
    ann.get(&path).await.expect(200);
    // A second one is cut off where it goes beyond.
    let mut second = begun(&world, &head, 90_000, 20_500).await;
    let refused = answer(&mut second).await;
    assert!(refused.starts_with("HTTP/1.1 503"), "{refused}");
    drop(held);
    while ann.post(&path, board.clone()).await.status == 503 {}
}

#[tokio::test]
async fn who_is_not_known_sends_little() {
    let world = World::new().await;
    let login = json!({ "email": "a".repeat(16 * 1024), "password": PASSWORD });
    world.anonymous(Method::POST, "/v1/auth/login", Some(login)).await.problem("too_large");
    let long = json!({ "email": "ann@example.com", "password": "a".repeat(16 * 1024 - 200), "name": "Ann" });
    assert_ne!(world.anonymous(Method::POST, "/v1/auth/register", Some(long)).await.status, 413);
}
