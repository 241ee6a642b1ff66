//! Runs of which only waiting is left: they have neither lease nor slot, and resume in time.

use std::time::Duration;

use reqwest::StatusCode;
use restroy_control_plane::runs::{boot, dispatch, reconcile};
use serde_json::{Value, json};

use crate::{
    runs_lease::{EXPIRED, code},
    runs_lifecycle::{cancel, limited},
    runs_support::*,
};

fn retrying(step: &str, delay_ms: u64) -> Value {
    json!({
        "type": "step.retrying", "step": step, "attempt": 1, "delay_ms": delay_ms,
        "error": { "code": "script_error", "message": "not yet" },
    })
}

fn second(step: &str) -> Value {
    json!({ "step": step, "attempt": 2 })
}

#[tokio::test]
async fn a_suspended_run_releases_its_slot_and_resumes_in_time() {
    let it = Installation::start().await;
    let retry = json!({ "max_attempts": 3, "max": "1h" });
    let document = steps(json!({
        "a": { "script": "a.lua", "retry": retry }, "b": { "script": "a.lua", "retry": retry },
    }));
    let Scene { ann, place, run, executor, task, held } = it.claimed(Some(document)).await;
    it.sql("UPDATE teams SET max_running = 1").await;
    let other = ann.run(&place, json!({})).await;
    assert_eq!(dispatch::admit(&it.state).await.unwrap(), 0);
    held.reported(1, json!([started("a"), started("b"), retrying("a", 60_000), retrying("b", 600_000)])).await;
    let first = json!({ "step": "a", "attempt": 1 });
    for wrong in [json!([]), json!([second("c")]), json!([second("a"), first])] {
        assert_eq!(held.suspend(wrong).await.0, StatusCode::UNPROCESSABLE_ENTITY);
    }
    assert_eq!(held.suspend(json!([second("a"), second("b")])).await.0, StatusCode::OK);
    assert_eq!(held.renew().await.0, StatusCode::CONFLICT);
    let shown = ann.get(&format!("/v1/runs/{run}")).await;
    assert_eq!((&shown["status"], &shown["waiting"]["step"]), (&json!("waiting"), &json!("a")));
    let listed = ann.get(&format!("/v1/pipelines/{}/runs", place.pipeline)).await;
    let listed = listed["items"].as_array().unwrap().iter().find(|one| one["id"] == json!(run)).unwrap();
    assert_eq!(listed["waiting"], shown["waiting"]);

    // Its slot is the other's; when it is due it waits for one.
    let next = it.admitted().await;
    assert_ne!(next, task);
    let next = executor.claim(&next).await.unwrap();
    it.clock.advance(Duration::from_secs(61));
    assert_eq!(next.renew().await.0, StatusCode::OK);
    assert_eq!(dispatch::admit(&it.state).await.unwrap(), 0);
    next.reported(1, json!([started("a"), started("b"), finished("a"), finished("b"), run_finished("succeeded")]))
        .await;
    assert_eq!(ann.status(&other).await, "succeeded");
    assert_eq!(it.admitted().await, task);
    let held = executor.claim(&task).await.unwrap();
    assert_eq!(ann.status(&run).await, "running");
    assert_eq!(held.plan["done"].as_array().unwrap().len(), 2, "{}", held.plan["done"]);
    let again = json!({ "type": "step.started", "step": "a", "attempt": 2 });
    let ended = json!({ "type": "step.finished", "step": "a", "attempt": 2, "status": "succeeded", "output": 1 });
    held.reported(1, json!([again, ended])).await;

    // The other step still waits: it was said before, and is not said again.
    assert_eq!(held.suspend(json!([second("b")])).await.0, StatusCode::OK);
    assert_eq!(ann.get(&format!("/v1/runs/{run}")).await["waiting"]["step"], "b");
    assert_eq!(dispatch::admit(&it.state).await.unwrap(), 0);
    let kinds = ann.kinds(&run).await;
    assert_eq!(kinds.iter().filter(|kind| *kind == "step.waiting").count(), 2);
    assert!(!kinds.contains(&"step.lost".to_owned()));
    assert_eq!(it.count("SELECT MAX(lost) FROM tasks").await, 0);
    cancel(&ann, &run).await;
    it.clock.advance(Duration::from_hours(1));
    assert_eq!(dispatch::admit(&it.state).await.unwrap(), 0, "what has ended does not wake");
}

#[tokio::test]
async fn a_suspended_run_keeps_its_place_in_its_pipeline() {
    let it = Installation::start().await;
    let (ann, place) = it.pipeline(Some(limited("queue"))).await;
    ann.run(&place, json!({})).await;
    ann.run(&place, json!({})).await;
    let executor = it.executor().await;
    let task = it.admitted().await;
    let held = executor.claim(&task).await.unwrap();
    held.reported(1, json!([started("a"), retrying("a", 60_000)])).await;
    assert_eq!(held.suspend(json!([second("a")])).await.0, StatusCode::OK);
    assert_eq!(dispatch::admit(&it.state).await.unwrap(), 0, "one at a time");
    it.clock.advance(Duration::from_secs(61));
    assert_eq!(it.admitted().await, task);
}

#[tokio::test]
async fn suspended_runs_count_with_those_that_are_queued() {
    let it = Installation::start().await;
    let Scene { ann, place, held, .. } = it.claimed(None).await;
    it.sql("UPDATE teams SET max_queued = 1").await;
    held.reported(1, json!([started("a"), retrying("a", 60_000)])).await;
    held.suspend(json!([second("a")])).await;
    let path = format!("/v1/pipelines/{}/runs", place.pipeline);
    let (status, answer) = ann.call(reqwest::Method::POST, &path, Some(json!({}))).await;
    assert_eq!((status, code(&answer)), (StatusCode::TOO_MANY_REQUESTS, "quota_exceeded"));
}

/// A step that waits of its own accord.
fn begins_to_wait(step: &str, delay_ms: u64) -> Value {
    json!({ "type": "step.waiting", "step": step, "attempt": 1, "delay_ms": delay_ms })
}

/// The step of a run that waits.
async fn waiting_step(ann: &Person, run: &str) -> Value {
    let steps = ann.get(&format!("/v1/runs/{run}/steps")).await;
    steps["items"].as_array().unwrap().iter().find(|step| step["status"] == "waiting").unwrap().clone()
}

#[tokio::test]
async fn a_wait_begins_once_whatever_becomes_of_its_executor() {
    let it = Installation::start().await;
    let document = steps(json!({ "a": { "script": "a.lua" }, "b": { "script": "a.lua" } }));
    let Scene { ann, run, executor, task, held, .. } = it.claimed(Some(document)).await;
    // No time but this clock's counts, and nothing is longer than a run may be.
    for wrong in [json!({ "until": "2026-01-01T00:00:00Z" }), json!({ "delay_ms": 401_u64 * 86_400_000 })] {
        let mut event = begins_to_wait("a", 0);
        event.as_object_mut().unwrap().remove("delay_ms");
        event.as_object_mut().unwrap().extend(wrong.as_object().unwrap().clone());
        assert_eq!(held.report(1, json!([event])).await.0, StatusCode::UNPROCESSABLE_ENTITY, "{event}");
    }
    held.reported(1, json!([started("b"), begins_to_wait("a", 100_000)])).await;
    let events = ann.events(&run).await;
    let until = events.last().unwrap()["until"].clone();
    assert!(until.is_string(), "{events:?}");
    let step = waiting_step(&ann, &run).await;
    assert_eq!((&step["step"], &step["waiting_until"]), (&json!("a"), &until));
    assert!(step["started_at"].is_string());
    let one = json!({ "step": "b", "attempt": 1 });
    assert_eq!(held.suspend(json!([one])).await.0, StatusCode::UNPROCESSABLE_ENTITY, "it runs");

    // The executor is lost, one that takes over is too: the wait goes on.
    for passed in 1..3_u64 {
        it.clock.advance(EXPIRED);
        assert_eq!(reconcile::reclaim_expired(&it.state).await.unwrap(), 1);
        let next = executor.claim(&it.admitted().await).await.unwrap();
        let done = next.plan["done"].as_array().unwrap();
        let known: Vec<_> = done.iter().map(|state| (&state["step"], &state["status"], &state["due_in_ms"])).collect();
        let left = json!(100_000 - passed * 31_000);
        assert_eq!(known[0], (&json!("a"), &json!("waiting"), &left), "{known:?}");
        if passed == 2 {
            next.reported(1, json!([started("b"), finished("b")])).await;
            assert_eq!(next.suspend(json!([{ "step": "a", "attempt": 1 }])).await.0, StatusCode::OK);
        }
    }
    let shown = ann.get(&format!("/v1/runs/{run}")).await;
    assert_eq!(shown["waiting"], json!({ "step": "a", "until": until }));
    // Everything that was running ends; the time comes meanwhile.
    boot::start_embedded(&it.state).await.unwrap();
    assert_eq!(dispatch::admit(&it.state).await.unwrap(), 0);
    it.clock.advance(Duration::from_secs(38));
    assert_eq!(it.admitted().await, task);
    let held = it.executor().await.claim(&task).await.unwrap();
    let waits = held.plan["done"].as_array().unwrap().iter().find(|state| state["step"] == "a").unwrap();
    assert_eq!(waits["due_in_ms"], 0);
    held.reported(1, json!([finished("a"), run_finished("succeeded")])).await;
    let kinds = ann.kinds(&run).await;
    assert_eq!(kinds.iter().filter(|kind| *kind == "step.waiting").count(), 1, "{kinds:?}");
}

#[tokio::test]
async fn a_suspended_run_that_is_cancelled_ends_at_once() {
    let it = Installation::start().await;
    let Scene { ann, run, held, .. } = it.claimed(None).await;
    held.reported(1, json!([begins_to_wait("a", 3_600_000)])).await;
    assert_eq!(held.suspend(json!([{ "step": "a", "attempt": 1 }])).await.0, StatusCode::OK);
    cancel(&ann, &run).await;
    assert_eq!(ann.status(&run).await, "cancelled");
    let open = "SELECT COUNT(*) FROM tasks WHERE state <> 'done' OR draining_until IS NOT NULL OR wake_at IS NOT NULL";
    assert_eq!(it.count(open).await, 0, "nothing of it counts any more");
    let kinds = ann.kinds(&run).await;
    assert_eq!(kinds[kinds.len() - 2..], ["step.finished", "run.finished"]);
    it.clock.advance(Duration::from_hours(2));
    assert_eq!(dispatch::admit(&it.state).await.unwrap(), 0);
}

#[tokio::test]
async fn suspended_time_does_not_count_towards_the_active_time() {
    let it = Installation::start().await;
    let Scene { ann, run, executor, task, held, .. } = it.claimed(None).await;
    let hour = Duration::from_hours(1);
    held.reported(1, json!([begins_to_wait("a", 30 * 86_400_000)])).await;
    it.clock.advance(hour * 23);
    assert_eq!(held.suspend(json!([{ "step": "a", "attempt": 1 }])).await.0, StatusCode::OK);
    it.clock.advance(hour * 24 * 40);
    assert_eq!(reconcile::finish_overdue_runs(&it.state).await.unwrap(), 0);
    assert_eq!(it.admitted().await, task);
    let held = executor.claim(&task).await.unwrap();
    it.clock.advance(hour / 2);
    held.reported(1, json!([started("a")])).await;
    assert_eq!(reconcile::finish_overdue_runs(&it.state).await.unwrap(), 0, "23.5 hours active");
    it.clock.advance(hour);
    assert_eq!(reconcile::finish_overdue_runs(&it.state).await.unwrap(), 1);
    let ann = ann.login("ann").await;
    let shown = ann.get(&format!("/v1/runs/{run}")).await;
    assert_eq!((&shown["status"], &shown["error"]["code"]), (&json!("timed_out"), &json!("run_too_old")));
    assert!(text(&shown["error"]["message"]).contains("24 hours"), "{shown}");
}

#[tokio::test]
async fn a_suspended_run_has_a_maximum_age() {
    let it = Installation::start().await;
    let Scene { ann, run, executor, task, mut held, .. } = it.claimed(None).await;
    let day = Duration::from_hours(24);
    // Each wait is within its bound: all of them together are not.
    held.reported(1, json!([begins_to_wait("a", 399 * 86_400_000)])).await;
    assert_eq!(held.suspend(json!([{ "step": "a", "attempt": 1 }])).await.0, StatusCode::OK);
    it.clock.advance(day * 399);
    assert_eq!(it.admitted().await, task);
    held = executor.claim(&task).await.unwrap();
    held.reported(1, json!([started("a"), retrying("a", 86_400_000)])).await;
    assert_eq!(held.suspend(json!([second("a")])).await.0, StatusCode::OK);
    assert_eq!(reconcile::finish_overdue_runs(&it.state).await.unwrap(), 0);
    it.clock.advance(day + Duration::from_secs(1));
    assert_eq!(reconcile::finish_overdue_runs(&it.state).await.unwrap(), 1);
    let ann = ann.login("ann").await;
    let shown = ann.get(&format!("/v1/runs/{run}")).await;
    assert!(text(&shown["error"]["message"]).contains("400 days"), "{shown}");
}

#[tokio::test]
async fn what_is_deleted_resumes_nothing() {
    let it = Installation::start().await;
    let Scene { executor, task, held, .. } = it.claimed(None).await;
    held.reported(1, json!([begins_to_wait("a", 60_000)])).await;
    assert_eq!(held.suspend(json!([{ "step": "a", "attempt": 1 }])).await.0, StatusCode::OK);
    it.clock.advance(Duration::from_secs(61));
    assert_eq!(it.admitted().await, task);
    // Its run is one of those that the deletion left to be cancelled later.
    it.sql("UPDATE pipelines SET deleted_at = 1").await;
    let (status, answer) = executor.claim(&task).await.unwrap_err();
    assert_eq!((status, code(&answer)), (StatusCode::CONFLICT, "not_claimable"));
    assert_eq!(dispatch::admit(&it.state).await.unwrap(), 0);
}
