//! What becomes of a run between its start and its end: it is cancelled, is asleep; and whose turn it is.

use std::time::Duration;

use reqwest::StatusCode;
use restroy_control_plane::runs::{boot, dispatch, executors, reconcile};
use serde_json::{Value, json};

use crate::{
    database::PRODUCTION,
    runs_lease::{EXPIRED, code},
    runs_support::*,
};

/// The lines that an executor hears.
struct Signals {
    response: reqwest::Response,
    read: Vec<u8>,
}

impl Signals {
    async fn listen(executor: &Executor, held: Value) -> Self {
        let request = executor.http.post(format!("{}/executors/signals", executor.base)).bearer_auth(&executor.token);
        let response = request.json(&json!({ "protocol": 1, "held": held })).send().await.unwrap();
        assert_eq!(response.status(), StatusCode::OK);
        Self { response, read: Vec::new() }
    }

    /// The next line; none at the end.
    async fn next(&mut self) -> Option<Value> {
        loop {
            if let Some(end) = self.read.iter().position(|byte| *byte == b'\n') {
                let line: Vec<u8> = self.read.drain(..=end).collect();
                return Some(serde_json::from_slice(&line).unwrap());
            }
            let chunk = tokio::time::timeout(PATIENCE, self.response.chunk()).await.expect("something is said");
            self.read.extend_from_slice(&chunk.unwrap()?);
        }
    }

    /// The next release.
    async fn released(&mut self) -> Value {
        loop {
            let signal = self.next().await.expect("the signals do not end");
            if signal["type"] == "released" {
                return signal;
            }
        }
    }
}

fn confirming() -> Value {
    json!({ "protocol": 1, "engine_id": "test", "confirms": true })
}

pub(crate) fn limited(on_conflict: &str) -> Value {
    let mut document = steps(json!({ "a": { "script": "a.lua", "retry": { "max_attempts": 5, "max": "1h" } } }));
    document["concurrency"] = json!({ "limit": 1, "on_conflict": on_conflict });
    document
}

pub(crate) async fn cancel(ann: &Person, run: &str) {
    ann.expect(StatusCode::OK, reqwest::Method::POST, &format!("/v1/runs/{run}/cancel"), None).await;
}

#[tokio::test]
async fn an_executor_hears_of_the_end_at_once_and_its_place_is_free_once_it_has_stopped() {
    let it = Installation::start().await;
    let (ann, place) = it.pipeline(Some(limited("queue"))).await;
    let first = ann.run(&place, json!({})).await;
    let second = ann.run(&place, json!({})).await;
    let (executor, other) = (it.executor().await, it.executor().await);
    let task = it.admitted().await;
    let (mut signals, mut others) =
        (Signals::listen(&executor, json!([])).await, Signals::listen(&other, json!([])).await);
    assert_eq!(signals.next().await.unwrap()["type"], "alive");
    let held = executor.claim_as(&task, confirming()).await.unwrap();
    cancel(&ann, &first).await;
    let expected = json!({ "type": "released", "task_id": task, "fence": held.fence, "reason": "ended" });
    assert_eq!(signals.released().await, expected);
    let (status, answer) = held.renew().await;
    assert_eq!((status, code(&answer)), (StatusCode::CONFLICT, "run_ended"));

    // The executor may still be running: the next run of the pipeline waits for its word, and for nobody else's.
    assert_eq!(dispatch::admit(&it.state).await.unwrap(), 0);
    assert_eq!(other.post(&format!("/tasks/{task}/stopped"), json!({})).await.0, StatusCode::OK);
    assert_eq!(dispatch::admit(&it.state).await.unwrap(), 0);
    assert_eq!(executor.post(&format!("/tasks/{task}/stopped"), json!({})).await.0, StatusCode::OK);
    assert_eq!(dispatch::admit(&it.state).await.unwrap(), 1);
    assert_eq!(ann.status(&second).await, "queued");
    assert_eq!(others.next().await.unwrap()["type"], "alive", "what is not its own it does not hear of");
}

#[tokio::test]
async fn who_does_not_confirm_counts_until_the_lease_would_have_ended() {
    let it = Installation::start().await;
    let (ann, place) = it.pipeline(Some(limited("cancel_running"))).await;
    ann.run(&place, json!({})).await;
    let executor = it.executor().await;
    executor.claim_as(&it.admitted().await, confirming()).await.unwrap();
    ann.run(&place, json!({})).await;
    assert_eq!(dispatch::admit(&it.state).await.unwrap(), 0);
    assert_eq!(reconcile::release_drained(&it.state).await.unwrap(), 0);
    it.clock.advance(EXPIRED);
    assert_eq!(reconcile::release_drained(&it.state).await.unwrap(), 1);
    let task = it.admitted().await;
    // An executor that is older than the confirmation is not waited for.
    executor.claim(&task).await.unwrap();
    ann.run(&place, json!({})).await;
    assert_eq!(dispatch::admit(&it.state).await.unwrap(), 1);
}

#[tokio::test]
async fn who_listens_anew_hears_what_was_missed() {
    let it = Installation::start().await;
    let Scene { ann, place, run, executor, task, held } = it.claimed(None).await;
    let kept = ann.run(&place, json!({})).await;
    let kept_task = it.admitted().await;
    let kept_held = executor.claim(&kept_task).await.unwrap();
    cancel(&ann, &run).await;
    let nowhere = uuid::Uuid::from_u128(7).to_string();
    let mut signals = Signals::listen(
        &executor,
        json!([
            { "task_id": task, "fence": held.fence },
            { "task_id": kept_task, "fence": kept_held.fence },
            { "task_id": nowhere, "fence": 1 },
        ]),
    )
    .await;
    assert_eq!(signals.released().await["task_id"], json!(task));
    let gone = signals.released().await;
    assert_eq!((&gone["task_id"], &gone["reason"]), (&json!(nowhere), &json!("ended")));
    // The one that is held continues, until its lease is lost.
    it.clock.advance(EXPIRED);
    reconcile::reclaim_expired(&it.state).await.unwrap();
    let expected = json!({ "type": "released", "task_id": kept_task, "fence": kept_held.fence, "reason": "taken" });
    assert_eq!(signals.released().await, expected);
    assert_eq!(ann.status(&kept).await, "running");
}

#[tokio::test]
async fn signals_end_with_the_credential_and_are_not_for_everybody() {
    let it = Installation::start().await;
    let executor = it.executor().await;
    let stranger = Executor { token: "nobody".into(), ..executor.clone() };
    let listen = json!({ "protocol": 1, "held": [] });
    assert_eq!(stranger.post("/executors/signals", listen.clone()).await.0, StatusCode::UNAUTHORIZED);
    let mut all = Vec::new();
    for _ in 0..4 {
        all.push(Signals::listen(&executor, json!([])).await);
    }
    assert_eq!(executor.post("/executors/signals", listen).await.0, StatusCode::TOO_MANY_REQUESTS);
    let beat = json!({ "protocol": 1, "engine_id": "test", "slots": 1 });
    let id = text(&executor.post("/executors/heartbeat", beat).await.1["executor_id"]).parse().unwrap();
    executors::revoke(&it.state, id).await.unwrap();
    while let Some(signal) = all[0].next().await {
        assert_eq!(signal["type"], "alive");
    }
}

#[tokio::test]
async fn times_of_events_never_decrease() {
    let it = Installation::start().await;
    let Scene { ann, run, held, .. } = it.claimed(None).await;
    held.reported(1, json!([started("a"), printed("a", 1, "one")])).await;
    it.clock.set_back(Duration::from_millis(300));
    held.reported(2, json!([printed("a", 2, "two")])).await;
    it.clock.advance(Duration::from_millis(200));
    cancel(&ann, &run).await;
    let times: Vec<String> = ann.events(&run).await.iter().map(|event| text(&event["at"])).collect();
    assert!(times.is_sorted(), "{times:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn times_of_events_never_decrease_when_many_write() {
    let it = Installation::start().await;
    let Scene { ann, run, held, .. } = it.claimed(None).await;
    held.reported(1, json!([started("a")])).await;
    let clock = std::sync::Arc::clone(&it.clock);
    let ticking = tokio::spawn(async move {
        loop {
            clock.advance(Duration::from_micros(1));
            tokio::task::yield_now().await;
        }
    });
    let reports = async {
        for n in 2..40 {
            if held.report(n, json!([printed("a", n, "x")])).await.0 != StatusCode::OK {
                break;
            }
        }
    };
    let cancels = async {
        while ann.events(&run).await.len() < 12 {}
        cancel(&ann, &run).await;
    };
    tokio::join!(reports, cancels);
    ticking.abort();
    let times: Vec<String> = ann.events(&run).await.iter().map(|event| text(&event["at"])).collect();
    assert!(times.is_sorted(), "{times:?}");
}

#[tokio::test]
async fn the_end_of_the_whole_process_counts_as_no_lease_expiry() {
    let it = Installation::start().await;
    let Scene { ann, run, task, .. } = it.claimed(None).await;
    for _ in 0..5 {
        assert_eq!(boot::start_embedded(&it.state).await.unwrap(), 1);
        assert_eq!(it.count("SELECT lost FROM tasks").await, 0);
        assert_eq!(it.admitted().await, task);
        it.executor().await.claim(&task).await.expect("it goes on");
    }
    assert_eq!(ann.status(&run).await, "running");
}

#[tokio::test]
async fn a_suspended_single_process_loses_no_lease() {
    let it = Installation::start().await;
    let Scene { ann, run, held, .. } = it.claimed(None).await;
    let looked = reconcile::LastRecovery::default();
    for _ in 0..4 {
        assert_eq!(reconcile::renew_after_sleep(&it.state, &looked).await.unwrap(), 0);
        it.clock.advance(EXPIRED);
        let renewed = reconcile::renew_after_sleep(&it.state, &looked).await.unwrap();
        assert_eq!(renewed, u64::from(!PRODUCTION), "elsewhere the executor did not sleep along");
        if PRODUCTION {
            return;
        }
        assert_eq!(reconcile::reclaim_expired(&it.state).await.unwrap(), 0);
    }
    held.reported(1, json!([started("a"), finished("a"), run_finished("succeeded")])).await;
    assert_eq!(ann.status(&run).await, "succeeded");
    assert!(!ann.kinds(&run).await.contains(&"step.lost".to_owned()));
}

#[tokio::test]
async fn the_teams_of_one_owner_have_so_many_slots_together_and_owners_take_turns() {
    let it = Installation::start().await;
    let (mallory, ann) = (it.person("mallory").await, it.person("ann").await);
    for _ in 0..20 {
        let place = mallory.place(None).await;
        for _ in 0..5 {
            mallory.run(&place, json!({})).await;
        }
    }
    assert_eq!(dispatch::admit(&it.state).await.unwrap(), 10);
    let executor = it.executor().await;
    let beat = json!({ "protocol": 1, "engine_id": "test", "slots": 4 });
    assert_eq!(executor.post("/executors/heartbeat", beat).await.0, StatusCode::OK);
    let tasks = it.messages().await;
    assert_eq!(tasks.len(), 10);
    let place = ann.place(None).await;
    for _ in 0..3 {
        ann.run(&place, json!({})).await;
    }
    assert_eq!(dispatch::admit(&it.state).await.unwrap(), 3, "another owner's go beside them");
    let victims = it.messages().await;
    // With room for everybody, who has the fewest goes first.
    for task in tasks.iter().chain(&victims) {
        let held = executor.claim(task).await.unwrap();
        held.reported(1, json!([started("a"), finished("a"), run_finished("succeeded")])).await;
    }
    ann.run(&place, json!({})).await;
    assert_eq!(dispatch::admit(&it.state).await.unwrap(), 11);
    let first = it.messages().await[..2].to_vec();
    let mut teams = Vec::new();
    for task in first {
        teams.push(text(&executor.claim(&task).await.unwrap().plan["team_id"]));
    }
    assert!(teams.contains(&place.team), "it is among the first");

    // Where the operator lets a team have more, its owner has as much.
    it.sql("UPDATE teams SET max_running = 12").await;
    assert_eq!(dispatch::admit(&it.state).await.unwrap(), 2);
}
