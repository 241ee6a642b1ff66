//! Old and new side by side: what one does not know in a message of the other it ignores.

use std::sync::Arc;

use axum::{
    Router,
    body::{Bytes, to_bytes},
    extract::{Request, State},
    http::{StatusCode, header},
    response::{IntoResponse as _, Response},
};
use serde_json::{Value, json};
use tokio::net::TcpListener;

use super::{
    cluster::{Cluster, http},
    member::{Member, outputs},
    servers::Redis,
    watch::{Watch, assert_whole},
};

/// What neither side knows yet.
const NEW: &str = "from_a_newer_version";

/// A run API in front of another whose messages, both ways, have a field more wherever one may come.
async fn newer(run_api: &str) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let router = Router::new().fallback(pass).with_state(Arc::new(run_api.to_owned()));
    tokio::spawn(async move { axum::serve(listener, router).await });
    url
}

async fn pass(State(target): State<Arc<String>>, request: Request) -> Response {
    let (head, body) = request.into_parts();
    let body = with_new(&to_bytes(body, usize::MAX).await.unwrap());
    let mut asked = http().post(format!("{target}{}", head.uri)).header(header::CONTENT_TYPE, "application/json");
    if let Some(credential) = head.headers.get(header::AUTHORIZATION) {
        asked = asked.header(header::AUTHORIZATION, credential);
    }
    let Ok(answer) = asked.body(body).send().await else { return StatusCode::BAD_GATEWAY.into_response() };
    let status = answer.status();
    let answer = with_new(&answer.bytes().await.unwrap());
    (status, [(header::CONTENT_TYPE, "application/json")], answer).into_response()
}

/// The same message with the new field. The answer to a host call is one of two things, and has no fields.
fn with_new(message: &[u8]) -> Bytes {
    let mut message: Value = serde_json::from_slice(message).unwrap();
    if message.get("ok").is_none() && message.get("refused").is_none() {
        message[NEW] = json!({"what": [1, null]});
    }
    if let Some(plan) = message.get_mut("plan") {
        plan[NEW] = json!("more of it");
    }
    for event in message.get_mut("events").and_then(Value::as_array_mut).into_iter().flatten() {
        event[NEW] = json!(true);
    }
    serde_json::to_vec(&message).unwrap().into()
}

#[tokio::test]
async fn what_a_newer_version_says_besides_is_ignored() {
    let redis = Redis::start();
    let cluster = Cluster::with_redis(&redis);
    let first = cluster.control_plane("control-plane-1");
    let ada = Member::new(&cluster, &first.url, "ada").await;
    let run = ada.start(ada.push_counter().await).await;
    let mut watch = Watch::start(&first.url, &ada.token, run, 0).await;
    watch.until("run.queued").await;
    // Somebody newer wakes everybody up, with more than anybody asked for.
    let said = json!({
        "protocol": 2, "origin": run.to_string(), "admit": true, "runs": [[run.to_string(), 1]], NEW: {"a": 1},
    });
    let channel = format!("{}:wake", cluster.installation.redis_prefix);
    let heard = redis.order(&["PUBLISH", &channel, &said.to_string()]).await;
    assert_eq!(heard, ":1", "the control-plane listens");
    let _executor = cluster.executor("executor-1", &newer(&first.run_api).await);
    assert_whole(&watch.end().await);
    assert_eq!(outputs(&ada.succeeded(run).await), [json!(1)]);
}
