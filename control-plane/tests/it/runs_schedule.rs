//! Runs that start by the clock.

use std::time::Duration;

use reqwest::{Method, StatusCode};
use restroy_control_plane::runs::schedule::fire_due;
use serde_json::{Value, json};

use crate::runs_support::*;

/// A document that runs at the full hour.
fn hourly(schedule: &Value) -> Value {
    let mut document = steps(json!({ "a": { "script": "a.lua" } }));
    let mut hourly = json!({ "cron": "0 * * * *" });
    for (name, value) in schedule.as_object().unwrap() {
        hourly[name] = value.clone();
    }
    document["schedules"] = json!({ "hourly": hourly });
    document
}

async fn runs(ann: &Person, place: &Place) -> Vec<Value> {
    ann.get(&format!("/v1/pipelines/{}/runs", place.pipeline)).await["items"].as_array().unwrap().clone()
}

/// Moves the clock and looks what is due.
async fn after(it: &Installation, span: Duration) -> usize {
    it.clock.advance(span);
    fire_due(&it.state).await.unwrap()
}

const HOUR: Duration = Duration::from_hours(1);

#[tokio::test]
async fn a_moment_fires_once() {
    let it = Installation::start().await;
    let (ann, place) = it.pipeline(Some(hourly(&json!({ "overlap": "allow" })))).await;
    assert_eq!(after(&it, Duration::from_mins(59)).await, 0);
    it.clock.advance(Duration::from_mins(1));
    // Several look at once, as several replicas would.
    let looks = (0..4).map(|_| {
        let state = it.state.clone();
        tokio::spawn(async move { fire_due(&state).await.unwrap() })
    });
    let mut fired = 0;
    for look in looks.collect::<Vec<_>>() {
        fired += look.await.unwrap();
    }
    assert_eq!(fired, 1);
    assert_eq!(after(&it, Duration::from_mins(1)).await, 0);
    let ann = ann.login("ann").await;
    let runs_now = runs(&ann, &place).await;
    assert_eq!((runs_now.len(), &runs_now[0]["started_by"]), (1, &Value::Null));
    assert_eq!(ann.kinds(&text(&runs_now[0]["id"])).await, ["run.queued"]);
    assert_eq!(after(&it, Duration::from_mins(59)).await, 1, "it overlaps");
}

#[tokio::test]
async fn missed_moments_are_one_run_or_none() {
    let it = Installation::start().await;
    let (ann, _) = it.pipeline(Some(hourly(&json!({ "overlap": "allow" })))).await;
    let skipping = ann.place(Some(hourly(&json!({ "overlap": "allow", "misfire": "skip" })))).await;
    assert_eq!(after(&it, HOUR * 5 + Duration::from_mins(30)).await, 1);
    assert_eq!(runs(&ann.login("ann").await, &skipping).await.len(), 0);
    assert_eq!(after(&it, Duration::from_mins(30)).await, 2, "both are punctual again");
}

#[tokio::test]
async fn an_unfinished_run_delays_the_next() {
    let it = Installation::start().await;
    let (ann, place) = it.pipeline(Some(hourly(&json!({})))).await;
    assert_eq!(after(&it, HOUR).await, 1);
    assert_eq!(after(&it, HOUR).await, 0);
    let ann = ann.login("ann").await;
    let run = text(&runs(&ann, &place).await[0]["id"]);
    ann.expect(StatusCode::OK, Method::POST, &format!("/v1/runs/{run}/cancel"), None).await;
    assert_eq!(after(&it, HOUR).await, 1);
}

#[tokio::test]
async fn publishing_replaces_schedules_and_archiving_stops_them() {
    let it = Installation::start().await;
    let (ann, place) = it.pipeline(Some(hourly(&json!({ "overlap": "allow" })))).await;
    let board = format!("/v1/boards/{}", place.board);
    ann.expect(StatusCode::OK, Method::PATCH, &board, Some(json!({ "archived": true }))).await;
    assert_eq!(after(&it, HOUR).await, 0);
    let ann = ann.login("ann").await;
    ann.expect(StatusCode::OK, Method::PATCH, &board, Some(json!({ "archived": false }))).await;
    assert_eq!(fire_due(&it.state).await.unwrap(), 1);
    ann.publish(&place.pipeline, steps(json!({ "a": { "script": "a.lua" } }))).await;
    assert_eq!(after(&it, HOUR).await, 0);
}

#[tokio::test]
async fn a_run_that_cannot_start_by_itself_passes_by() {
    let it = Installation::start().await;
    let mut document = hourly(&json!({}));
    document["params"] = json!({ "type": "object", "required": ["issue"] });
    let (ann, place) = it.pipeline(Some(document)).await;
    assert_eq!(after(&it, HOUR).await, 0);
    assert_eq!(runs(&ann.login("ann").await, &place).await.len(), 0);
}

#[tokio::test]
async fn nobody_waits_behind_all_of_anothers_schedules() {
    let it = Installation::start().await;
    let (ann, crowd) = it.pipeline(Some(hourly(&json!({ "overlap": "allow" })))).await;
    let skipping = ann.place(Some(hourly(&json!({ "misfire": "skip" })))).await;
    // More than a look takes, of one team, all due before the other's; none of them can start.
    let team = crowd.team.parse().unwrap();
    let mut tx = it.state.db.team_write(team).await.unwrap();
    for number in 0..800_i64 {
        let (id, pipeline): (uuid::Uuid, uuid::Uuid) = (it.state.ambient.uuid(), crowd.pipeline.parse().unwrap());
        let due = it.state.ambient.now().after(Duration::from_mins(30));
        restroy_control_plane::sql!(
            &mut *tx,
            execute,
            sqlx::query(
                "INSERT INTO schedules
                     (id, team_id, pipeline_id, name, cron, timezone, misfire, overlap, next_fire_at, created_at)
                 VALUES ($1, $2, $3, $4, '0 * * * *', 'UTC', 'run_once', 'allow', $5, $5)"
            )
            .bind(id)
            .bind(team)
            .bind(pipeline)
            .bind(format!("n{number}"))
            .bind(due)
        )
        .unwrap();
    }
    tx.commit().await.unwrap();
    it.sql("UPDATE pipelines SET published_version = NULL WHERE id IN (SELECT pipeline_id FROM schedules WHERE name = 'n1')")
        .await;
    assert_eq!(after(&it, HOUR).await, 1, "it takes its turn");
    assert_eq!(runs(&ann.login("ann").await, &skipping).await.len(), 1);
    // What is left is dealt with in the looks that follow.
    for _ in 0..2 {
        fire_due(&it.state).await.unwrap();
    }
    let now = it.state.ambient.now();
    let mut tx = it.state.db.system_read().await.unwrap();
    let left: i64 = restroy_control_plane::sql!(
        &mut tx,
        fetch_one,
        sqlx::query_scalar("SELECT count(*) FROM schedules WHERE next_fire_at <= $1").bind(now)
    )
    .unwrap();
    assert_eq!(left, 0);
}

#[tokio::test]
async fn publishing_drops_no_moment_that_has_come() {
    let it = Installation::start().await;
    let (ann, place) = it.pipeline(Some(hourly(&json!({ "overlap": "allow" })))).await;
    it.clock.advance(HOUR);
    let ann = ann.login("ann").await;
    ann.publish(&place.pipeline, hourly(&json!({ "overlap": "allow" }))).await;
    assert_eq!(fire_due(&it.state).await.unwrap(), 1);
    assert_eq!(fire_due(&it.state).await.unwrap(), 0);
    // Other times are counted from now.
    it.clock.advance(HOUR);
    let ann = ann.login("ann").await;
    ann.publish(&place.pipeline, hourly(&json!({ "cron": "30 * * * *", "overlap": "allow" }))).await;
    assert_eq!(fire_due(&it.state).await.unwrap(), 0);
    assert_eq!(after(&it, Duration::from_mins(30)).await, 1);
}
