//! What a run says about what started it.

use std::time::Duration;

use reqwest::{Method, StatusCode};
use restroy_control_plane::runs::schedule::fire_due;
use serde_json::{Value, json};

use crate::{runs_support::*, support::PASSWORD};

/// A document that runs at the full hour.
fn hourly() -> Value {
    let mut document = steps(json!({ "a": { "script": "a.lua" } }));
    document["schedules"] = json!({ "hourly": { "cron": "0 * * * *", "overlap": "allow" } });
    document
}

async fn started(caller: &Person, place: &Place) -> Value {
    let path = format!("/v1/pipelines/{}/runs", place.pipeline);
    caller.expect(StatusCode::ACCEPTED, Method::POST, &path, Some(json!({}))).await
}

#[tokio::test]
async fn a_run_names_the_caller_who_started_it() {
    let it = Installation::start().await;
    let (ann, place) = it.pipeline(None).await;
    let created = async |path: &str, body: Value| ann.expect(StatusCode::CREATED, Method::POST, path, Some(body)).await;
    let me = ann.get("/v1/me").await["id"].clone();
    let run = started(&ann, &place).await;
    assert_eq!((&run["trigger"], &run["started_by"]), (&json!({ "kind": "manual", "by": "user", "id": me }), &me));
    assert_eq!(ann.get(&format!("/v1/runs/{}", text(&run["id"]))).await["trigger"], run["trigger"]);

    let token = created("/v1/me/api-tokens", json!({ "name": "CI", "password": PASSWORD })).await;
    let by_token = Person { token: text(&token["token"]), ..ann.clone() };
    let run = started(&by_token, &place).await;
    let expected = json!({ "kind": "manual", "by": "api_token", "id": token["id"] });
    assert_eq!((&run["trigger"], &run["started_by"]), (&expected, &me));

    let accounts = format!("/v1/teams/{}/service-accounts", place.team);
    let robot = created(&accounts, json!({ "name": "Robot", "role": "operator" })).await;
    let tokens = format!("{accounts}/{}/api-tokens", text(&robot["id"]));
    let token = created(&tokens, json!({ "name": "CI" })).await;
    let by_robot = Person { token: text(&token["token"]), ..ann.clone() };
    let run = started(&by_robot, &place).await;
    let expected = json!({ "kind": "manual", "by": "service_account", "id": robot["id"] });
    assert_eq!((&run["trigger"], &run["started_by"]), (&expected, &robot["id"]));
}

#[tokio::test]
async fn a_run_names_the_schedule_that_started_it_and_lists_find_it() {
    let it = Installation::start().await;
    let (ann, place) = it.pipeline(Some(hourly())).await;
    let manual = text(&started(&ann, &place).await["id"]);
    // Two times pass; the run is for the newest.
    it.clock.advance(Duration::from_mins(150));
    assert_eq!(fire_due(&it.state).await.unwrap(), 1);
    let ann = ann.login("ann").await;
    let runs = async |path: &str| ann.get(path).await["items"].as_array().unwrap().clone();
    for list in [format!("/v1/pipelines/{}/runs", place.pipeline), format!("/v1/teams/{}/runs", place.team)] {
        let scheduled = runs(&format!("{list}?trigger=schedule")).await;
        let [run] = &scheduled[..] else { panic!("{scheduled:?}") };
        assert_eq!((&run["trigger"]["kind"], &run["trigger"]["name"]), (&json!("schedule"), &json!("hourly")));
        assert_eq!(
            (&run["trigger"]["due_at"], &run["started_by"]),
            (&json!("2026-01-01T02:00:00.000000Z"), &Value::Null)
        );
        let by_hand = runs(&format!("{list}?trigger=manual")).await;
        assert_eq!(by_hand.iter().map(|run| text(&run["id"])).collect::<Vec<_>>(), std::slice::from_ref(&manual));
        assert_eq!(runs(&list).await.len(), 2);
        ann.expect(StatusCode::BAD_REQUEST, Method::GET, &format!("{list}?trigger=webhook"), None).await;
    }
    // The schedule is removed; what it started stays its own.
    ann.publish(&place.pipeline, steps(json!({ "a": { "script": "a.lua" } }))).await;
    let scheduled = runs(&format!("/v1/pipelines/{}/runs?trigger=schedule", place.pipeline)).await;
    assert_eq!(scheduled[0]["trigger"]["name"], "hourly");
    assert!(scheduled[0]["trigger"]["id"].is_string());
}
