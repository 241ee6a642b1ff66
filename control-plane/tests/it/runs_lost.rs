//! Leases that run out or are given back, and who leads: what becomes of the work.

use std::time::Duration;

use reqwest::StatusCode;
use restroy_control_plane::runs::{boot, dispatch, reconcile};
use serde_json::json;

use crate::{
    runs_lease::{EXPIRED, assert_lease_lost, assert_run_ended, code},
    runs_support::*,
};

#[tokio::test]
async fn what_is_given_back_is_handed_out_at_once_and_no_loss() {
    let it = Installation::start().await;
    let Scene { ann, run, held, task, executor, .. } = it.claimed(None).await;
    let mut held = held;
    // Oftener than leases may be lost, as in an upgrade of many executors one after the other.
    for _ in 0..4 {
        held.reported(1, json!([started("a"), printed("a", 1, "one")])).await;
        assert_eq!(held.release().await.0, StatusCode::OK);
        assert_lease_lost(&held, 2).await;
        let (status, answer) = held.release().await;
        assert_eq!((status, code(&answer)), (StatusCode::CONFLICT, "lease_lost"), "a repeat finds it given back");
        dispatch::admit(&it.state).await.unwrap();
        let next = executor.claim(&task).await.expect("it is there to be claimed, and no time has passed");
        assert!(next.fence > held.fence);
        assert_eq!(next.plan["done"][0]["status"], "running");
        held = next;
    }
    held.reported(1, json!([started("a"), finished("a"), run_finished("succeeded")])).await;
    assert_eq!(held.release().await.0, StatusCode::CONFLICT, "what is over is not given back");
    assert_eq!(ann.status(&run).await, "succeeded");
    let kinds = ann.kinds(&run).await;
    assert_eq!(kinds.iter().filter(|kind| *kind == "step.lost").count(), 4);
}

#[tokio::test]
async fn who_ends_leads_no_more() {
    let it = Installation::start().await;
    let ann = it.person("ann").await;
    let place = ann.place(None).await;
    ann.run(&place, json!({})).await;
    assert_eq!(dispatch::admit(&it.state).await.unwrap(), 1);
    ann.run(&place, json!({})).await;
    let mut other = it.state.clone();
    other.domain.replica = it.state.ambient.uuid();
    assert_eq!(dispatch::admit(&other).await.unwrap(), 0, "the first leads");
    boot::resign(&other).await.unwrap();
    assert_eq!(dispatch::admit(&other).await.unwrap(), 0, "nobody resigns for another");
    boot::resign(&it.state).await.unwrap();
    assert_eq!(dispatch::admit(&other).await.unwrap(), 1, "no time has passed");
}

#[tokio::test]
async fn a_third_lost_lease_fails_the_run() {
    let it = Installation::start().await;
    let Scene { ann, run, held, task, executor, .. } = it.claimed(None).await;
    let mut held = held;
    for round in 1..=3 {
        held.reported(1, json!([started("a")])).await;
        // A renewed lease is not lost.
        it.clock.advance(Duration::from_secs(20));
        assert_eq!(held.renew().await.0, StatusCode::OK);
        it.clock.advance(Duration::from_secs(20));
        assert_eq!(reconcile::reclaim_expired(&it.state).await.unwrap(), 0);
        it.clock.advance(EXPIRED);
        assert_eq!(reconcile::reclaim_expired(&it.state).await.unwrap(), 1);
        if round < 3 {
            assert_lease_lost(&held, 2).await;
            assert_eq!(it.admitted().await, task);
            held = executor.claim(&task).await.expect("it is handed out again");
        }
    }
    let shown = ann.get(&format!("/v1/runs/{run}")).await;
    assert_eq!((&shown["status"], &shown["error"]["code"]), (&json!("failed"), &json!("executor_lost")));
    assert_run_ended(&held, 2).await;
    let kinds = ann.kinds(&run).await;
    assert_eq!(kinds.iter().filter(|kind| *kind == "step.lost").count(), 3);
    assert_eq!(kinds.last().unwrap(), "run.finished");
    assert_eq!(dispatch::admit(&it.state).await.unwrap(), 0);
}

#[tokio::test]
async fn losses_count_in_a_row_and_a_step_that_ends_begins_anew() {
    let it = Installation::start().await;
    let document = steps(json!({ "a": { "script": "a.lua" }, "b": { "script": "a.lua", "needs": ["a"] } }));
    let Scene { ann, run, task, executor, held, .. } = it.claimed(Some(document)).await;
    let mut held = held;
    for _ in 0..2 {
        it.clock.advance(EXPIRED);
        held = executor.claim(&task).await.unwrap();
    }
    held.reported(1, json!([started("a"), finished("a"), started("b")])).await;
    for _ in 0..2 {
        it.clock.advance(EXPIRED);
        held = executor.claim(&task).await.unwrap();
    }
    held.reported(1, json!([started("b"), finished("b"), run_finished("succeeded")])).await;
    assert_eq!(ann.status(&run).await, "succeeded");
}

#[tokio::test]
async fn a_claim_whose_answer_was_lost_is_granted_again() {
    let it = Installation::start().await;
    let (ann, place) = it.pipeline(None).await;
    let run = ann.run(&place, json!({})).await;
    let task = it.admitted().await;
    let (executor, other) = (it.executor().await, it.executor().await);
    let claim = |id: u8| {
        let id = uuid::Uuid::from_bytes([id; 16]);
        json!({ "protocol": 1, "engine_id": "test", "claim_id": id })
    };
    let unheard = executor.claim_as(&task, claim(1)).await.unwrap();
    // Neither another claim nor somebody else's gets it.
    for (executor, id) in [(&executor, 2), (&other, 1)] {
        let (status, answer) = executor.claim_as(&task, claim(id)).await.unwrap_err();
        assert_eq!((status, code(&answer)), (StatusCode::CONFLICT, "not_claimable"));
    }
    let held = executor.claim_as(&task, claim(1)).await.expect("the same claim is granted again");
    assert!(held.fence > unheard.fence);
    assert_lease_lost(&unheard, 1).await;
    held.reported(1, json!([started("a")])).await;
    // Once something was done under it, it is not.
    let (status, _) = executor.claim_as(&task, claim(1)).await.unwrap_err();
    assert_eq!(status, StatusCode::CONFLICT);
    held.reported(2, json!([finished("a"), run_finished("succeeded")])).await;
    assert_eq!(ann.status(&run).await, "succeeded");
    assert!(!ann.kinds(&run).await.contains(&"step.lost".to_owned()));
    assert_eq!(it.count("SELECT lost FROM tasks").await, 0);
}

#[tokio::test]
async fn boot_takes_back_every_lease_at_once() {
    let it = Installation::start().await;
    let Scene { ann, run, held, executor, task, .. } = it.claimed(None).await;
    held.reported(1, json!([started("a"), printed("a", 1, "x")])).await;
    assert_eq!(boot::start_embedded(&it.state).await.unwrap(), 1);
    assert_eq!(boot::start_embedded(&it.state).await.unwrap(), 0);
    assert_lease_lost(&held, 2).await;
    assert_eq!(it.admitted().await, task);
    // What was admitted and lost with the queue is pushed again.
    boot::start_embedded(&it.state).await.unwrap();
    assert_eq!(it.message().await, task);
    let (status, _) = executor.claim(&task).await.unwrap_err();
    assert_eq!(status, StatusCode::UNAUTHORIZED, "the credentials went with the process");
    let held = it.executor().await.claim(&task).await.unwrap();
    held.reported(1, json!([started("a"), finished("a"), run_finished("succeeded")])).await;
    assert_eq!(ann.status(&run).await, "succeeded");
    ann.kinds(&run).await;
}

#[tokio::test]
async fn unclaimed_tasks_are_pushed_again() {
    let it = Installation::start().await;
    let (ann, place) = it.pipeline(None).await;
    ann.run(&place, json!({})).await;
    let task = it.admitted().await;
    assert_eq!(dispatch::push_again(&it.state, false).await.unwrap(), 0);
    it.clock.advance(Duration::from_secs(11));
    assert_eq!(dispatch::push_again(&it.state, false).await.unwrap(), 1);
    assert_eq!(it.message().await, task);
    assert_eq!(dispatch::push_again(&it.state, false).await.unwrap(), 0);
}
