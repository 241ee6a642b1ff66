//! The life of runs under two replicas at once: admission, claims, recovery, effects.

use std::time::Duration;

use reqwest::{Method, StatusCode};
use restroy_control_plane::runs::{dispatch, reconcile, schedule};
use serde_json::{Value, json};

use crate::{
    races::{Pair, at_once},
    runs_support::*,
};

/// Both replicas admit at once, several times.
async fn admit(pair: &Pair) {
    let admitted = at_once((0..6).map(|n| {
        let state = pair.state(n);
        async move { dispatch::admit(&state).await }
    }));
    for admitted in admitted.await {
        admitted.unwrap();
    }
}

const IN_FLIGHT: &str = "SELECT COUNT(*) FROM tasks WHERE state IN ('admitted', 'leased')";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_task_is_handed_out_once_and_a_team_gets_its_slots() {
    let pair = Pair::start().await;
    let (ann, place) = pair.it.pipeline(None).await;
    for _ in 0..9 {
        ann.run(&place, json!({})).await;
    }
    admit(&pair).await;
    assert_eq!(pair.it.count(IN_FLIGHT).await, 5, "as many as the team may have at once");
    let tasks = pair.it.messages().await;
    assert_eq!(tasks.len(), 5, "each is pushed once: {tasks:?}");
    let executor = pair.it.executor().await;
    for task in tasks {
        let claims = at_once((0..6).map(|n| {
            let (executor, task) = (pair.executor_at(&executor, n), task.clone());
            async move { executor.claim(&task).await }
        }))
        .await;
        let (won, lost): (Vec<_>, Vec<_>) = claims.into_iter().partition(Result::is_ok);
        assert_eq!(won.len(), 1);
        for refused in lost {
            let (status, problem) = refused.unwrap_err();
            assert_eq!((status, &problem["code"]), (StatusCode::CONFLICT, &json!("not_claimable")), "{problem}");
        }
    }
    assert_eq!(pair.it.count("SELECT COUNT(*) FROM tasks WHERE state = 'leased' AND fence = 1").await, 5);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pipeline_runs_no_more_at_once_than_it_says() {
    let pair = Pair::start().await;
    for (on_conflict, open) in [("queue", 6), ("skip", 2), ("cancel_running", 2)] {
        let ann = pair.it.person(on_conflict.replace('_', "-").as_str()).await;
        let mut document = steps(json!({ "a": { "script": "a.lua" } }));
        document["concurrency"] = json!({ "limit": 2, "on_conflict": on_conflict });
        let place = ann.place(Some(document)).await;
        let path = format!("/v1/pipelines/{}/runs", place.pipeline);
        let started = at_once((0..6).map(|n| {
            let (ann, path) = (pair.at(&ann, n), path.clone());
            async move { ann.call(Method::POST, &path, Some(json!({}))).await }
        }))
        .await;
        assert!(started.iter().all(|(status, _)| *status == StatusCode::ACCEPTED), "{started:?}");
        let runs = ann.get(&path).await;
        let queued = runs["items"].as_array().unwrap().iter().filter(|run| run["status"] == "queued").count();
        assert_eq!(queued, open, "{on_conflict}");
        admit(&pair).await;
        assert_eq!(pair.it.messages().await.len(), 2, "{on_conflict}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_moment_fires_once_on_two_replicas() {
    let pair = Pair::start().await;
    let mut document = steps(json!({ "a": { "script": "a.lua" } }));
    document["schedules"] = json!({ "hourly": { "cron": "0 * * * *", "overlap": "allow" } });
    pair.it.pipeline(Some(document)).await;
    for hour in 1..=3 {
        pair.it.clock.advance(Duration::from_hours(1));
        let fired = at_once((0..6).map(|n| {
            let state = pair.state(n);
            async move { schedule::fire_due(&state).await.unwrap() }
        }))
        .await;
        assert_eq!(fired.iter().sum::<usize>(), 1);
        assert_eq!(pair.it.count("SELECT COUNT(*) FROM runs").await, hour);
    }
}

/// Runs of one pipeline, each in an executor's hands.
async fn held(pair: &Pair, ann: &Person, place: &Place, runs: usize) -> Vec<Held> {
    for _ in 0..runs {
        ann.run(place, json!({})).await;
    }
    dispatch::admit(&pair.it.state).await.unwrap();
    let (executor, mut held) = (pair.it.executor().await, Vec::new());
    for (n, task) in pair.it.messages().await.into_iter().enumerate() {
        held.push(pair.executor_at(&executor, n).claim(&task).await.unwrap());
    }
    assert_eq!(held.len(), runs);
    held
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn keys_of_a_board_are_linearizable_between_runs() {
    let pair = Pair::start().await;
    let (ann, place) = pair.it.pipeline(None).await;
    let runs = held(&pair, &ann, &place, 4).await;
    let calls = at_once((0..40).map(|n| {
        let held = runs[n % runs.len()].clone();
        let incr = json!({ "method": "kv_incr", "key": "n", "by": 1 });
        async move { held.called(&format!("incr {n}"), incr).await["value"].as_i64().unwrap() }
    }));
    let mut sums = calls.await;
    sums.sort_unstable();
    assert_eq!(sums, (1..=40).collect::<Vec<_>>(), "every sum was somebody's");

    let swaps = at_once((0..8).map(|n| {
        let held = runs[n % runs.len()].clone();
        let cas = json!({ "method": "kv_cas", "key": "lock", "value": n });
        async move { held.called(&format!("cas {n}"), cas).await["swapped"] == json!(true) }
    }))
    .await;
    assert_eq!(swaps.into_iter().filter(|swapped| *swapped).count(), 1, "one takes what is free");

    let sets = at_once((0..8).map(|n| {
        let held = runs[n % runs.len()].clone();
        let set = json!({ "method": "kv_set", "key": "set", "value": n });
        async move { held.called(&format!("set {n}"), set).await["version"].as_i64().unwrap() }
    }));
    let mut versions = sets.await;
    versions.sort_unstable();
    assert_eq!(versions, (1..=8).collect::<Vec<_>>());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_team_sends_no_more_mails_than_it_may() {
    let pair = Pair::start().await;
    let (ann, place) = pair.it.pipeline(None).await;
    let runs = held(&pair, &ann, &place, 4).await;
    let to: Vec<String> = (0..50).map(|n| format!("p{n}@example.com")).collect();
    let sent = at_once((0..8).map(|n| {
        let held = runs[n % runs.len()].clone();
        let mail = json!({ "method": "email_send", "to": to, "subject": "S", "text": "T" });
        async move { held.call(&format!("mail {n}"), mail).await }
    }))
    .await;
    let done = sent.iter().filter(|(_, answer)| answer.get("ok").is_some()).count();
    let refused = sent.iter().filter(|(_, answer)| answer["refused"]["code"] == "quota_exceeded").count();
    assert_eq!((done, refused), (4, 4), "{sent:?}");
}

/// A run's tasks and events agree with its status, whatever happened to it.
async fn consistent(pair: &Pair, ann: &Person, run: &str) {
    let status = ann.status(run).await;
    let kinds = ann.kinds(run).await;
    let ends = kinds.iter().filter(|kind| *kind == "run.finished").count();
    let ended = ["succeeded", "failed", "cancelled", "timed_out"].contains(&status.as_str());
    assert_eq!(ends, usize::from(ended), "{status}: {kinds:?}");
    if ended {
        assert_eq!(kinds.last().unwrap(), "run.finished", "nothing follows the end");
    }
    let disagree = "SELECT COUNT(*) FROM tasks t JOIN runs r ON r.id = t.run_id
                    WHERE (t.state = 'done') <> (r.status IN ('succeeded', 'failed', 'cancelled', 'timed_out'))";
    assert_eq!(pair.it.count(disagree).await, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whatever_happens_to_a_run_at_once_it_stays_whole() {
    let pair = Pair::start().await;
    let (ann, place) = pair.it.pipeline(None).await;
    let executor = pair.it.executor().await;
    for round in 0..12 {
        let ann = ann.login("ann").await;
        let run = ann.run(&place, json!({})).await;
        // Whichever replica led the dispatch leads it no more.
        pair.it.clock.advance(Duration::from_secs(11));
        let task = pair.it.admitted().await;
        let first = pair.executor_at(&executor, round).claim(&task).await.unwrap();
        first.reported(1, json!([started("a")])).await;
        let expired = round % 3 != 0;
        if expired {
            pair.it.clock.advance(Duration::from_secs(31));
        }
        let end = json!([finished("a"), run_finished("succeeded")]);
        let claims = at_once((0..3).map(|n| {
            let (executor, task) = (pair.executor_at(&executor, n), task.clone());
            async move { executor.claim(&task).await.ok() }
        }));
        let recovery = at_once((0..4).map(|n| {
            let state = pair.state(n);
            async move {
                reconcile::reclaim_expired(&state).await.unwrap();
                dispatch::admit(&state).await.unwrap();
            }
        }));
        let cancel = async {
            if round % 2 == 0 {
                let (status, answer) = ann.call(Method::POST, &format!("/v1/runs/{run}/cancel"), None).await;
                assert!(status == StatusCode::OK || status == StatusCode::CONFLICT, "{status} {answer}");
            }
        };
        let (reported, claims, _, ()) = tokio::join!(first.report(2, end.clone()), claims, recovery, cancel);
        assert!(reported.0 == StatusCode::OK || reported.0 == StatusCode::CONFLICT, "{reported:?}");
        consistent(&pair, &ann, &run).await;

        // Whoever holds it now, if somebody does, can continue; nobody else can.
        let mut holders = 0;
        for held in claims.into_iter().flatten() {
            holders += usize::from(held.renew().await.0 == StatusCode::OK);
        }
        holders += usize::from(first.renew().await.0 == StatusCode::OK);
        assert!(holders <= 1, "{holders} hold one task");
        ann.call(Method::POST, &format!("/v1/runs/{run}/cancel"), None).await;
        consistent(&pair, &ann, &run).await;
        pair.it.messages().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_runs_end_while_they_are_admitted() {
    let pair = Pair::start().await;
    let (ann, place) = pair.it.pipeline(None).await;
    for round in 0..4 {
        let pipeline = ann.pipeline_on(&place.board, &format!("P{round}")).await;
        ann.publish(&pipeline, steps(json!({ "a": { "script": "a.lua" } }))).await;
        let path = format!("/v1/pipelines/{pipeline}/runs");
        for _ in 0..8 {
            ann.expect(StatusCode::ACCEPTED, Method::POST, &path, Some(json!({}))).await;
        }
        let admitting = at_once((0..6).map(|n| {
            let state = pair.state(n);
            async move {
                dispatch::admit(&state).await.unwrap();
                dispatch::push_again(&state, true).await.unwrap();
            }
        }));
        let path = format!("/v1/pipelines/{pipeline}");
        let (_, deleted): (_, (StatusCode, Value)) = tokio::join!(admitting, ann.call(Method::DELETE, &path, None));
        assert_eq!(deleted.0, StatusCode::NO_CONTENT, "{}", deleted.1);
        assert_eq!(pair.it.count("SELECT COUNT(*) FROM tasks WHERE state <> 'done'").await, 0);
    }
}
