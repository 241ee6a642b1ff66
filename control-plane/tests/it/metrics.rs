//! What is counted, as Prometheus reads it.

#![allow(clippy::float_cmp, reason = "counts are whole")]

use reqwest::{Method, StatusCode};
use restroy_control_plane::{metrics::scrape, runs::reconcile};
use serde_json::json;
use std::time::Duration;

use crate::{
    exposition::{documented, exposed, label_values, value},
    runs_support::{Installation, finished, run_finished, started, steps},
};

async fn text(installation: &Installation) -> String {
    let exposition = scrape(&installation.state).await;
    assert!(exposition.content_type.starts_with("application/openmetrics-text"));
    exposition.body
}

#[tokio::test]
async fn the_document_lists_what_there_is() {
    let installation = Installation::start().await;
    installation.claimed(None).await;
    assert_eq!(exposed(&text(&installation).await), documented("Control-plane"));
}

#[tokio::test]
async fn a_run_is_counted_from_its_start_to_its_end() {
    let installation = Installation::start().await;
    let scene = installation.claimed(None).await;
    let before = text(&installation).await;
    assert_eq!(value(&before, "restroy_runs_started_total", &[]), 1.0);
    assert_eq!(value(&before, "restroy_tasks_admitted_total", &[]), 1.0);
    assert_eq!(value(&before, "restroy_tasks", &[("state", "leased")]), 1.0);
    assert_eq!(value(&before, "restroy_run_queue_wait_seconds_count", &[]), 1.0);
    assert_eq!(value(&before, "restroy_runs_ended_total", &[("status", "succeeded")]), 0.0);
    assert_eq!(value(&before, "restroy_leader", &[("work", "dispatch")]), 1.0);
    assert_eq!(value(&before, "restroy_database_up", &[]), 1.0);
    let claims = [("route", "/run/v1/tasks/{id}/claim"), ("method", "POST"), ("status", "200")];
    assert_eq!(value(&before, "restroy_http_requests_total", &claims), 1.0);

    installation.clock.advance(Duration::from_secs(7));
    scene.held.reported(1, json!([started("a"), finished("a"), run_finished("succeeded")])).await;
    let after = text(&installation).await;
    assert_eq!(value(&after, "restroy_tasks", &[("state", "leased")]), 0.0);
    assert_eq!(value(&after, "restroy_run_events_total", &[]), 3.0);
    assert_eq!(value(&after, "restroy_runs_ended_total", &[("status", "succeeded")]), 1.0);
    assert_eq!(value(&after, "restroy_run_duration_seconds_sum", &[]), 7.0);

    // A report that comes again is not counted again.
    scene.held.reported(1, json!([started("a"), finished("a"), run_finished("succeeded")])).await;
    let again = text(&installation).await;
    assert_eq!(value(&again, "restroy_run_events_total", &[]), 3.0);
    assert_eq!(value(&again, "restroy_runs_ended_total", &[("status", "succeeded")]), 1.0);
}

#[tokio::test]
async fn lost_leases_and_ends_that_others_decide_are_counted() {
    let installation = Installation::start().await;
    let scene = installation.claimed(None).await;
    installation.clock.advance(Duration::from_mins(1));
    reconcile::reclaim_expired(&installation.state).await.unwrap();
    scene.ann.expect(StatusCode::OK, Method::POST, &format!("/v1/runs/{}/cancel", scene.run), None).await;
    let text = text(&installation).await;
    assert_eq!(value(&text, "restroy_leases_lost_total", &[]), 1.0);
    assert_eq!(value(&text, "restroy_runs_ended_total", &[("status", "cancelled")]), 1.0);
    assert_eq!(value(&text, "restroy_run_duration_seconds_count", &[]), 0.0);
    assert_eq!(value(&text, "restroy_leader", &[("work", "dispatch")]), 0.0, "a lead that ran out is none");
}

#[tokio::test]
async fn a_run_that_is_skipped_is_counted_as_started_and_cancelled() {
    let installation = Installation::start().await;
    let mut document = steps(json!({ "a": { "script": "a.lua" } }));
    document["concurrency"] = json!({ "limit": 1, "on_conflict": "skip" });
    let (ann, place) = installation.pipeline(Some(document)).await;
    for _ in 0..2 {
        ann.run(&place, json!({})).await;
    }
    let text = text(&installation).await;
    assert_eq!(value(&text, "restroy_runs_started_total", &[]), 2.0);
    assert_eq!(value(&text, "restroy_runs_ended_total", &[("status", "cancelled")]), 1.0);
}

#[tokio::test]
async fn labels_are_closed_lists() {
    let installation = Installation::start().await;
    let scene = installation.claimed(None).await;
    scene.ann.get(&format!("/v1/runs/{}", scene.run)).await;
    // Whatever strangers make up is one label.
    for path in ["/nowhere", "/v1/%22%7D%0Arestroy_evil%201", "/v1/runs/not-an-id"] {
        scene.ann.call(Method::GET, path, None).await;
    }
    for method in ["EVIL", "BREW", "GETT"] {
        let method = Method::from_bytes(method.as_bytes()).unwrap();
        installation.http.request(method, format!("http://{}/nowhere", installation.api)).send().await.unwrap();
    }
    let text = text(&installation).await;
    let place = &scene.place;
    let values = label_values(&text);
    for id in [&scene.run, &scene.task, &place.team, &place.board, &place.pipeline] {
        assert!(!text.contains(id.as_str()), "{id}");
    }
    assert!(!text.contains("EVIL") && !text.contains("evil") && !text.contains("nowhere") && !text.contains("ann"));
    assert!(values.iter().all(|value| value.len() <= 64), "{values:?}");
    let nowhere = [("route", "unmatched"), ("method", "other"), ("status", "404")];
    assert_eq!(value(&text, "restroy_http_requests_total", &nowhere), 3.0);
}
