//! Starting runs: what is refused, what waits, who sees what.

use reqwest::{Method, StatusCode};
use restroy_control_plane::{
    DomainError,
    runs::{dispatch, start, trigger::Starter},
    store::Durability,
};
use restroy_sdk::api::trigger::CallerKind;
use serde_json::{Value, json};

use crate::runs_support::*;

fn code(answer: &Value) -> &str {
    answer["code"].as_str().unwrap_or_default()
}

#[tokio::test]
async fn a_run_is_recorded_with_its_first_event() {
    let it = Installation::start().await;
    let (ann, place) = it.pipeline(None).await;
    let path = format!("/v1/pipelines/{}/runs", place.pipeline);
    let body = json!({ "params": { "b": 1, "a": [1.0, "x"] } });
    let run = ann.expect(StatusCode::ACCEPTED, Method::POST, &path, Some(body)).await;
    assert_eq!((&run["status"], &run["version"]), (&json!("queued"), &json!(1)));
    let id = text(&run["id"]);
    let mut read = ann.get(&format!("/v1/runs/{id}")).await;
    let params = read.as_object_mut().unwrap().remove("params").unwrap();
    assert_eq!(params.to_string(), r#"{"b":1,"a":[1.0,"x"]}"#);
    assert_eq!(read, run, "the caller has the parameters");
    assert_eq!(ann.kinds(&id).await, ["run.queued"]);
    for list in [path, format!("/v1/teams/{}/runs", place.team)] {
        let page = ann.get(&list).await;
        assert_eq!(page["items"][0]["id"], json!(id));
        assert_eq!(page["items"][0]["params"], Value::Null);
    }
}

#[tokio::test]
async fn lists_go_page_by_page() {
    let it = Installation::start().await;
    let (ann, place) = it.pipeline(None).await;
    let mut runs = Vec::new();
    for _ in 0..5 {
        runs.push(ann.run(&place, json!({})).await);
        // Runs of one millisecond have no order of their own.
        it.clock.advance(std::time::Duration::from_millis(1));
    }
    runs.reverse();
    let (mut seen, mut cursor) = (Vec::new(), String::new());
    loop {
        let page = ann.get(&format!("/v1/pipelines/{}/runs?limit=2{cursor}", place.pipeline)).await;
        seen.extend(page["items"].as_array().unwrap().iter().map(|run| text(&run["id"])));
        let Some(next) = page["next_cursor"].as_str() else { break };
        cursor = format!("&cursor={next}");
    }
    assert_eq!(seen, runs);
    ann.expect(StatusCode::OK, Method::POST, &format!("/v1/runs/{}/cancel", runs[1]), None).await;
    let page = ann.get(&format!("/v1/teams/{}/runs?status=cancelled", place.team)).await;
    assert_eq!(page["items"].as_array().unwrap().len(), 1);
    assert_eq!(page["items"][0]["id"], json!(runs[1]));
}

#[tokio::test]
async fn what_cannot_run_is_refused() {
    let it = Installation::start().await;
    let ann = it.person("ann").await;
    let mut document = steps(json!({ "a": { "script": "a.lua" } }));
    document["params"] = json!({
        "type": "object",
        "properties": { "issue": { "type": "string", "pattern": "^(a+)+$" } },
        "required": ["issue"],
    });
    let place = ann.place(Some(document)).await;
    let path = format!("/v1/pipelines/{}/runs", place.pipeline);
    let start = |params: Value| ann.call(Method::POST, &path, Some(json!({ "params": params })));

    let (status, answer) = start(json!({})).await;
    assert_eq!((status, code(&answer)), (StatusCode::UNPROCESSABLE_ENTITY, "invalid_params"));
    assert_eq!(answer["errors"][0]["pointer"], "/params");
    let (_, answer) = start(json!({ "issue": 7 })).await;
    assert_eq!(answer["errors"][0]["pointer"], "/params/issue");
    // A pattern that would hang a backtracking engine.
    let (status, _) = start(json!({ "issue": format!("{}!", "a".repeat(50_000)) })).await;
    assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY);
    let (status, answer) = start(json!({ "issue": "a", "more": "x".repeat(1_100_000) })).await;
    assert_eq!((status, code(&answer)), (StatusCode::PAYLOAD_TOO_LARGE, "too_large"));
    let (status, _) = ann.call(Method::POST, &path, Some(json!({ "parms": {} }))).await;
    assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY);

    let unpublished = ann.pipeline_on(&place.board, "Draft").await;
    let path = format!("/v1/pipelines/{unpublished}/runs");
    let (status, answer) = ann.call(Method::POST, &path, Some(json!({}))).await;
    assert_eq!((status, code(&answer)), (StatusCode::CONFLICT, "conflict"));
    assert!(text(&answer["detail"]).contains("publish"), "{answer}");

    let board = format!("/v1/boards/{}", place.board);
    ann.expect(StatusCode::OK, Method::PATCH, &board, Some(json!({ "archived": true }))).await;
    let (status, answer) = start(json!({ "issue": "a" })).await;
    assert_eq!((status, code(&answer)), (StatusCode::CONFLICT, "conflict"), "{answer}");
    let page = ann.get(&format!("/v1/teams/{}/runs", place.team)).await;
    assert_eq!(page["items"], json!([]), "nothing is half-created");
}

#[tokio::test]
async fn a_repeated_start_is_one_run() {
    let it = Installation::start().await;
    let (ann, place) = it.pipeline(None).await;
    let path = format!("/v1/pipelines/{}/runs", place.pipeline);
    let start = |body: Value| {
        let request = ann.request(Method::POST, &path).header("idempotency-key", "once").json(&body);
        async { request.send().await.unwrap() }
    };
    let first: Value = start(json!({})).await.json().await.unwrap();
    let again = start(json!({})).await;
    assert_eq!(again.status(), StatusCode::ACCEPTED);
    assert_eq!(again.json::<Value>().await.unwrap()["id"], first["id"]);
    assert_eq!(start(json!({ "params": { "x": 1 } })).await.status(), StatusCode::UNPROCESSABLE_ENTITY);
    assert_eq!(ann.get(&path).await["items"].as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn a_team_queues_so_many_runs_and_no_more() {
    let it = Installation::start().await;
    let (ann, place) = it.pipeline(None).await;
    it.sql("UPDATE teams SET max_queued = 2").await;
    ann.run(&place, json!({})).await;
    ann.run(&place, json!({})).await;
    let path = format!("/v1/pipelines/{}/runs", place.pipeline);
    let (status, answer) = ann.call(Method::POST, &path, Some(json!({}))).await;
    assert_eq!((status, code(&answer)), (StatusCode::TOO_MANY_REQUESTS, "quota_exceeded"));
    assert!(text(&answer["detail"]).contains('2'), "{answer}");
}

#[tokio::test]
async fn admission_is_bounded_and_fair() {
    let it = Installation::start().await;
    let (ann, hers) = it.pipeline(None).await;
    let bob = it.person("bob").await;
    let his = bob.place(None).await;
    it.sql("UPDATE teams SET max_running = 2").await;
    let mut runs = Vec::new();
    for _ in 0..4 {
        runs.push(ann.run(&hers, json!({})).await);
    }
    bob.run(&his, json!({})).await;
    assert_eq!(dispatch::admit(&it.state).await.unwrap(), 3, "two of the one team, one of the other");
    assert_eq!(dispatch::admit(&it.state).await.unwrap(), 0);
    let executor = it.executor().await;
    let mut tasks = it.messages().await;
    let held = executor.claim(&tasks.remove(0)).await.unwrap();
    assert_eq!(held.plan["run_id"], json!(runs[0]), "the oldest goes first");
    assert_eq!(dispatch::admit(&it.state).await.unwrap(), 0, "a claimed task still takes its slot");
    held.reported(1, json!([run_finished("failed")])).await;
    assert_eq!(dispatch::admit(&it.state).await.unwrap(), 1);
}

fn limited(on_conflict: &str) -> Value {
    let mut document = steps(json!({ "a": { "script": "a.lua" } }));
    document["concurrency"] = json!({ "limit": 1, "on_conflict": on_conflict });
    document
}

#[tokio::test]
async fn a_pipelines_limit_makes_runs_wait_and_holds_up_no_other() {
    let it = Installation::start().await;
    let (ann, place) = it.pipeline(Some(limited("queue"))).await;
    ann.run(&place, json!({})).await;
    let second = ann.run(&place, json!({})).await;
    let other = Place { pipeline: ann.pipeline_on(&place.board, "Other").await, ..place };
    ann.publish(&other.pipeline, steps(json!({ "a": { "script": "a.lua" } }))).await;
    ann.run(&other, json!({})).await;
    assert_eq!(dispatch::admit(&it.state).await.unwrap(), 2);
    let first = it.executor().await.claim(&it.message().await).await.unwrap();
    it.messages().await;
    first.reported(1, json!([run_finished("failed")])).await;
    let held = it.executor().await.claim(&it.admitted().await).await.unwrap();
    assert_eq!(held.plan["run_id"], json!(second));
}

#[tokio::test]
async fn a_pipelines_limit_can_skip_or_take_the_place() {
    let it = Installation::start().await;
    let (ann, place) = it.pipeline(Some(limited("skip"))).await;
    let first = ann.run(&place, json!({})).await;
    let second = ann.run(&place, json!({})).await;
    assert_eq!((ann.status(&first).await, ann.status(&second).await), ("queued".into(), "cancelled".into()));
    assert_eq!(ann.kinds(&second).await, ["run.queued", "run.finished"]);

    ann.publish(&place.pipeline, limited("cancel_running")).await;
    let third = ann.run(&place, json!({})).await;
    assert_eq!((ann.status(&first).await, ann.status(&third).await), ("cancelled".into(), "queued".into()));
    assert_eq!(dispatch::admit(&it.state).await.unwrap(), 1);
}

#[tokio::test]
async fn a_stranger_finds_nothing() {
    let it = Installation::start().await;
    let scene = it.claimed(None).await;
    let (_, answer) = scene.held.artifact("k", "x.txt", b"x").await;
    let artifact = text(&answer["ok"]["id"]);
    let eve = it.person("eve").await;
    let Scene { ann, run, place, .. } = scene;
    let runs = format!("/v1/pipelines/{}/runs", place.pipeline);
    for (method, path) in [
        (Method::GET, runs.clone()),
        (Method::POST, runs),
        (Method::GET, format!("/v1/teams/{}/runs", place.team)),
        (Method::GET, format!("/v1/runs/{run}")),
        (Method::GET, format!("/v1/runs/{run}/steps")),
        (Method::POST, format!("/v1/runs/{run}/cancel")),
        (Method::GET, format!("/v1/runs/{run}/events")),
        (Method::GET, format!("/v1/runs/{run}/artifacts")),
        (Method::GET, format!("/v1/runs/{run}/artifacts/{artifact}")),
    ] {
        let body = (method == Method::POST).then(|| json!({}));
        let (status, answer) = eve.call(method.clone(), &path, body.clone()).await;
        assert_eq!((status, code(&answer)), (StatusCode::NOT_FOUND, "not_found"), "{path}");
        let nobody = Person { token: String::new(), ..eve.clone() };
        assert_eq!(nobody.call(method, &path, body).await.0, StatusCode::UNAUTHORIZED, "{path}");
    }
    assert_eq!(ann.status(&run).await, "running");
}

#[tokio::test]
async fn artifacts_are_attachments() {
    let it = Installation::start().await;
    let Scene { ann, run, held, .. } = it.claimed(None).await;
    let page = b"<script>alert(1)</script>";
    let (status, kept) = held.artifact("k", "re\u{fc}port.html", page).await;
    assert_eq!(status, StatusCode::OK, "{kept}");
    assert_eq!(held.artifact("k", "re\u{fc}port.html", page).await.1, kept, "a repeat gives the stored answer");
    for bad in ["", "../x", "a/b", ".hidden", "a\nb"] {
        assert_eq!(held.artifact("k2", bad, b"x").await.1["refused"]["code"], "artifact_bad_name", "{bad:?}");
    }
    let list = ann.get(&format!("/v1/runs/{run}/artifacts")).await;
    let artifact = &list["items"][0];
    assert_eq!((&artifact["name"], &artifact["bytes"]), (&json!("re\u{fc}port.html"), &json!(page.len())));
    let path = format!("/v1/runs/{run}/artifacts/{}", text(&artifact["id"]));
    let response = ann.request(Method::GET, &path).send().await.unwrap();
    let header = |name: &str| response.headers()[name].to_str().unwrap().to_owned();
    assert_eq!(header("content-disposition"), "attachment; filename*=UTF-8''re%C3%BCport.html");
    assert_eq!(header("x-content-type-options"), "nosniff");
    assert_eq!(header("content-type"), "application/octet-stream");
    assert!(header("content-security-policy").contains("sandbox"));
    assert_eq!(&response.bytes().await.unwrap()[..], page);
}

#[tokio::test]
async fn one_replica_at_a_time_admits() {
    let it = Installation::start().await;
    let (ann, place) = it.pipeline(None).await;
    let mut other = it.state.clone();
    other.domain.replica = it.state.ambient.uuid();
    ann.run(&place, json!({})).await;
    assert_eq!(dispatch::admit(&it.state).await.unwrap(), 1);
    ann.run(&place, json!({})).await;
    assert_eq!(dispatch::admit(&other).await.unwrap(), 0);
    assert_eq!(dispatch::admit(&it.state).await.unwrap(), 1);
    // The first is silent: the other takes over.
    it.clock.advance(std::time::Duration::from_secs(11));
    ann.run(&place, json!({})).await;
    assert_eq!(dispatch::admit(&other).await.unwrap(), 1);
    ann.run(&place, json!({})).await;
    assert_eq!(dispatch::admit(&it.state).await.unwrap(), 0);
}

#[tokio::test]
async fn a_version_that_is_published_no_more_is_not_started() {
    let it = Installation::start().await;
    let (ann, place) = it.pipeline(None).await;
    let (team, pipeline) = (place.team.parse().unwrap(), place.pipeline.parse().unwrap());
    let read = it.state.db.team_read(team).await.unwrap();
    let prepared = start::prepare(&it.state, read, pipeline, serde_json::Map::new()).await.unwrap();
    // Between the choice and the start.
    ann.publish(&place.pipeline, steps(json!({ "other": { "script": "a.lua" } }))).await;
    let user = text(&ann.get("/v1/me").await["id"]).parse().unwrap();
    let mut tx = it.state.db.begin_team_exclusive(team, Durability::Fsync).await.unwrap();
    let starter = Starter::Manual { user, by: CallerKind::User, token: None };
    let refused = start::start(&it.state, &mut tx, prepared, &starter).await.unwrap_err();
    assert!(matches!(refused, DomainError::ConcurrentChange), "it is chosen again: {refused}");
    drop(tx);
    assert_eq!(it.count("SELECT count(*) FROM runs").await, 0);
    let run = ann.run(&place, json!({})).await;
    assert_eq!(ann.get(&format!("/v1/runs/{run}")).await["version"], 2);
}
