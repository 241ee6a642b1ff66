//! What bounds a run, and what is sent about it.

use std::time::Duration;

use reqwest::StatusCode;
use restroy_control_plane::runs::reconcile;
use serde_json::{Value, json};

use crate::{
    runs_lease::{assert_run_ended, code},
    runs_support::*,
};

#[tokio::test]
async fn runs_are_bounded_in_time() {
    let it = Installation::start().await;
    let Scene { ann, run, held, .. } = it.claimed(None).await;
    it.clock.advance(Duration::from_hours(25));
    assert_eq!(reconcile::finish_overdue_runs(&it.state).await.unwrap(), 1);
    assert_run_ended(&held, 1).await;
    // The access token has not lived to see it.
    let ann = ann.login("ann").await;
    assert_eq!(ann.status(&run).await, "timed_out");
}

#[tokio::test]
async fn a_log_that_outgrows_its_bound_ends_the_run() {
    let it = Installation::start().await;
    let Scene { ann, run, held, .. } = it.claimed(None).await;
    held.reported(1, json!([started("a")])).await;
    it.sql("UPDATE runs SET event_bytes = 256 * 1024 * 1024 - 100").await;
    let (status, answer) = held.report(2, json!([printed("a", 1, "one line too many")])).await;
    assert_eq!((status, code(&answer)), (StatusCode::CONFLICT, "run_ended"));
    let shown = ann.get(&format!("/v1/runs/{run}")).await;
    assert_eq!((&shown["status"], &shown["error"]["code"]), (&json!("failed"), &json!("event_limit")));
    assert_eq!(ann.kinds(&run).await.last().unwrap(), "run.finished");
}

#[tokio::test]
async fn bodies_are_bounded_each_at_its_own_size() {
    let it = Installation::start().await;
    let Scene { held, .. } = it.claimed(None).await;
    held.reported(1, json!([started("a")])).await;
    let line = "x".repeat(30 * 1024);
    let chunks: Vec<Value> = (1..=100).map(|n| printed("a", n, &line)).collect();
    held.reported(2, json!(chunks)).await;
    assert_eq!(held.artifact("k1", "large.bin", &vec![7; 3 * 1024 * 1024]).await.0, StatusCode::OK);
    let (_, answer) = held.artifact("k2", "larger.bin", &vec![7; 16 * 1024 * 1024 + 1]).await;
    assert_eq!(answer["refused"]["code"], "artifact_too_large");
}

#[tokio::test]
async fn the_name_of_an_engine_is_short_and_printable() {
    let it = Installation::start().await;
    let scene = it.claimed(None).await;
    let longest = "e".repeat(128);
    let beat = |engine: &str| json!({ "protocol": 1, "engine_id": engine, "slots": 4 });
    let (status, _) = scene.executor.post("/executors/heartbeat", beat(&longest)).await;
    assert_eq!(status, StatusCode::OK);
    for bad in [format!("{longest}e"), "an engine".into(), "a\u{1b}[2J".into(), "a\0b".into(), "motör".into()] {
        let (status, answer) = scene.executor.post("/executors/heartbeat", beat(&bad)).await;
        assert_eq!((status.as_u16(), &answer["errors"][0]["pointer"]), (422, &json!("/engine_id")), "{bad:?}");
        let (status, _) = scene.executor.post(&format!("/tasks/{}/claim", scene.task), beat(&bad)).await;
        assert_eq!(status, 422, "{bad:?}");
    }
}
