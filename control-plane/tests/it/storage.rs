//! What a team stores: counted by whatever writes, held to its limit, given back, repaired, reported.

use std::time::Duration;

use reqwest::{Method, StatusCode};
use restroy_control_plane::{
    runs::{purge, retention::RetentionSweeper, storage as count},
    store::{
        quota::{self, Limit},
        storage,
    },
};
use serde_json::{Value, json};

use crate::runs_support::*;

const DAY: Duration = Duration::from_hours(24);

async fn give(it: &Installation, team: &str, limit: Limit, value: i64) {
    let known = quota::set(&it.state.db, &it.state.ambient, team.parse().unwrap(), &[(limit, Some(value))]).await;
    assert!(known.unwrap(), "there is no such team");
}

/// What the API says that a team stores.
async fn stored(ann: &Person, team: &str) -> Value {
    ann.get(&format!("/v1/teams/{team}/usage")).await["storage"].clone()
}

fn bytes(stored: &Value, field: &str) -> i64 {
    stored[field].as_i64().unwrap_or_else(|| panic!("{field} in {stored}"))
}

/// Holds the count against what is there, part by part: nothing may have to be repaired.
async fn assert_counted(it: &Installation) {
    count::fold(&it.state).await.unwrap();
    it.sql("UPDATE team_storage SET recounted_at = -100000000000000").await;
    let mut parts = 0;
    while let Some(drift) = storage::recount(&it.state.db, &it.state.ambient).await.unwrap() {
        assert_eq!(drift, 0, "part {parts}");
        parts += 1;
    }
    assert!(parts > 0);
}

fn finished_with(output: &str) -> Value {
    json!({ "type": "step.finished", "step": "a", "attempt": 1, "status": "succeeded", "output": output })
}

/// Does something of every kind that takes room.
async fn write_everything(it: &std::sync::Arc<Installation>) -> Scene {
    let scene = it.claimed(None).await;
    let Scene { ann, place, held, .. } = &scene;
    held.reported(1, json!([started("a")])).await;
    held.called("set", json!({ "method": "kv_set", "key": "k", "value": "v".repeat(1_000) })).await;
    held.called("mail", json!({ "method": "email_send", "to": ["a@b.c"], "subject": "S", "text": "T".repeat(2_000) }))
        .await;
    for size in [10_000, 3_000] {
        let (status, answer) = held.artifact(&format!("f{size}"), "f", &vec![1; size]).await;
        assert_eq!(status, StatusCode::OK, "{answer}");
    }
    held.reported(2, json!([printed("a", 1, &"x".repeat(5_000)), finished_with(&"o".repeat(4_000))])).await;
    let board = format!("/v1/boards/{}", place.board);
    let secret = json!({ "value": "s".repeat(6_000), "secret": true });
    ann.expect(StatusCode::OK, Method::PUT, &format!("{board}/configuration/KEY"), Some(secret)).await;
    let module = json!({ "name": "name", "source": format!("return '{}'", "m".repeat(7_000)) });
    ann.expect(StatusCode::CREATED, Method::POST, &format!("/v1/teams/{}/library", place.team), Some(module)).await;
    let again = ann.request(Method::POST, &format!("/v1/pipelines/{}/runs", place.pipeline));
    let again = again.header("idempotency-key", "once").json(&json!({ "params": { "p": "p".repeat(8_000) } }));
    assert_eq!(answer(again).await.0, StatusCode::ACCEPTED);
    scene
}

#[tokio::test]
async fn every_kind_of_row_is_counted_and_given_back() {
    let it = Installation::start().await;
    let Scene { ann, place, held, run, .. } = write_everything(&it).await;
    let before = stored(&ann, &place.team).await;
    for (field, least) in [
        ("run_bytes", 3_000 + 5_000 + 2 * 4_000 + 8_000),
        ("kv_bytes", 1_000),
        ("configuration_bytes", 6_000),
        ("version_bytes", 7_000),
        ("email_bytes", 2_000),
        ("answer_bytes", 100),
    ] {
        let found = bytes(&before, field);
        assert!((least..least + 16_000).contains(&found), "{field}: {found}");
    }
    assert!(bytes(&before, "answer_bytes") < 3_000, "the parameters are not kept twice");
    assert_eq!(bytes(&before, "limit"), 1 << 30);
    assert_eq!(before["near_limit"], false);
    assert_counted(&it).await;
    assert_eq!(stored(&ann, &place.team).await, before, "folding changes nothing");

    ann.expect(StatusCode::NO_CONTENT, Method::DELETE, &format!("/v1/boards/{}/kv/k", place.board), None).await;
    held.reported(3, json!([run_finished("succeeded")])).await;
    ann.expect(StatusCode::NO_CONTENT, Method::DELETE, &format!("/v1/runs/{run}"), None).await;
    RetentionSweeper::default().pass(&it.state, 100).await.unwrap();
    ann.expect(StatusCode::NO_CONTENT, Method::DELETE, &format!("/v1/teams/{}/library/name", place.team), None).await;
    it.clock.advance(31 * DAY);
    while purge::step(&it.state).await.unwrap() > 0 {}
    assert_counted(&it).await;
    let ann = ann.login("ann").await;
    let after = stored(&ann, &place.team).await;
    for field in ["kv_bytes", "email_bytes", "answer_bytes", "artifact_bytes"] {
        assert_eq!(bytes(&after, field), 0, "{field}");
    }
    assert!(bytes(&after, "run_bytes") < bytes(&before, "run_bytes") - 20_000, "{after}");
    assert!(bytes(&after, "bytes") < bytes(&before, "bytes") - 30_000, "{after}");
}

#[tokio::test]
async fn at_the_limit_nothing_of_any_kind_is_written() {
    let it = Installation::start().await;
    let Scene { ann, place, held, .. } = it.claimed(None).await;
    held.reported(1, json!([started("a")])).await;
    let used = bytes(&stored(&ann, &place.team).await, "bytes");
    give(&it, &place.team, Limit::StorageBytes, used + 20_000).await;
    let much = "x".repeat(30_000);
    let put = async |method, path: String, body: Value| {
        let problem = ann.expect(StatusCode::TOO_MANY_REQUESTS, method, &path, Some(body)).await;
        assert_eq!(
            (&problem["code"], &problem["limit"]["name"]),
            (&json!("quota_exceeded"), &json!("storage_bytes")),
            "{path}"
        );
        let detail = problem["detail"].as_str().unwrap();
        assert!(detail.contains("storage_bytes") && detail.contains("Delete runs"), "{detail}");
    };
    put(Method::POST, format!("/v1/pipelines/{}/runs", place.pipeline), json!({ "params": { "p": much } })).await;
    let definition = json!({ "definition": steps(json!({ "a": { "script": "a.lua" } })), "files": { "a.lua": much } });
    put(Method::PUT, format!("/v1/pipelines/{}/definition", place.pipeline), definition).await;
    put(Method::POST, format!("/v1/teams/{}/library", place.team), json!({ "name": "name", "source": much })).await;
    let kv = format!("/v1/boards/{}/kv/k", place.board);
    let problem = ann.expect(StatusCode::TOO_MANY_REQUESTS, Method::PUT, &kv, Some(json!({ "value": much }))).await;
    assert_eq!(problem["code"], "quota_exceeded");
    for n in 0..3 {
        let value = json!({ "value": "v".repeat(8_000) });
        let (status, answer) =
            ann.call(Method::PUT, &format!("/v1/boards/{}/configuration/KEY{n}", place.board), Some(value)).await;
        assert_eq!(status.is_success(), n < 2, "{answer}");
    }
    // Scripts can catch it; nothing is written all the same.
    let set = json!({ "method": "kv_set", "key": "k", "value": much });
    assert_eq!(held.refused("s", set).await, "quota_exceeded");
    let mail = json!({ "method": "email_send", "to": ["a@b.c"], "subject": "S", "text": much });
    assert_eq!(held.refused("m", mail).await, "quota_exceeded");
    let (_, refused) = held.artifact("f", "f", much.as_bytes()).await;
    assert_eq!(refused["refused"]["code"], "quota_exceeded");
    assert_counted(&it).await;
    let now = bytes(&stored(&ann, &place.team).await, "bytes");
    assert!(now <= used + 20_000, "{now}");
}

#[tokio::test]
async fn a_run_that_passes_the_limit_ends_and_leaves_nothing_of_the_batch() {
    let it = Installation::start().await;
    let Scene { ann, place, held, run, .. } = it.claimed(None).await;
    held.reported(1, json!([started("a")])).await;
    let used = bytes(&stored(&ann, &place.team).await, "bytes");
    give(&it, &place.team, Limit::StorageBytes, used + 10_000).await;
    let (status, answer) = held.report(2, json!([finished_with(&"o".repeat(20_000))])).await;
    assert_eq!((status, answer["status"].as_i64()), (StatusCode::CONFLICT, Some(409)), "{answer}");
    let ended = ann.get(&format!("/v1/runs/{run}")).await;
    assert_eq!((&ended["status"], &ended["error"]["code"]), (&json!("failed"), &json!("quota_exceeded")));
    let message = ended["error"]["message"].as_str().unwrap();
    assert!(message.contains("storage_bytes") && message.contains(&(used + 10_000).to_string()), "{message}");
    let now = bytes(&stored(&ann, &place.team).await, "bytes");
    assert!(now < used + 5_000, "{now}");
    // What is deleted makes room again.
    ann.expect(StatusCode::NO_CONTENT, Method::DELETE, &format!("/v1/runs/{run}"), None).await;
    RetentionSweeper::default().pass(&it.state, 100).await.unwrap();
    assert!(bytes(&stored(&ann, &place.team).await, "bytes") < used);
    ann.run(&place, json!({})).await;
}

#[tokio::test]
async fn drift_is_repaired_and_what_is_written_meanwhile_stays_counted() {
    let it = Installation::start().await;
    let Scene { ann, place, .. } = write_everything(&it).await;
    count::fold(&it.state).await.unwrap();
    let right = stored(&ann, &place.team).await;
    it.sql("UPDATE team_storage SET bytes = bytes + 1000 * length(part), recounted_at = -100000000000000").await;
    assert_ne!(stored(&ann, &place.team).await, right);
    count::pass(&it.state).await.unwrap();
    assert_eq!(stored(&ann, &place.team).await, right);
    assert_eq!(storage::recount(&it.state.db, &it.state.ambient).await.unwrap(), None, "once a day is enough");
    // What was not folded when it was recounted is counted once.
    it.sql("UPDATE team_storage SET bytes = bytes - 5, recounted_at = -100000000000000 WHERE part = 'runs'").await;
    ann.run(&place, json!({ "p": "p".repeat(1_000) })).await;
    count::pass(&it.state).await.unwrap();
    assert_counted(&it).await;
}

#[tokio::test]
async fn owners_are_notified_once_per_crossing() {
    let it = Installation::start().await;
    let (ann, place) = it.pipeline(None).await;
    count::fold(&it.state).await.unwrap();
    let told = "SELECT count(*) FROM outbox WHERE team_id IS NULL AND recipients = '[\"ann@example.com\"]'
                AND subject LIKE '%storage%'";
    let used = bytes(&stored(&ann, &place.team).await, "bytes");
    for (limit, near, mails) in [
        (used * 2, false, 0),
        (used * 10 / 8, true, 1),
        (used * 10 / 9, true, 1),
        (used * 10 / 7, false, 1),
        (used * 2, false, 1),
        (used, true, 2),
    ] {
        give(&it, &place.team, Limit::StorageBytes, limit).await;
        count::pass(&it.state).await.unwrap();
        assert_eq!(it.count(told).await, mails, "{limit} of {used}");
        assert_eq!(stored(&ann, &place.team).await["near_limit"], near, "{limit} of {used}");
    }
}

#[tokio::test]
async fn starts_are_limited_by_the_hour_and_skipped_ones_keep_nothing() {
    let it = Installation::start().await;
    let mut document = steps(json!({ "a": { "script": "a.lua" } }));
    document["concurrency"] = json!({ "limit": 1, "on_conflict": "skip" });
    let (ann, place) = it.pipeline(Some(document)).await;
    give(&it, &place.team, Limit::StartsPerHour, 5).await;
    ann.run(&place, json!({})).await;
    let before = bytes(&stored(&ann, &place.team).await, "bytes");
    let path = format!("/v1/pipelines/{}/runs", place.pipeline);
    let start = async |n: usize| {
        let request = ann.request(Method::POST, &path).header("idempotency-key", format!("k{n}"));
        answer(request.json(&json!({ "params": { "p": "p".repeat(500_000) } }))).await
    };
    for n in 0..4 {
        let (status, run) = start(n).await;
        assert_eq!((status, &run["status"]), (StatusCode::ACCEPTED, &json!("cancelled")), "{run}");
        assert_eq!(start(n).await.1["id"], run["id"], "a repeat is none");
        assert_eq!(ann.get(&format!("/v1/runs/{}", text(&run["id"]))).await["params"], json!({}));
    }
    assert!(bytes(&stored(&ann, &place.team).await, "bytes") < before + 40_000, "four runs with nothing in them");
    let response = ann.request(Method::POST, &path).json(&json!({})).send().await.unwrap();
    assert_eq!(response.status(), StatusCode::TOO_MANY_REQUESTS);
    assert!(response.headers().contains_key("retry-after"));
    let problem: Value = response.json().await.unwrap();
    assert_eq!((&problem["code"], &problem["limit"]["name"]), (&json!("quota_exceeded"), &json!("starts_per_hour")));
    it.clock.advance(Duration::from_hours(1));
    let ann = ann.login("ann").await;
    ann.run(&place, json!({})).await;
}

#[tokio::test]
async fn an_entry_of_the_audit_log_is_bounded() {
    let it = Installation::start().await;
    let (ann, place) = it.pipeline(None).await;
    let path = format!("/v1/boards/{}/configuration/KEY", place.board);
    for n in 0..3 {
        let value = json!({ "value": n.to_string().repeat(8_000) });
        ann.expect(StatusCode::OK, Method::PUT, &path, Some(value)).await;
    }
    let longest = "SELECT CAST(max(octet_length(details) + octet_length(coalesce(state_before, ''))
                   + octet_length(coalesce(state_after, ''))) AS BIGINT) FROM audit_log";
    assert!(it.count(longest).await < 2_000);
    let log = ann.get(&format!("/v1/teams/{}/audit?action=configuration.set", place.team)).await;
    let cut = log["items"][0]["after"]["value"].as_str().unwrap();
    assert!(cut.starts_with("222") && cut.ends_with("(8000 bytes)"), "{cut}");
}
