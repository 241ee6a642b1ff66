//! Answers that nobody reads: they hold no more memory than their budget, and nobody else up.

use std::time::Duration;

use reqwest::{Method, StatusCode};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    time::{sleep, timeout},
};

use crate::runs_support::*;

const MIB: usize = 1024 * 1024;

/// A request whose answer is read up to the status, which this gives.
async fn unread(it: &Installation, path: &str, token: &str) -> (TcpStream, u16) {
    let mut stream = TcpStream::connect(it.api).await.unwrap();
    let head = format!("GET {path} HTTP/1.1\r\nHost: {}\r\nAuthorization: Bearer {token}\r\n\r\n", it.api);
    stream.write_all(head.as_bytes()).await.unwrap();
    let mut status = [0; 12];
    stream.read_exact(&mut status).await.unwrap();
    let status = std::str::from_utf8(&status).unwrap().split(' ').nth(1).unwrap().parse().unwrap();
    (stream, status)
}

/// Waits until nothing of an answer is held any more.
async fn until_free(it: &Installation) {
    let free = async {
        while it.state.answers.reserved() > 0 || it.state.in_flight.holders() > 0 {
            sleep(Duration::from_millis(10)).await;
        }
    };
    timeout(PATIENCE, free).await.expect("what was held is given back");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn unread_downloads_stay_within_the_budget() {
    let it = Installation::with(|settings| {
        settings.dev = true;
        settings.answers_bytes = 64 * MIB;
    })
    .await;
    let scene = it.claimed(None).await;
    let content: Vec<u8> = (0..253).cycle().take(12 * MIB + 5).collect();
    assert_eq!(scene.held.artifact("k1", "large.bin", &content).await.0, StatusCode::OK);
    let artifacts = scene.ann.get(&format!("/v1/runs/{}/artifacts", scene.run)).await;
    let path = format!("/v1/runs/{}/artifacts/{}", scene.run, text(&artifacts["items"][0]["id"]));

    let mut held = Vec::new();
    for _ in 0..60 {
        held.push(unread(&it, &path, &scene.ann.token).await);
    }
    let served = held.iter().filter(|(_, status)| *status == 200).count();
    assert!((1..60).contains(&served), "{served} of 60");
    assert!(held.iter().all(|(_, status)| matches!(status, 200 | 429)), "who has a share is told so");
    assert!(it.state.answers.reserved() <= 64 * MIB / 16, "{}", it.state.answers.reserved());

    // Neither the account's small answers nor others' large ones are in the way.
    scene.ann.get("/v1/me").await;
    let bob = it.person("bob").await;
    let other = bob.place(None).await;
    bob.get(&format!("/v1/pipelines/{}/definition", other.pipeline)).await;

    drop(held);
    until_free(&it).await;
    let whole = scene.ann.request(Method::GET, &path).send().await.unwrap();
    assert_eq!(whole.headers()["content-length"], content.len().to_string());
    assert!(whole.bytes().await.unwrap() == content, "every byte of it, in order");
    until_free(&it).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_account_has_so_many_requests_under_way_and_no_more() {
    let it = Installation::with(|settings| {
        settings.dev = true;
        settings.requests_at_once = 2;
    })
    .await;
    let scene = it.claimed(None).await;
    assert_eq!(scene.held.artifact("k1", "large.bin", &vec![7; 12 * MIB]).await.0, StatusCode::OK);
    let artifacts = scene.ann.get(&format!("/v1/runs/{}/artifacts", scene.run)).await;
    let path = format!("/v1/runs/{}/artifacts/{}", scene.run, text(&artifacts["items"][0]["id"]));
    let (one, other) = (unread(&it, &path, &scene.ann.token).await, unread(&it, &path, &scene.ann.token).await);
    assert_eq!((one.1, other.1), (200, 200));
    let refused = scene.ann.request(Method::GET, "/v1/me").send().await.unwrap();
    assert_eq!((refused.status().as_u16(), &refused.headers()["retry-after"]), (429, &"1".parse().unwrap()));
    let refused: serde_json::Value = refused.json().await.unwrap();
    assert_eq!(refused["code"], "too_many_concurrent_requests");
    // It is the account that is counted, by whatever it signs in; others are not held up.
    it.person("bob").await.get("/v1/me").await;
    drop(one);
    let served = async {
        while scene.ann.request(Method::GET, "/v1/me").send().await.unwrap().status() != StatusCode::OK {
            sleep(Duration::from_millis(10)).await;
        }
    };
    timeout(PATIENCE, served).await.expect("a place is free again");
    drop(other);
    until_free(&it).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_address_has_four_times_as_many() {
    let it = Installation::with(|settings| {
        settings.dev = true;
        settings.requests_at_once = 1;
    })
    .await;
    // Requests whose bodies do not come.
    let mut held = Vec::new();
    for _ in 0..4 {
        let mut stream = TcpStream::connect(it.api).await.unwrap();
        let head = format!(
            "POST /v1/auth/login HTTP/1.1\r\nHost: {}\r\nContent-Type: application/json\r\nContent-Length: 100\r\n\r\n",
            it.api
        );
        stream.write_all(head.as_bytes()).await.unwrap();
        held.push(stream);
    }
    let refused = async {
        while it.http.get(format!("http://{}/v1/permissions", it.api)).send().await.unwrap().status() != 429 {
            sleep(Duration::from_millis(10)).await;
        }
    };
    timeout(PATIENCE, refused).await.expect("one too many");
    // Whoever asks whether the process lives is not counted.
    assert_eq!(it.http.get(format!("http://{}/healthz", it.api)).send().await.unwrap().status(), 200);
    drop(held);
    until_free(&it).await;
}
