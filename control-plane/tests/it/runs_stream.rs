//! Watching a run over a WebSocket: everything once, in order; who is slow is cut off.

use std::{sync::Arc, time::Duration};

use futures_util::StreamExt;
use reqwest::{Method, StatusCode};
use restroy_control_plane::{runs::Services, spawn_services};
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio_tungstenite::{
    MaybeTlsStream, WebSocketStream, connect_async,
    tungstenite::{Error, Message, client::IntoClientRequest, protocol::frame::coding::CloseCode},
};
use tokio_util::sync::CancellationToken;

use crate::runs_support::*;

type Socket = WebSocketStream<MaybeTlsStream<TcpStream>>;

fn services(it: &Installation) -> Services {
    spawn_services(&it.state, &CancellationToken::new())
}

async fn connect(it: &Installation, token: &str, path: &str, origin: Option<&str>) -> Result<Socket, StatusCode> {
    let mut request = format!("ws://{}{path}", it.api).into_client_request().unwrap();
    if !token.is_empty() {
        request.headers_mut().insert("authorization", format!("Bearer {token}").parse().unwrap());
    }
    if let Some(origin) = origin {
        request.headers_mut().insert("origin", origin.parse().unwrap());
    }
    match connect_async(request).await {
        Ok((socket, _)) => Ok(socket),
        Err(Error::Http(response)) => Err(StatusCode::from_u16(response.status().as_u16()).unwrap()),
        Err(error) => panic!("{error}"),
    }
}

async fn watch(it: &Installation, person: &Person, run: &str, after: usize) -> Socket {
    connect(it, &person.token, &format!("/v1/runs/{run}/stream?after={after}"), None).await.unwrap()
}

/// The next event, or the code with which the stream was closed.
async fn next(socket: &mut Socket) -> Result<Value, u16> {
    loop {
        let message = tokio::time::timeout(PATIENCE, socket.next()).await.expect("something comes");
        match message.expect("a close comes before the end").unwrap() {
            Message::Text(text) => return Ok(serde_json::from_str(&text).unwrap()),
            Message::Close(frame) => return Err(frame.map_or(CloseCode::Status, |frame| frame.code).into()),
            _ => {}
        }
    }
}

/// Everything until the stream is closed.
async fn rest(socket: &mut Socket) -> (Vec<Value>, u16) {
    let mut events = Vec::new();
    loop {
        match next(socket).await {
            Ok(event) => events.push(event),
            Err(code) => return (events, code),
        }
    }
}

#[tokio::test]
async fn history_and_what_comes_each_once_in_order() {
    let it = Installation::start().await;
    let _services = services(&it);
    let (ann, place) = it.pipeline(None).await;
    let run = ann.run(&place, json!({})).await;
    let held = it.executor().await.claim(&it.message().await).await.unwrap();
    held.reported(1, json!([started("a"), printed("a", 1, "one")])).await;
    let mut first = watch(&it, &ann, &run, 0).await;
    for kind in ["run.queued", "run.started", "step.started", "step.output"] {
        assert_eq!(next(&mut first).await.unwrap()["type"], kind);
    }
    // Watchers come and go while events do.
    let mut watchers = Vec::new();
    for n in 2..40 {
        let after = watchers.len() % 5;
        let (it, ann, run) = (Arc::clone(&it), ann.clone(), run.clone());
        watchers.push((after, tokio::spawn(async move { rest(&mut watch(&it, &ann, &run, after).await).await })));
        held.reported(n, json!([printed("a", n, "x"), printed("a", n, "y")])).await;
    }
    held.reported(40, json!([finished("a"), run_finished("succeeded")])).await;
    let all = ann.events(&run).await;
    assert_gapless(&all);
    let (seen, code) = rest(&mut first).await;
    assert_eq!(code, 1000);
    assert_eq!(seen, all[4..]);
    for (after, watcher) in watchers {
        let (seen, code) = watcher.await.unwrap();
        assert_eq!(code, 1000);
        assert_eq!(seen, all[after..]);
    }
    // Afterwards: all of it, the end of it, nothing of it.
    assert_eq!(rest(&mut watch(&it, &ann, &run, 0).await).await, (all.clone(), 1000));
    let middle = all.len() - 1;
    assert_eq!(rest(&mut watch(&it, &ann, &run, middle).await).await, (all[middle..].to_vec(), 1000));
    assert_eq!(rest(&mut watch(&it, &ann, &run, all.len()).await).await, (Vec::new(), 1000));
    assert_eq!(rest(&mut watch(&it, &ann, &run, 1_000_000).await).await, (Vec::new(), 1000));
}

#[tokio::test]
async fn one_reader_serves_all_and_ends_with_the_last() {
    let it = Installation::start().await;
    let Scene { ann, run, held, .. } = it.claimed(None).await;
    let mut sockets = Vec::new();
    for _ in 0..5 {
        let mut socket = watch(&it, &ann, &run, 0).await;
        next(&mut socket).await.unwrap();
        sockets.push(socket);
    }
    // Without the services nobody passes wake-ups on: the reader looks by itself.
    held.reported(1, json!([started("a")])).await;
    for socket in &mut sockets {
        assert_eq!(next(socket).await.unwrap()["type"], "run.started");
        assert_eq!(next(socket).await.unwrap()["type"], "step.started");
    }
    assert_eq!(it.state.watchers.watched(), 1);
    drop(sockets);
    tokio::time::timeout(PATIENCE, it.state.watchers.unwatched()).await.expect("the reader ends");
}

#[tokio::test]
async fn seq_has_no_gaps_whoever_writes() {
    let it = Installation::start().await;
    let _services = services(&it);
    let Scene { ann, run, held, .. } = it.claimed(None).await;
    held.reported(1, json!([started("a")])).await;
    let mut socket = watch(&it, &ann, &run, 0).await;
    // Batches posted at once: one of each number is taken, the others are reposts or out of turn.
    let posts = (2..30).flat_map(|n| (0..3).map(move |_| n)).map(|n| {
        let held = held.clone();
        tokio::spawn(async move {
            loop {
                let (status, answer) = held.report(n, json!([printed("a", n, "x")])).await;
                match status {
                    StatusCode::OK => return,
                    StatusCode::CONFLICT => tokio::task::yield_now().await,
                    other => panic!("{other}: {answer}"),
                }
            }
        })
    });
    for post in posts.collect::<Vec<_>>() {
        post.await.unwrap();
    }
    ann.expect(StatusCode::OK, Method::POST, &format!("/v1/runs/{run}/cancel"), None).await;
    let (seen, code) = rest(&mut socket).await;
    assert_eq!(code, 1000);
    assert_gapless(&seen);
    assert_eq!(seen.len(), 3 + 28 + 2);
    assert_eq!(seen, ann.events(&run).await);
}

#[tokio::test]
async fn a_slow_reader_is_cut_off_and_resumes() {
    let it = Installation::start().await;
    let _services = services(&it);
    let Scene { ann, run, held, .. } = it.claimed(None).await;
    held.reported(1, json!([started("a")])).await;
    let mut slow = watch(&it, &ann, &run, 0).await;
    let mut quick = watch(&it, &ann, &run, 0).await;
    assert_eq!(next(&mut slow).await.unwrap()["seq"], 1);
    // More than its queue, the sockets' buffers and a moment of patience hold.
    let line = "x".repeat(30 * 1024);
    let chunk: Vec<Value> = (1..=20).map(|n| printed("a", n, &line)).collect();
    for n in 2..80 {
        held.reported(n, json!(chunk)).await;
        for _ in 0..chunk.len() {
            next(&mut quick).await.unwrap();
        }
    }
    let (seen, code) = rest(&mut slow).await;
    assert_eq!(code, 4408);
    let last = seen.last().unwrap()["seq"].as_u64().unwrap();
    let mut resumed = watch(&it, &ann, &run, usize::try_from(last).unwrap()).await;
    assert_eq!(next(&mut resumed).await.unwrap()["seq"], last + 1);
    held.reported(80, json!([finished("a"), run_finished("succeeded")])).await;
    assert_eq!(ann.status(&run).await, "succeeded");
}

#[tokio::test]
async fn tickets_are_good_once_on_their_path_and_origins_are_checked() {
    let it = Installation::start().await;
    let (ann, place) = it.pipeline(None).await;
    let run = ann.run(&place, json!({})).await;
    let path = format!("/v1/runs/{run}/stream");
    let ticket = async || {
        let body = Some(json!({ "path": path }));
        let ticket = ann.expect(StatusCode::CREATED, Method::POST, "/v1/stream-tickets", body).await;
        text(&ticket["ticket"])
    };
    let used = ticket().await;
    let with = format!("{path}?after=0&ticket={used}");
    let ours = it.state.settings.public_url.clone();
    let mut socket = connect(&it, "", &with, Some(&ours)).await.unwrap();
    assert_eq!(next(&mut socket).await.unwrap()["type"], "run.queued");
    assert_eq!(connect(&it, "", &with, None).await.err(), Some(StatusCode::UNAUTHORIZED));
    let other = ann.run(&place, json!({})).await;
    let elsewhere = format!("/v1/runs/{other}/stream?ticket={}", ticket().await);
    assert_eq!(connect(&it, "", &elsewhere, None).await.err(), Some(StatusCode::UNAUTHORIZED));
    let late = ticket().await;
    it.clock.advance(Duration::from_secs(31));
    assert_eq!(connect(&it, "", &format!("{path}?ticket={late}"), None).await.err(), Some(StatusCode::UNAUTHORIZED));
    let foreign = connect(&it, &ann.token, &path, Some("https://evil.example")).await;
    assert_eq!(foreign.err(), Some(StatusCode::FORBIDDEN));
    assert_eq!(connect(&it, "", &path, None).await.err(), Some(StatusCode::UNAUTHORIZED));
    let eve = it.person("eve").await;
    assert_eq!(connect(&it, &eve.token, &path, None).await.err(), Some(StatusCode::NOT_FOUND));
}

#[tokio::test]
async fn who_may_not_watch_any_more_is_cut_off() {
    let it = Installation::start().await;
    let (ann, place) = it.pipeline(None).await;
    let run = ann.run(&place, json!({})).await;
    let again = ann.login("ann").await;
    let (mut signed_out, mut removed) = (watch(&it, &ann, &run, 1).await, watch(&it, &again, &run, 1).await);
    ann.expect(StatusCode::NO_CONTENT, Method::POST, "/v1/auth/logout", None).await;
    assert_eq!(next(&mut signed_out).await.unwrap_err(), 4401);
    it.sql("DELETE FROM memberships").await;
    assert_eq!(next(&mut removed).await.unwrap_err(), 4403);
}

#[tokio::test]
async fn a_change_of_rights_cuts_streams_off_at_once() {
    // Nobody looks by the clock here.
    let it = Installation::with(|settings| settings.stream_recheck = Duration::from_hours(1)).await;
    let _services = services(&it);
    let (ann, place) = it.pipeline(None).await;
    let run = ann.run(&place, json!({})).await;
    let team = format!("/v1/teams/{}", place.team);
    let mut people = Vec::new();
    for name in ["bob", "carl", "dora"] {
        let person = it.person(name).await;
        let invitation = json!({ "email": format!("{name}@example.com"), "role": "viewer" });
        let path = format!("{team}/invitations");
        let made = ann.expect(StatusCode::CREATED, Method::POST, &path, Some(invitation)).await;
        let accept = format!("/v1/me/invitations/{}/accept", text(&made["id"]));
        person.expect(StatusCode::OK, Method::POST, &accept, None).await;
        people.push((text(&person.get("/v1/me").await["id"]), watch(&it, &person, &run, 0).await));
    }
    let mut stays = watch(&it, &ann, &run, 0).await;
    for (_, socket) in &mut people {
        assert_eq!(next(socket).await.unwrap()["type"], "run.queued");
    }
    let [(bob, bobs), (_, carls), (_, doras)] = &mut people[..] else { panic!() };
    ann.expect(StatusCode::NO_CONTENT, Method::DELETE, &format!("{team}/members/{bob}"), None).await;
    assert_eq!(next(bobs).await.unwrap_err(), 4403);
    let private = Some(json!({ "private": true }));
    ann.expect(StatusCode::OK, Method::PATCH, &format!("/v1/boards/{}", place.board), private).await;
    assert_eq!(next(carls).await.unwrap_err(), 4403);
    assert_eq!(next(doras).await.unwrap_err(), 4403);
    // Who may continue does.
    assert_eq!(next(&mut stays).await.unwrap()["type"], "run.queued");
    ann.expect(StatusCode::OK, Method::POST, &format!("/v1/runs/{run}/cancel"), None).await;
    let (_, code) = rest(&mut stays).await;
    assert_eq!(code, 1000);
}

#[tokio::test]
async fn one_person_cannot_take_all_the_seats() {
    let it = Installation::start().await;
    let _services = services(&it);
    let (ann, place) = it.pipeline(None).await;
    let run = ann.run(&place, json!({})).await;
    let path = format!("/v1/runs/{run}/stream");
    let mut sockets = Vec::new();
    for _ in 0..100 {
        sockets.push(connect(&it, &ann.token, &path, None).await.unwrap());
    }
    assert_eq!(connect(&it, &ann.token, &path, None).await.unwrap_err(), StatusCode::TOO_MANY_REQUESTS);
    // Somebody else has seats of their own.
    let bob = it.person("bob").await;
    let theirs = bob.place(None).await;
    let other = bob.run(&theirs, json!({})).await;
    connect(&it, &bob.token, &format!("/v1/runs/{other}/stream"), None).await.unwrap();
    // Who gets up leaves the seat to another.
    drop(sockets.pop());
    let seated = async {
        while connect(&it, &ann.token, &path, None).await.is_err() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(PATIENCE, seated).await.expect("a seat is free again");
}
