//! An archived board starts nothing, also of what was asked for before; what was running continues.

use std::time::Duration;

use reqwest::{Method, StatusCode};
use restroy_control_plane::runs::{dispatch, reconcile};
use serde_json::json;

use crate::runs_support::*;

async fn archive(person: &Person, place: &Place, archived: bool) {
    let path = format!("/v1/boards/{}", place.board);
    person.expect(StatusCode::OK, Method::PATCH, &path, Some(json!({ "archived": archived }))).await;
}

#[tokio::test]
async fn runs_wait_until_their_board_is_back() {
    let it = Installation::start().await;
    let (ann, place) = it.pipeline(None).await;
    let other = ann.pipeline_on(&place.board, "Other").await;
    ann.publish(&other, steps(json!({ "a": { "script": "a.lua" } }))).await;
    let run = ann.run(&place, json!({})).await;
    archive(&ann, &place, true).await;
    assert_eq!(dispatch::admit(&it.state).await.unwrap(), 0);
    assert_eq!(ann.status(&run).await, "queued");
    // They take no slot from runs of other boards.
    let elsewhere = ann.place(None).await;
    let started = ann.run(&elsewhere, json!({})).await;
    let executor = it.executor().await;
    executor.claim(&it.admitted().await).await.unwrap();
    assert_eq!(ann.status(&started).await, "running");
    archive(&ann, &place, false).await;
    executor.claim(&it.admitted().await).await.unwrap();
    assert_eq!(ann.status(&run).await, "running");
}

#[tokio::test]
async fn what_was_admitted_just_before_does_not_start_either() {
    let it = Installation::start().await;
    let (ann, place) = it.pipeline(None).await;
    let run = ann.run(&place, json!({})).await;
    let executor = it.executor().await;
    let task = it.admitted().await;
    archive(&ann, &place, true).await;
    let (status, problem) = executor.claim(&task).await.unwrap_err();
    assert_eq!((status, &problem["code"]), (StatusCode::CONFLICT, &json!("not_claimable")), "{problem}");
    assert_eq!(ann.status(&run).await, "queued");
    assert_eq!(it.count("SELECT COUNT(*) FROM tasks WHERE state = 'pending'").await, 1, "it takes no slot");
    archive(&ann, &place, false).await;
    executor.claim(&it.admitted().await).await.unwrap();
    assert_eq!(ann.kinds(&run).await, ["run.queued", "run.started"]);
}

#[tokio::test]
async fn running_work_is_finished() {
    let it = Installation::start().await;
    let Scene { ann, place, run, held, executor, .. } = it.claimed(None).await;
    archive(&ann, &place, true).await;
    // Also after its executor was lost.
    it.clock.advance(Duration::from_secs(31));
    assert_eq!(reconcile::reclaim_expired(&it.state).await.unwrap(), 1);
    assert_eq!(held.renew().await.0, StatusCode::CONFLICT);
    let ann = ann.login("ann").await;
    let held = executor.claim(&it.admitted().await).await.unwrap();
    held.reported(1, json!([started("a"), finished("a"), run_finished("succeeded")])).await;
    assert_eq!(ann.status(&run).await, "succeeded");
}

#[tokio::test]
async fn runs_do_not_wait_for_ever() {
    let it = Installation::start().await;
    let (ann, place) = it.pipeline(None).await;
    let runs = [ann.run(&place, json!({})).await, ann.run(&place, json!({})).await];
    archive(&ann, &place, true).await;
    ann.expect(StatusCode::OK, Method::POST, &format!("/v1/runs/{}/cancel", runs[0]), None).await;
    it.clock.advance(Duration::from_hours(7 * 24 + 1));
    assert_eq!(reconcile::finish_overdue_runs(&it.state).await.unwrap(), 1);
    let ann = ann.login("ann").await;
    assert_eq!((ann.status(&runs[0]).await, ann.status(&runs[1]).await), ("cancelled".into(), "timed_out".into()));
}
