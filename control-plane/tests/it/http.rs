//! What holds for every request: problem documents, headers, limits.

use reqwest::Method;
use serde_json::{Value, json};

use crate::support::{Home, PANIC, Request, World};

#[tokio::test]
async fn every_error_is_a_problem_document() {
    let world = World::new().await;
    let ann = world.person("ann").await;
    let team = ann.team("Team").await;
    ann.get("/v1/nowhere").await.problem("not_found");
    world.anonymous(Method::GET, "/", None).await.problem("not_found");
    ann.call(Method::PUT, "/v1/teams", None).await.problem("method_not_allowed");
    ann.get("/v1/teams/not-a-uuid").await.problem("not_found");
    ann.get("/v1/teams?limit=x").await.problem("bad_request");
    ann.get("/v1/teams?unknown=1").await.problem("bad_request");
    ann.call(Method::POST, "/v1/teams", None).await.problem("unsupported_media_type");
    ann.post("/v1/teams", json!([1])).await.problem("invalid");
    ann.post("/v1/teams", json!(["Team"])).await.problem("invalid");
    let board = ann.board(&team, "Board").await;
    ann.patch(&format!("/v1/boards/{board}"), json!([null, null])).await.problem("invalid");
    let wrong = ann.post("/v1/teams", json!({ "name": 1 })).await.problem("invalid");
    assert_eq!(wrong.pointers(), ["/name"]);
    let unknown = ann.post("/v1/teams", json!({ "name": "a", "nmae": "b" })).await.problem("invalid");
    assert!(unknown.text.contains("nmae"), "{}", unknown.text);
    for body in ["", "{", "{\"name\": \"a\"} x", "\u{0}"] {
        let request = world.client.post(format!("{}/v1/teams/{team}/boards", world.url));
        let request = request.bearer_auth(&ann.token).header("content-type", "application/json").body(body);
        let response = request.send().await.unwrap();
        assert_eq!(response.status(), 400, "{body:?}");
        assert_eq!(response.headers()["content-type"], "application/problem+json");
    }
}

#[tokio::test]
async fn a_developers_own_installation_answers_to_no_strangers_name() {
    let own = World::new().await;
    let ask = async |world: &World, host: &str| {
        let request = world.client.get(format!("{}/v1/teams", world.url)).header("host", host);
        request.send().await.unwrap().status().as_u16()
    };
    assert_eq!(ask(&own, "evil.example:8080").await, 403);
    assert_eq!(ask(&own, "localhost:8080").await, 401);
    let everybodys = World::with(|settings| settings.dev = false).await;
    assert_eq!(ask(&everybodys, "restroy.example").await, 401, "behind a proxy the name is the proxy's business");
}

#[tokio::test]
async fn a_panic_ends_one_request_and_reveals_nothing() {
    let world = World::new().await;
    let ann = world.person("ann").await;
    let home = Home::of(&ann).await;
    let at = format!("/v1/scripts/{}/check", home.script);
    let reply = ann.post(&at, json!({ "source": PANIC })).await.problem("internal");
    assert!(!reply.text.contains("asked for it"), "{}", reply.text);
    ann.post(&at, json!({ "source": "return 1" })).await.expect(200);
}

#[tokio::test]
async fn bodies_are_bounded_route_by_route() {
    let world = World::new().await;
    let ann = world.person("ann").await;
    let home = Home::of(&ann).await;
    let three = "x".repeat(3 * 1024 * 1024);
    ann.post("/v1/teams", json!({ "name": three })).await.problem("too_large");
    let definition = format!("/v1/pipelines/{}/definition", home.pipeline);
    let body = json!({ "definition": crate::support::one_step(), "files": { "scripts/a.lua": three } });
    let reply = ann.put(&definition, body).await.problem("invalid_definition");
    assert_eq!(reply.pointers(), ["/files/scripts~1a.lua"]);
    let thirty = "x".repeat(30 * 1024 * 1024);
    let body = json!({ "definition": {}, "files": { "scripts/a.lua": thirty } });
    let request = world.client.put(format!("{}{definition}", world.url)).bearer_auth(&ann.token).json(&body);
    // The server may answer and close before it has read everything.
    if let Ok(response) = request.send().await {
        assert_eq!(response.status(), 413);
    }
}

#[tokio::test]
async fn requests_have_ids_and_answers_their_headers() {
    let world = World::new().await;
    let send = |id: &str| {
        let headers = vec![("x-request-id", id.to_owned())];
        world.send(Request { headers, ..Request::new(Method::GET, "/healthz") })
    };
    let mine = send("abc-123").await.expect(200);
    assert_eq!(mine.headers["x-request-id"], "abc-123");
    let odd = send("a b<script>").await.expect(200);
    assert_ne!(odd.headers["x-request-id"], "a b<script>");
    for (name, value) in [
        ("x-content-type-options", "nosniff"),
        ("x-frame-options", "DENY"),
        ("referrer-policy", "no-referrer"),
        ("cache-control", "no-store"),
    ] {
        assert_eq!(mine.headers[name], value);
    }
    assert!(mine.headers["content-security-policy"].to_str().unwrap().contains("default-src 'none'"));
}

#[tokio::test]
async fn who_stops_or_has_no_database_is_not_ready_and_says_why() {
    let world = World::new().await;
    let ready = world.anonymous(Method::GET, "/readyz", None).await.expect(200).body;
    assert_ne!(ready["status"], "unready", "{ready}");
    world.state.stopping.cancel();
    let stopping = world.anonymous(Method::GET, "/readyz", None).await;
    assert_eq!(stopping.status, 503);
    assert_eq!(stopping.body["reasons"][0], "it is stopping", "{}", stopping.body);
    world.state.db.close().await;
    world.clock.advance(std::time::Duration::from_secs(2));
    let lost = world.anonymous(Method::GET, "/readyz", None).await;
    assert_eq!(lost.status, 503);
    assert!(lost.body["reasons"][1].as_str().is_some_and(|why| why.contains("database")), "{}", lost.body);
    world.anonymous(Method::GET, "/healthz", None).await.expect(200);
}

#[tokio::test]
async fn the_document_describes_problems_and_bodies() {
    let world = World::new().await;
    let document = world.anonymous(Method::GET, "/v1/openapi.json", None).await.expect(200).body;
    let schemas = document["components"]["schemas"].as_object().unwrap();
    for name in ["Problem", "FieldError", "Board", "PutDefinition", "Tokens"] {
        assert!(schemas.contains_key(name), "{name}");
    }
    let mut references = Vec::new();
    references_in(&document, &mut references);
    for reference in references {
        assert!(document.pointer(reference.trim_start_matches('#')).is_some(), "{reference} leads nowhere");
    }
}

fn references_in(value: &Value, found: &mut Vec<String>) {
    match value {
        Value::Array(items) => items.iter().for_each(|item| references_in(item, found)),
        Value::Object(fields) => {
            if let Some(Value::String(reference)) = fields.get("$ref") {
                found.push(reference.clone());
            }
            fields.values().for_each(|field| references_in(field, found));
        }
        _ => {}
    }
}
