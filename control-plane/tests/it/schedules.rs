//! Schedules over the API: what a list shows, and what pausing stops.

use std::time::Duration;

use reqwest::{Method, StatusCode};
use restroy_control_plane::runs::schedule::fire_due;
use serde_json::{Value, json};

use crate::runs_support::*;

const HOUR: Duration = Duration::from_hours(1);

/// A document with these schedules.
fn scheduled(schedules: &Value) -> Value {
    let mut document = steps(json!({ "a": { "script": "a.lua" } }));
    document["schedules"] = schedules.clone();
    document
}

fn hourly() -> Value {
    scheduled(&json!({ "hourly": { "cron": "0 * * * *", "overlap": "allow" } }))
}

async fn list(ann: &Person, place: &Place) -> Vec<Value> {
    let page = ann.get(&format!("/v1/pipelines/{}/schedules", place.pipeline)).await;
    assert_eq!(page["next_cursor"], Value::Null);
    page["items"].as_array().unwrap().clone()
}

async fn change(ann: &Person, place: &Place, name: &str, change: &str) -> (StatusCode, Value) {
    ann.call(Method::POST, &format!("/v1/pipelines/{}/schedules/{name}/{change}", place.pipeline), None).await
}

async fn changed(ann: &Person, place: &Place, name: &str, to: &str) -> Value {
    let (status, answer) = change(ann, place, name, to).await;
    assert_eq!(status, StatusCode::OK, "{answer}");
    answer
}

/// Lets time pass and fires what is due. The session of before is over then.
async fn after(it: &Installation, span: Duration) -> usize {
    it.clock.advance(span);
    fire_due(&it.state).await.unwrap()
}

#[tokio::test]
async fn a_list_shows_each_schedule_with_its_last_run_and_its_next_times() {
    let it = Installation::start().await;
    let document = scheduled(&json!({
        "weekly": { "cron": "0 8 * * MON", "timezone": "Europe/Kyiv", "misfire": "skip" },
        "hourly": { "cron": "0 * * * *", "overlap": "allow" },
        "leap": { "cron": "0 0 29 2 *" },
    }));
    let (ann, place) = it.pipeline(Some(document)).await;
    let schedules = list(&ann, &place).await;
    let names: Vec<_> = schedules.iter().map(|schedule| text(&schedule["name"])).collect();
    assert_eq!(names, ["hourly", "leap", "weekly"]);
    let [hourly, leap, weekly] = &schedules[..] else { panic!("{schedules:?}") };
    // The clock is at the beginning of 2026, a Thursday.
    let hours: Vec<_> = (1..=10).map(|hour| json!(format!("2026-01-01T{hour:02}:00:00.000000Z"))).collect();
    assert_eq!(hourly["next"], json!(hours));
    assert_eq!(
        (&hourly["timezone"], &hourly["misfire"], &hourly["overlap"]),
        (&json!("UTC"), &json!("run_once"), &json!("allow"))
    );
    assert_eq!((&hourly["paused_at"], &hourly["last_run"]), (&Value::Null, &Value::Null));
    assert_eq!(leap["next"][9], "2064-02-29T00:00:00.000000Z");
    assert_eq!((&weekly["cron"], &weekly["timezone"]), (&json!("0 8 * * MON"), &json!("Europe/Kyiv")));
    assert_eq!(weekly["next"][0], "2026-01-05T06:00:00.000000Z");

    assert_eq!(after(&it, HOUR).await, 1);
    let ann = ann.login("ann").await;
    let hourly = &list(&ann, &place).await[0];
    let run = ann.get(&format!("/v1/pipelines/{}/runs", place.pipeline)).await["items"][0].clone();
    let last = json!({ "id": run["id"], "status": "queued", "due_at": "2026-01-01T01:00:00.000000Z" });
    assert_eq!((&hourly["last_run"], &hourly["next"][0]), (&last, &json!("2026-01-01T02:00:00.000000Z")));
    assert_eq!(run["trigger"]["id"], hourly["id"]);
}

#[tokio::test]
async fn a_paused_schedule_fires_when_it_is_resumed_and_not_for_what_passed() {
    let it = Installation::start().await;
    let (ann, place) = it.pipeline(Some(hourly())).await;
    let paused = changed(&ann, &place, "hourly", "pause").await;
    assert_eq!((&paused["paused_at"], &paused["next"]), (&json!("2026-01-01T00:00:00.000000Z"), &json!([])));
    assert_eq!(list(&ann, &place).await, std::slice::from_ref(&paused));
    assert_eq!(changed(&ann, &place, "hourly", "pause").await, paused, "pausing it again changes nothing");
    assert_eq!(after(&it, HOUR * 3).await, 0);
    let ann = ann.login("ann").await;
    let resumed = changed(&ann, &place, "hourly", "resume").await;
    assert_eq!((&resumed["paused_at"], &resumed["next"][0]), (&Value::Null, &json!("2026-01-01T04:00:00.000000Z")));
    assert_eq!(resumed["next"].as_array().unwrap().len(), 10);
    assert_eq!(list(&ann, &place).await, std::slice::from_ref(&resumed));
    assert_eq!(changed(&ann, &place, "hourly", "resume").await, resumed, "resuming it again changes nothing");
    assert_eq!(fire_due(&it.state).await.unwrap(), 0, "what passed has passed");
    assert_eq!(after(&it, HOUR).await, 1);
    assert_eq!(it.count("SELECT count(*) FROM audit_log WHERE action LIKE 'schedule.%'").await, 2);
}

#[tokio::test]
async fn a_time_that_has_come_does_not_fire_once_its_schedule_is_paused() {
    let it = Installation::start().await;
    let (ann, place) = it.pipeline(Some(hourly())).await;
    it.clock.advance(HOUR);
    let ann = ann.login("ann").await;
    changed(&ann, &place, "hourly", "pause").await;
    assert_eq!(fire_due(&it.state).await.unwrap(), 0);
}

#[tokio::test]
async fn a_schedule_stays_paused_over_a_publish_that_keeps_it() {
    let it = Installation::start().await;
    let (ann, place) = it.pipeline(Some(hourly())).await;
    changed(&ann, &place, "hourly", "pause").await;
    // Other times, another schedule beside it.
    let document = json!({ "hourly": { "cron": "30 * * * *" }, "other": { "cron": "45 * * * *" } });
    ann.publish(&place.pipeline, scheduled(&document)).await;
    let states: Vec<_> = list(&ann, &place).await.iter().map(|schedule| schedule["paused_at"].is_null()).collect();
    assert_eq!(states, [false, true]);
    assert_eq!(after(&it, HOUR).await, 1, "the other one fires");
    let ann = ann.login("ann").await;
    assert_eq!(changed(&ann, &place, "hourly", "resume").await["next"][0], "2026-01-01T01:30:00.000000Z");
    // One that is removed and comes back is new.
    changed(&ann, &place, "hourly", "pause").await;
    ann.publish(&place.pipeline, steps(json!({ "a": { "script": "a.lua" } }))).await;
    assert_eq!(list(&ann, &place).await.len(), 0);
    ann.publish(&place.pipeline, hourly()).await;
    assert_eq!(list(&ann, &place).await[0]["paused_at"], Value::Null);
}

#[tokio::test]
async fn a_paused_schedule_stays_paused_when_its_pipeline_or_board_comes_back() {
    let it = Installation::start().await;
    let (ann, place) = it.pipeline(Some(hourly())).await;
    changed(&ann, &place, "hourly", "pause").await;
    for thing in [format!("/v1/pipelines/{}", place.pipeline), format!("/v1/boards/{}", place.board)] {
        ann.expect(StatusCode::NO_CONTENT, Method::DELETE, &thing, None).await;
        ann.expect(StatusCode::OK, Method::POST, &format!("{thing}/restore"), None).await;
    }
    assert!(list(&ann, &place).await[0]["paused_at"].is_string());
    assert_eq!(after(&it, HOUR).await, 0);
    let ann = ann.login("ann").await;
    changed(&ann, &place, "hourly", "resume").await;
    assert_eq!(after(&it, HOUR).await, 1);
}

#[tokio::test]
async fn schedules_of_an_archived_board_have_no_next_times_and_cannot_be_changed() {
    let it = Installation::start().await;
    let (ann, place) = it.pipeline(Some(hourly())).await;
    let board = format!("/v1/boards/{}", place.board);
    ann.expect(StatusCode::OK, Method::PATCH, &board, Some(json!({ "archived": true }))).await;
    assert_eq!(list(&ann, &place).await[0]["next"], json!([]));
    let (status, problem) = change(&ann, &place, "hourly", "pause").await;
    assert_eq!((status, &problem["code"]), (StatusCode::CONFLICT, &json!("conflict")));
}

#[tokio::test]
async fn a_schedule_that_the_published_version_does_not_have_is_not_found() {
    let it = Installation::start().await;
    let (ann, place) = it.pipeline(Some(hourly())).await;
    for to in ["pause", "resume"] {
        let (status, problem) = change(&ann, &place, "daily", to).await;
        assert_eq!((status, &problem["code"]), (StatusCode::NOT_FOUND, &json!("not_found")));
    }
}
