//! What an executor can do with its credential and the tokens of its tasks, and what it cannot: it may have been
//! taken over.

use std::time::Duration;

use reqwest::StatusCode;
use restroy_control_plane::runs::executors::{self, Terms, TermsPatch};
use serde_json::{Value, json};

use crate::runs_support::*;

/// Starts so many runs, and gives their tasks once they are admitted.
async fn admitted(it: &Installation, ann: &Person, place: &Place, runs: usize) -> Vec<String> {
    let mut tasks = Vec::new();
    for _ in 0..runs {
        ann.run(place, json!({})).await;
        tasks.push(it.admitted().await);
    }
    tasks
}

fn beat(slots: u32) -> Value {
    json!({ "protocol": 1, "engine_id": "test", "slots": slots })
}

fn code(refused: Result<Held, (StatusCode, Value)>) -> String {
    let (status, problem) = refused.expect_err("the claim is refused");
    assert_eq!(status, StatusCode::TOO_MANY_REQUESTS, "{problem}");
    text(&problem["code"])
}

#[tokio::test]
async fn a_stolen_credential_claims_no_more_than_its_slots() {
    let it = Installation::start().await;
    let (ann, place) = it.pipeline(None).await;
    let tasks = admitted(&it, &ann, &place, 5).await;
    let thief = it.executor_of(2).await;
    // It says what it likes of itself.
    let (status, answer) = thief.post("/executors/heartbeat", beat(256)).await;
    assert_eq!((status, &answer["slots"]), (StatusCode::OK, &json!(2)), "{answer}");
    assert_eq!(it.count("SELECT MAX(slots) FROM executors").await, 2, "and is taken at its operator's word");

    let claims = tasks.iter().cloned().map(|task| {
        let thief = thief.clone();
        tokio::spawn(async move { thief.claim(&task).await })
    });
    let (mut held, mut refused) = (Vec::new(), 0);
    for claim in claims.collect::<Vec<_>>() {
        match claim.await.unwrap() {
            Ok(one) => held.push(one),
            Err(no) => {
                assert_eq!(code(Err(no)), "slots_exhausted");
                refused += 1;
            }
        }
    }
    assert_eq!((held.len(), refused), (2, 3));
    // What it was refused, others take.
    let other = it.executor().await;
    let mut taken = 0;
    for task in &tasks {
        taken += usize::from(other.claim(task).await.is_ok());
    }
    assert_eq!(taken, 3);
    // A task that is done gives its slot back.
    let first = held.remove(0);
    first.reported(1, json!([started("a"), finished("a"), run_finished("succeeded")])).await;
    let next = admitted(&it, &ann, &place, 1).await.remove(0);
    thief.claim(&next).await.expect("a slot is free");
}

/// The same claim sent again, since its answer was lost, takes no second slot.
#[tokio::test]
async fn a_claim_that_is_repeated_takes_one_slot() {
    let it = Installation::start().await;
    let (ann, place) = it.pipeline(None).await;
    let task = admitted(&it, &ann, &place, 1).await.remove(0);
    let executor = it.executor_of(1).await;
    let claim = json!({ "protocol": 1, "engine_id": "test", "claim_id": "0197a4e0-5b0e-7c52-b2f4-6d3c9f0a8e21" });
    let first = executor.claim_as(&task, claim.clone()).await.unwrap();
    let again = executor.claim_as(&task, claim).await.unwrap();
    assert!(again.fence > first.fence);
}

#[tokio::test]
async fn a_credential_expires() {
    let it = Installation::start().await;
    let (ann, place) = it.pipeline(None).await;
    let task = admitted(&it, &ann, &place, 1).await.remove(0);
    let executor = it.executor_of(1).await;
    let id = {
        let known = executors::list(&it.state.db, 10).await.unwrap();
        known.last().unwrap().id
    };
    let in_a_day = it.state.ambient.now().after(Duration::from_hours(24));
    let new = TermsPatch { expires_at: Some(Some(in_a_day)), ..TermsPatch::default() };
    let terms = executors::update_terms(&it.state.db, &it.state.ambient, id, &new).await.unwrap();
    assert_eq!(terms, Terms { slots: 1, expires_at: Some(in_a_day), certificate: None });
    let (_, answer) = executor.post("/executors/heartbeat", beat(1)).await;
    assert_eq!(answer["expires_at"], json!(in_a_day), "it is told before");
    it.clock.advance(Duration::from_hours(24));
    let (status, problem) = executor.claim(&task).await.unwrap_err();
    assert_eq!(status, StatusCode::UNAUTHORIZED);
    assert!(text(&problem["detail"]).contains("expired"), "{problem}");
    let (status, _) = executor.post("/executors/heartbeat", beat(1)).await;
    assert_eq!(status, StatusCode::UNAUTHORIZED);
    let new = TermsPatch { expires_at: Some(None), ..TermsPatch::default() };
    executors::update_terms(&it.state.db, &it.state.ambient, id, &new).await.unwrap();
    executor.claim(&task).await.unwrap();
}

#[tokio::test]
async fn a_bound_credential_is_nothing_without_its_certificate() {
    let it = Installation::start().await;
    let terms = Terms { certificate: Some([7; 32]), ..Terms::default() };
    let (_, token) = executors::create(&it.state, "bound", &terms).await.unwrap();
    let thief = Executor { token, ..it.executor().await };
    let (status, problem) = thief.post("/executors/heartbeat", beat(1)).await;
    assert_eq!(status, StatusCode::UNAUTHORIZED);
    assert!(text(&problem["detail"]).contains("certificate"), "{problem}");
}

/// The token of a task does what the task's steps declared.
#[tokio::test]
async fn calls_that_a_step_did_not_declare_are_refused() {
    let it = Installation::start().await;
    let document = steps(json!({
        "a": { "script": "a.lua" },
        "b": { "script": "b.lua", "allow": { "kv": true, "email": true, "files": true } },
    }));
    let Scene { held, ann, place, .. } = it.claimed(Some(document)).await;
    let mail = json!({ "method": "email_send", "to": ["a@example.com"], "subject": "S", "text": "T" });
    for (key, call) in [
        ("get", json!({ "method": "kv_get", "key": "k" })),
        ("list", json!({ "method": "kv_list", "prefix": "", "after": null, "limit": 10 })),
        ("set", json!({ "method": "kv_set", "key": "k", "value": 1 })),
        ("delete", json!({ "method": "kv_delete", "key": "k" })),
        ("incr", json!({ "method": "kv_incr", "key": "k", "by": 1 })),
        ("cas", json!({ "method": "kv_cas", "key": "k", "value": 1 })),
        ("mail", mail),
        ("recall", json!({ "method": "http_recall", "request": "r" })),
        ("http", json!({ "method": "http_answered", "request": "r", "answer": null })),
    ] {
        assert_eq!(held.refused(key, call).await, "not_granted", "{key}");
    }
    let (status, answer) = held.artifact("file", "a.txt", b"x").await;
    assert_eq!((status, &answer["refused"]["code"]), (StatusCode::OK, &json!("not_granted")), "{answer}");
    let shown = ann.get(&format!("/v1/boards/{}/kv", place.board)).await;
    assert_eq!(shown["items"], json!([]));
    assert_eq!(it.count("SELECT COUNT(*) FROM host_calls").await, 0);
    assert_eq!(it.count("SELECT COUNT(*) FROM artifacts").await, 0);
    // Its neighbour declared them; and the lease is kept through it all.
    let (status, answer) = held.artifact_of("b").await;
    assert_eq!((status, answer["refused"].is_null()), (StatusCode::OK, true), "{answer}");
    assert_eq!(held.renew().await.0, StatusCode::OK);
}

/// Rates are for people: executors share addresses, and ask often.
#[tokio::test]
async fn the_run_api_counts_no_requests_a_minute() {
    let it = Installation::with(|settings| settings.requests_per_minute = 60).await;
    let Scene { held, .. } = it.claimed(None).await;
    // People at the same address have used up what it may do.
    let (mut refused, mut asked) = (false, 0);
    while !refused {
        let burst: Vec<_> = (0..64).map(|_| it.http.get(format!("http://{}/v1/nothing", it.api)).send()).collect();
        for response in futures_util::future::join_all(burst).await {
            refused |= response.unwrap().status() == StatusCode::TOO_MANY_REQUESTS;
        }
        asked += 64;
        assert!(asked < 5_000, "the address is limited at all");
    }
    for _ in 0..20 {
        assert_eq!(held.renew().await.0, StatusCode::OK);
    }
}

/// Many calls of one task at once are served in turn, and its lease is renewed meanwhile.
#[tokio::test]
async fn a_storm_of_calls_is_served_in_turn() {
    let it = Installation::start().await;
    let Scene { held, .. } = it.claimed(None).await;
    let calls: Vec<_> = (0..100)
        .map(|n| {
            let held = held.clone();
            let call = json!({ "method": "kv_incr", "key": "n", "by": 1 });
            tokio::spawn(async move { held.called(&format!("k{n}"), call).await })
        })
        .collect();
    assert_eq!(held.renew().await.0, StatusCode::OK);
    for call in calls {
        call.await.unwrap();
    }
    let read = held.called("read", json!({ "method": "kv_get", "key": "n" })).await;
    assert_eq!(read["value"], json!(100));
}
