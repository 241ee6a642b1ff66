//! What a team may use, what it used, and what happens at the limit.

use std::time::Duration;

use reqwest::{Method, StatusCode};
use restroy_control_plane::{
    store::quota::{self, Limit},
    store::sort::AgeOrder,
    store::usage::{USAGE_KEPT, list},
};
use restroy_sdk::time::Timestamp;
use serde_json::{Value, json};

use crate::runs_support::*;

const GIB: i64 = 1 << 30;

/// Gives the team so much of it.
async fn give(it: &Installation, team: &str, limit: Limit, value: i64) {
    let known = quota::set(&it.state.db, &it.state.ambient, team.parse().unwrap(), &[(limit, Some(value))]).await;
    assert!(known.unwrap(), "there is no such team");
}

/// An attempt that ended and used fuel.
fn finished_with(step: &str, fuel: i64) -> Value {
    let usage = json!({
        "fuel": fuel, "cpu_ms": 3, "wall_ms": 5, "memory_peak": 1, "host_calls": 0, "bytes_in": 0, "bytes_out": 0,
    });
    json!({
        "type": "step.finished", "step": step, "attempt": 1, "status": "succeeded", "output": 1, "usage": usage,
    })
}

async fn value(ann: &Person, team: &str, name: &str) -> i64 {
    let limits = ann.get(&format!("/v1/teams/{team}/limits")).await;
    let limits = limits["limits"].as_array().unwrap();
    limits.iter().find(|limit| limit["name"] == name).unwrap()["value"].as_i64().unwrap()
}

#[tokio::test]
async fn a_team_sees_its_limits_and_the_operator_sets_them() {
    let it = Installation::start().await;
    let (ann, place) = it.pipeline(None).await;
    let limits = ann.get(&format!("/v1/teams/{}/limits", place.team)).await;
    assert_eq!(limits["plan"], "default");
    for (name, default) in [
        ("runs_at_once", 5),
        ("runs_queued", 1_000),
        ("emails_per_day", 200),
        ("egress_bytes_per_hour", GIB),
        ("version_bytes", GIB),
        ("fuel_per_day", 10_000_000_000_000),
    ] {
        assert_eq!(value(&ann, &place.team, name).await, default, "{name}");
    }
    for limit in Limit::ALL {
        give(&it, &place.team, *limit, limit.maximum().min(7)).await;
        assert_eq!(value(&ann, &place.team, limit.name()).await, limit.maximum().min(7), "{}", limit.name());
    }
    let team = place.team.parse().unwrap();
    quota::set(&it.state.db, &it.state.ambient, team, &[(Limit::RunsAtOnce, None), (Limit::FuelPerDay, None)])
        .await
        .unwrap();
    assert_eq!(value(&ann, &place.team, "runs_at_once").await, 5);
    assert_eq!(value(&ann, &place.team, "fuel_per_day").await, 10_000_000_000_000);
    assert_eq!(value(&ann, &place.team, "emails_per_day").await, 7);
    let nobody = it.state.ambient.id();
    assert!(!quota::set(&it.state.db, &it.state.ambient, nobody, &[(Limit::FuelPerDay, Some(1))]).await.unwrap());
    let told = it.count("SELECT count(*) FROM audit_log WHERE action = 'team.limits' AND user_id IS NULL").await;
    assert_eq!(usize::try_from(told).unwrap(), Limit::ALL.len() + 1);
}

#[tokio::test]
async fn a_run_sends_so_many_emails_and_the_error_names_the_limit() {
    let it = Installation::start().await;
    let Scene { ann, place, held, executor, .. } = it.claimed(None).await;
    give(&it, &place.team, Limit::EmailsPerRun, 3).await;
    let mail = |to: &[&str]| json!({ "method": "email_send", "to": to, "subject": "S", "text": "T" });
    held.called("m1", mail(&["a@b.c", "d@e.f"])).await;
    held.called("m1", mail(&["a@b.c", "d@e.f"])).await; // a repeat is none
    let (_, answer) = held.call("m2", mail(&["a@b.c", "d@e.f"])).await;
    assert_eq!(answer["refused"]["code"], "quota_exceeded");
    let message = text(&answer["refused"]["message"]);
    assert!(message.contains("`emails_per_run`, is 3;") && message.contains("would be 4"), "{message}");
    held.called("m3", mail(&["a@b.c"])).await;
    assert_eq!(held.refused("m4", mail(&["a@b.c"])).await, "quota_exceeded");
    // Another run begins anew.
    ann.run(&place, json!({})).await;
    let held = executor.claim(&it.admitted().await).await.expect("the task is claimed");
    held.called("m5", mail(&["a@b.c"])).await;
    assert_eq!(it.count("SELECT count(*) FROM outbox").await, 3);
}

#[tokio::test]
async fn what_is_used_is_counted_by_the_hour() {
    let it = Installation::start().await;
    let Scene { ann, place, held, .. } = it
        .claimed(Some(steps(json!({
            "a": { "script": "a.lua", "allow": { "email": true } }, "b": { "script": "b.lua" }
        }))))
        .await;
    let mail = json!({ "method": "email_send", "to": ["a@b.c", "d@e.f"], "subject": "S", "text": "T" });
    held.reported(1, json!([started("a")])).await;
    held.called("m", mail.clone()).await;
    held.called("m", mail).await; // a repeat is none
    held.reported(2, json!([finished_with("a", 40)])).await;
    held.reported(2, json!([finished_with("a", 40)])).await; // nor is a repost
    it.clock.advance(Duration::from_secs(20));
    held.renew().await;
    let batch = json!({ "n": 3, "engine_id": "test", "events": [started("b")], "egress_bytes": 1_000 });
    let request = held.http.post(format!("{}/events", held.base)).bearer_auth(&held.token).json(&batch);
    let (status, reply) = answer(request).await;
    assert_eq!(status, StatusCode::OK, "{reply}");
    assert_eq!(reply["egress_left"], GIB - 1_000);
    // Past the hour, in steps that the lease lives through.
    for _ in 0..180 {
        it.clock.advance(Duration::from_secs(20));
        assert_eq!(held.renew().await.0, StatusCode::OK);
    }
    held.reported(4, json!([finished_with("b", 2), run_finished("succeeded")])).await;
    let ann = ann.login("ann").await;
    let usage = ann.get(&format!("/v1/teams/{}/usage?limit=1", place.team)).await;
    let first = &usage["items"][0];
    assert_eq!(first["hour"], "2026-01-01T00:00:00.000000Z");
    for (field, used) in
        [("runs", 1), ("steps", 1), ("fuel", 40), ("cpu_ms", 3), ("emails", 2), ("egress_bytes", 1_000)]
    {
        assert_eq!(first[field], used, "{field}");
    }
    let cursor = usage["next_cursor"].as_str().expect("there is another hour");
    let next = ann.get(&format!("/v1/teams/{}/usage?limit=1&cursor={cursor}", place.team)).await;
    assert_eq!(
        (&next["items"][0]["fuel"], &next["items"][0]["runs"], &next["next_cursor"]),
        (&json!(2), &json!(0), &Value::Null)
    );
    assert!(next["storage"]["event_bytes"].as_i64().unwrap() > 0);
    let within =
        async |from: &str, to: &str| ann.get(&format!("/v1/teams/{}/usage?from={from}&to={to}", place.team)).await;
    assert_eq!(within("2026-01-01T00:30:00Z", "2026-01-01T01:00:00Z").await["items"].as_array().unwrap().len(), 1);
    assert_eq!(within("2026-01-01T01:00:00Z", "2026-01-02T00:00:00Z").await["items"].as_array().unwrap().len(), 1);
    assert!(within("2026-01-03T00:00:00Z", "2026-01-01T00:00:00Z").await["items"].as_array().unwrap().is_empty());
    // In the end it goes.
    it.clock.advance(USAGE_KEPT);
    runs_purge(&it).await;
    assert_eq!(it.count("SELECT count(*) FROM usage").await, 0);
}

async fn runs_purge(it: &Installation) {
    restroy_control_plane::runs::purge::step(&it.state).await.unwrap();
}

#[tokio::test]
async fn without_fuel_nothing_starts_until_some_is_free() {
    let it = Installation::start().await;
    let Scene { ann, place, held, .. } = it.claimed(None).await;
    give(&it, &place.team, Limit::FuelPerDay, 100).await;
    held.reported(1, json!([started("a"), finished_with("a", 100), run_finished("succeeded")])).await;
    let path = format!("/v1/pipelines/{}/runs", place.pipeline);
    let response = ann.request(Method::POST, &path).json(&json!({})).send().await.unwrap();
    assert_eq!(response.status(), StatusCode::TOO_MANY_REQUESTS);
    assert_eq!(response.headers()["retry-after"], (24 * 3600).to_string().as_str());
    let problem: Value = response.json().await.unwrap();
    assert_eq!(problem["code"], "quota_exceeded");
    let hit = json!({ "name": "fuel_per_day", "value": 100, "free_at": "2026-01-02T00:00:00.000000Z" });
    assert_eq!(problem["limit"], hit);
    it.clock.advance(Duration::from_hours(24));
    let ann = ann.login("ann").await;
    ann.run(&place, json!({})).await;
}

#[tokio::test]
async fn a_run_ends_when_the_team_has_no_fuel_left() {
    let it = Installation::start().await;
    let two = steps(json!({ "a": { "script": "a.lua" }, "b": { "script": "b.lua", "needs": ["a"] } }));
    let Scene { ann, run, place, held, .. } = it.claimed(Some(two)).await;
    give(&it, &place.team, Limit::FuelPerDay, 1_500_000_000).await;
    held.reported(1, json!([started("a")])).await;
    let (status, answer) = held.report(2, json!([finished_with("a", 2_000_000_000)])).await;
    assert_eq!((status, &answer["code"]), (StatusCode::CONFLICT, &json!("run_ended")));
    let run = ann.get(&format!("/v1/runs/{run}")).await;
    assert_eq!((&run["status"], &run["error"]["code"]), (&json!("failed"), &json!("quota_exceeded")));
    assert!(run["error"]["message"].as_str().unwrap().contains("fuel_per_day"), "{run}");
    // What the step did is recorded: it had ended.
    let steps = ann.get(&format!("/v1/runs/{}/steps?status=succeeded", run["id"].as_str().unwrap())).await;
    assert_eq!(steps["items"].as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn executors_receive_the_remaining_egress() {
    let it = Installation::start().await;
    let (ann, place) = it.pipeline(None).await;
    give(&it, &place.team, Limit::EgressBytesPerHour, 1_000).await;
    ann.run(&place, json!({})).await;
    let executor = it.executor().await;
    let task = it.admitted().await;
    let claim = json!({ "protocol": 1, "engine_id": "test" });
    let (_, claimed) = executor.post(&format!("/tasks/{task}/claim"), claim).await;
    assert_eq!(claimed["egress_left"], 1_000);
    let report = |n: i64, bytes: i64, events: Value| {
        let batch = json!({ "n": n, "engine_id": "test", "events": events, "egress_bytes": bytes });
        let url = format!("{}/tasks/{task}/events", executor.base);
        answer(executor.http.post(url).bearer_auth(claimed["token"].as_str().unwrap()).json(&batch))
    };
    assert_eq!(report(1, 400, json!([started("a")])).await.1["egress_left"], 600);
    let more = report(2, 700, json!([printed("a", 1, "x")])).await.1;
    assert_eq!(more["egress_left"], 0, "never less than nothing");
    assert_eq!(report(2, 700, json!([printed("a", 1, "x")])).await.1["egress_left"], 0, "counted once");
    let team = place.team.parse().unwrap();
    let mut tx = it.state.db.team_read(team).await.unwrap();
    let hours = list(&mut tx, Timestamp(0), it.state.ambient.now(), AgeOrder::Oldest, None, 10).await.unwrap();
    assert!(hours.is_empty(), "the hour begins at this very moment, which is not before it");
    let hours =
        list(&mut tx, Timestamp(0), it.state.ambient.now().after(Duration::from_secs(1)), AgeOrder::Oldest, None, 10)
            .await
            .unwrap();
    assert_eq!(hours[0].egress_bytes, 1_100);
}

#[tokio::test]
async fn runs_at_once_and_in_the_queue_are_the_operators_to_set() {
    let it = Installation::start().await;
    let (ann, place) = it.pipeline(None).await;
    give(&it, &place.team, Limit::RunsQueued, 2).await;
    give(&it, &place.team, Limit::RunsAtOnce, 1).await;
    ann.run(&place, json!({})).await;
    ann.run(&place, json!({})).await;
    let path = format!("/v1/pipelines/{}/runs", place.pipeline);
    let problem = ann.expect(StatusCode::TOO_MANY_REQUESTS, Method::POST, &path, Some(json!({}))).await;
    assert_eq!((&problem["code"], &problem["limit"]["name"]), (&json!("quota_exceeded"), &json!("runs_queued")));
    assert_eq!(problem["limit"]["value"], 2);
    restroy_control_plane::runs::dispatch::admit(&it.state).await.unwrap();
    assert_eq!(it.messages().await.len(), 1);
}

#[tokio::test]
async fn what_is_kept_is_held_to_the_teams_limits() {
    let it = Installation::start().await;
    let (ann, place) = it.pipeline(None).await;
    let of = |n: usize| {
        let named = (0..n).map(|n| (format!("s{n}"), json!({ "script": "a.lua" })));
        steps(named.collect::<serde_json::Map<_, _>>())
    };
    let path = format!("/v1/pipelines/{}/definition", place.pipeline);
    let put = async |document: Value, source: &str| {
        let body = json!({ "definition": document, "files": { "a.lua": source } });
        ann.call(Method::PUT, &path, Some(body)).await
    };
    let places = |answer: &Value| answer["errors"].as_array().map_or(0, Vec::len);
    for (limit, most) in [(Limit::StepsPerPipeline, 2), (Limit::SourceBytes, 10)] {
        give(&it, &place.team, limit, most).await;
    }
    assert_eq!(put(of(2), "return 123").await.0, StatusCode::OK);
    let (status, answer) = put(of(3), "return 1234").await;
    assert_eq!((status, places(&answer)), (StatusCode::UNPROCESSABLE_ENTITY, 2), "{answer}");
    let detail = answer.to_string();
    assert!(detail.contains("a pipeline has at most 2") && detail.contains("at most 10"), "{detail}");
    let library = format!("/v1/teams/{}/library", place.team);
    let module = |source: &str| Some(json!({ "name": "text", "source": source }));
    let invalid = StatusCode::UNPROCESSABLE_ENTITY;
    ann.expect(invalid, Method::POST, &library, module("return 1234")).await;
    ann.expect(StatusCode::CREATED, Method::POST, &library, module("return 123")).await;
    // A team that has more than the plan gives.
    give(&it, &place.team, Limit::StepsPerPipeline, 120).await;
    give(&it, &place.team, Limit::SourceBytes, 300_000).await;
    assert_eq!(put(of(120), &format!("--{}", "x".repeat(299_000))).await.0, StatusCode::OK);
    assert_eq!(put(of(121), "return 1").await.0, StatusCode::UNPROCESSABLE_ENTITY);

    give(&it, &place.team, Limit::KvValueBytes, 8).await;
    give(&it, &place.team, Limit::KvStoreBytes, 20).await;
    let key = |key: &str| format!("/v1/boards/{}/kv/{key}", place.board);
    let refused = async |name: &str, value: &str| {
        let (status, answer) = ann.call(Method::PUT, &key(name), Some(json!({ "value": value }))).await;
        assert!(status.is_client_error(), "{name} {value}: {status} {answer}");
        answer.to_string()
    };
    assert!(refused("a", "1234567").await.contains("at most 8 bytes"));
    ann.expect(StatusCode::OK, Method::PUT, &key("a"), Some(json!({ "value": "123456" }))).await;
    ann.expect(StatusCode::OK, Method::PUT, &key("b"), Some(json!({ "value": "123456" }))).await;
    assert!(refused("c", "123456").await.contains("at most 20 bytes"));
    give(&it, &place.team, Limit::KvStoreBytes, 27).await;
    ann.expect(StatusCode::OK, Method::PUT, &key("c"), Some(json!({ "value": "123456" }))).await;
}

#[tokio::test]
async fn an_executor_receives_a_teams_own_step_limits() {
    let it = Installation::start().await;
    let Scene { ann, place, held, .. } = it.claimed(None).await;
    let defaults: serde_json::Map<_, _> =
        Limit::ALL.iter().map(|limit| (limit.name().to_owned(), json!(limit.default()))).collect();
    assert_eq!(held.plan["limits"], json!(defaults), "all of them, whole");
    held.reported(1, json!([started("a"), finished("a"), run_finished("succeeded")])).await;
    for (limit, value) in [
        (Limit::StepFuel, 7),
        (Limit::StepMemoryBytes, 64 << 20),
        (Limit::HttpRedirects, 3),
        (Limit::ItemsPerForEach, 5),
        (Limit::EmailsPerDay, 1),
        (Limit::RunsAtOnce, 3),
    ] {
        give(&it, &place.team, limit, value).await;
    }
    ann.run(&place, json!({})).await;
    let held = it.executor().await.claim(&it.admitted().await).await.expect("the task is claimed");
    for (name, value) in [
        ("step_fuel", 7),
        ("step_memory_bytes", 64 << 20),
        ("http_redirects", 3),
        ("items_per_for_each", 5),
        ("runs_at_once", 3),
    ] {
        assert_eq!(held.plan["limits"][name], value, "{name}");
    }
    assert_eq!(held.plan["limits"]["step_wall_ms"], Limit::StepWallMs.default());
}
