//! Leases: kept while there is progress, lost, taken over.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use axum::{Router, routing::any};
use restroy_run_queue::run_api::CallKind;
use restroy_sdk::{
    event::EventKind,
    ids::TaskId,
    status::{RunStatus, StepStatus},
};
use serde_json::json;
use uuid::Uuid;

use crate::support::{Api, Report, Running, run_with};

async fn settle(api: Api, executor: Running) -> Report {
    api.finished().await;
    executor.stop().await;
    let events = api.events();
    Report { events, api }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_waiting_script_keeps_its_lease() {
    let api =
        Api::start(json!({"restroy": 1, "steps": {"a": {"script": "a.lua"}}}), &[("a.lua", "sleep(1) return 1")]).await;
    api.knobs(|knobs| knobs.lease_ms = 1200);
    let report = run_with(api).await;
    assert_eq!(report.status(), RunStatus::Succeeded);
    assert!(report.api.renewals() > 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_committed_is_executed_again_after_a_takeover() {
    let api = Api::start(
        json!({"restroy": 1, "steps": {
            "a": {"script": "a.lua", "allow": {"kv": true}},
            "b": {"script": "b.lua", "needs": ["a"], "allow": {"kv": true, "files": true}},
            "c": {"script": "c.lua", "needs": ["b"]},
        }}),
        &[
            ("a.lua", "kv.incr('a') return math.random(1 << 60)"),
            (
                "b.lua",
                "local n = kv.incr('b') files.append('log', 'x') print('waiting') kv.get('gate')
                 return { n = n, r = math.random(1 << 60), u = uuid.v4(), a = inputs.a }",
            ),
            ("c.lua", "return { inputs.b.n, inputs.b.a }"),
        ],
    )
    .await;
    let scratch = tempfile::tempdir().unwrap();
    let executor = Running::start(&api, scratch.path(), 1).await;
    executor.push(api.task_id()).await;
    let waits = |times| move |api: &Api| api.calls().iter().filter(|call| call.call_number > 1).count() == times;
    // Within the second step, after its effect: the lease goes to somebody else.
    api.until("b waits", waits(1)).await;
    let started = |event: &EventKind| matches!(event, EventKind::StepStarted { step, .. } if step.step == "b");
    api.until("b's start is committed", |api| api.events().iter().any(started)).await;
    let first: Vec<_> = api.calls();
    api.lose_lease();
    // The executor learns of it by its next write, or by a renewal, and takes the task anew.
    api.knobs(|knobs| knobs.gate.1.add_permits(1));
    api.until("the old fence is refused", |api| api.refused() > 0).await;
    executor.push(api.task_id()).await;
    api.until("b waits again", waits(2)).await;
    api.knobs(|knobs| knobs.gate.1.add_permits(1));
    let report = settle(api, executor).await;

    assert_eq!(report.status(), RunStatus::Succeeded);
    assert_eq!(report.starts("a", None), 1);
    assert_eq!(report.api.kv("a"), Some(json!(1)));
    // The effect was done once: the repeat found its stored answer, under the same key.
    assert_eq!(report.api.kv("b"), Some(json!(1)));
    let again: Vec<_> = report.api.calls()[first.len()..].to_vec();
    assert_eq!(again[0].key, first[1].key);
    assert_eq!(again[0].step.attempt, 1);
    let started: Vec<u32> = report
        .events
        .iter()
        .filter_map(|event| match event {
            EventKind::StepStarted { step, .. } if step.step == "b" => Some(step.attempt),
            _ => None,
        })
        .collect();
    assert_eq!(started, [1, 1], "the same attempt, twice");
    assert_eq!(report.output("c"), json!([1, report.output("a")]));
}

/// A server that counts its requests and answers each with its number.
async fn counting_server() -> (String, Arc<AtomicUsize>) {
    let requests: Arc<AtomicUsize> = Arc::default();
    let count = Arc::clone(&requests);
    let answer = move || async move { (count.fetch_add(1, Ordering::SeqCst) + 1).to_string() };
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let origin = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, Router::new().fallback(any(answer))).await });
    (origin, requests)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_that_was_answered_is_not_sent_again() {
    let (origin, requests) = counting_server().await;
    let script = format!(
        "local first = http.post('{origin}/a', {{ body = 'x' }}).body
         local own = http.post('{origin}/b', {{ idempotency_key = 'mine' }}).body
         kv.get('gate')
         local other = http.post('{origin}/c', {{ idempotency_key = 'mine' }}).body
         return {{ first, own, other }}"
    );
    let api = Api::start(
        json!({"restroy": 1, "steps": {"a": {"script": "a.lua", "allow": {"kv": true, "http": [origin]}}}}),
        &[("a.lua", &script)],
    )
    .await;
    let scratch = tempfile::tempdir().unwrap();
    let executor = Running::start(&api, scratch.path(), 1).await;
    executor.push(api.task_id()).await;
    let waits = |times| {
        move |api: &Api| api.calls().iter().filter(|call| matches!(call.call, CallKind::KvGet { .. })).count() == times
    };
    api.until("a waits", waits(1)).await;
    let started = |event: &EventKind| matches!(event, EventKind::StepStarted { .. });
    api.until("a's start is committed", |api| api.events().iter().any(started)).await;
    api.lose_lease();
    api.knobs(|knobs| knobs.gate.1.add_permits(1));
    api.until("the old fence is refused", |api| api.refused() > 0).await;
    executor.push(api.task_id()).await;
    api.until("a waits again", waits(2)).await;
    assert_eq!(requests.load(Ordering::SeqCst), 2, "the repeat got the stored answers");
    api.knobs(|knobs| knobs.gate.1.add_permits(1));
    let report = settle(api, executor).await;
    // Another request under a key that stands for an answer already is sent.
    assert_eq!(report.output("a"), json!(["1", "2", "3"]));
}

#[tokio::test(flavor = "multi_thread")]
async fn items_that_ended_are_not_executed_again() {
    let api = Api::start(
        json!({"restroy": 1, "steps": {
            "each": {"script": "each.lua", "for_each": "{'a', 'b', 'c'}", "max_parallel": 1, "allow": {"kv": true}},
            "after": {"script": "after.lua", "needs": ["each"]},
        }}),
        &[
            ("each.lua", "kv.incr('n') if index == 3 then kv.get('gate') end return item .. index"),
            ("after.lua", "return table.concat(inputs.each, ' ')"),
        ],
    )
    .await;
    let scratch = tempfile::tempdir().unwrap();
    let executor = Running::start(&api, scratch.path(), 1).await;
    executor.push(api.task_id()).await;
    let at_gate = |times| move |api: &Api| api.calls().iter().filter(|call| call.call_number == 2).count() == times;
    api.until("the third item waits", at_gate(1)).await;
    let ended = |event: &EventKind| matches!(event, EventKind::StepFinished { step, .. } if step.index == Some(2));
    api.until("the second item's end is committed", |api| api.events().iter().any(ended)).await;
    let started = |event: &EventKind| matches!(event, EventKind::StepStarted { step, .. } if step.index == Some(3));
    api.until("the third item's start is committed", |api| api.events().iter().any(started)).await;
    api.lose_lease();
    api.knobs(|knobs| knobs.gate.1.add_permits(1));
    api.until("the old fence is refused", |api| api.refused() > 0).await;
    executor.push(api.task_id()).await;
    api.until("the third item waits again", at_gate(2)).await;
    api.knobs(|knobs| knobs.gate.1.add_permits(1));
    let report = settle(api, executor).await;
    assert_eq!(report.output("after"), json!("a1 b2 c3"));
    assert_eq!(report.api.kv("n"), Some(json!(3)));
    assert_eq!((report.starts("each", Some(1)), report.starts("each", Some(3))), (1, 2));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_takeover_after_every_batch_comes_to_the_same_end() {
    for lose_after in 1..4 {
        let api = Api::start(
            json!({"restroy": 1, "steps": {
                "a": {"script": "a.lua", "allow": {"kv": true}},
                "bad": {"script": "bad.lua", "needs": ["a"], "retry": {"max_attempts": 2, "initial": "1ms"},
                        "continue_on_failure": true, "allow": {"kv": true}},
                "each": {"script": "each.lua", "needs": ["a"], "for_each": "{1, 2, 3}", "allow": {"kv": true}},
                "end": {"script": "end.lua", "needs": ["bad", "each"], "when": "always"},
            }}),
            &[
                ("a.lua", "kv.incr('n') return 1"),
                ("bad.lua", "kv.incr('n') error('no')"),
                ("each.lua", "kv.incr('n') return item"),
                ("end.lua", "return { bad = inputs.bad == nil, each = inputs.each }"),
            ],
        )
        .await;
        api.knobs(|knobs| knobs.lose_after = Some(lose_after));
        let scratch = tempfile::tempdir().unwrap();
        let executor = Running::start(&api, scratch.path(), 1).await;
        executor.push(api.task_id()).await;
        api.until("the old fence is refused, or all is done", |api| {
            api.refused() > 0 || matches!(api.events().last(), Some(EventKind::RunFinished { .. }))
        })
        .await;
        executor.push(api.task_id()).await;
        let report = settle(api, executor).await;
        assert_eq!(report.status(), RunStatus::Succeeded, "after batch {lose_after}: {:?}", report.ending());
        assert_eq!(report.output("end"), json!({"bad": true, "each": [1, 2, 3]}));
        assert_eq!(report.step("bad").0, StepStatus::Failed);
        // One for each step and item, and one more for the second attempt: none of them twice.
        assert_eq!(report.api.kv("n"), Some(json!(6)), "after batch {lose_after}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_lease_stops_the_sandboxes_and_frees_the_slot() {
    let api = Api::start(
        json!({"restroy": 1, "steps": {"a": {"script": "a.lua", "allow": {"kv": true}, "timeout": "5m"}}}),
        &[("a.lua", "kv.get('begun') sleep(200) return 1")],
    )
    .await;
    // A short lease: the loss is noticed by the next renewal.
    api.knobs(|knobs| knobs.lease_ms = 3000);
    let scratch = tempfile::tempdir().unwrap();
    let executor = Running::start(&api, scratch.path(), 1).await;
    executor.push(api.task_id()).await;
    api.until("the script has begun", |api| !api.calls().is_empty()).await;
    api.lose_lease();
    // The only slot is free again: the message is taken, and the claim succeeds.
    executor.push(api.task_id()).await;
    api.until("the task is claimed anew", |api| api.calls().len() == 2).await;
    let events = api.events();
    assert!(!events.iter().any(|event| matches!(event, EventKind::StepFinished { .. })));
    executor.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_task_that_cannot_be_claimed_is_let_go() {
    let api = Api::start(json!({"restroy": 1, "steps": {"a": {"script": "a.lua"}}}), &[("a.lua", "return 1")]).await;
    let scratch = tempfile::tempdir().unwrap();
    let executor = Running::start(&api, scratch.path(), 1).await;
    executor.push(TaskId(Uuid::from_u128(77))).await;
    executor.push(api.task_id()).await;
    let report = settle(api, executor).await;
    assert_eq!(report.status(), RunStatus::Succeeded);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_done_when_the_executor_ends_is_handed_back() {
    let api = Api::start(
        json!({"restroy": 1, "steps": {
            "a": {"script": "a.lua", "allow": {"kv": true}},
            "b": {"script": "b.lua", "needs": ["a"], "allow": {"kv": true}},
        }}),
        &[("a.lua", "return 1"), ("b.lua", "print('waiting') kv.get('gate') return inputs.a")],
    )
    .await;
    let scratch = tempfile::tempdir().unwrap();
    let first = Running::start(&api, scratch.path(), 1).await;
    first.push(api.task_id()).await;
    api.until("b waits", |api| !api.calls().is_empty()).await;
    first.stop().await;
    assert_eq!(api.released(), 1);
    let second = Running::start(&api, scratch.path(), 1).await;
    second.push(api.task_id()).await;
    api.knobs(|knobs| knobs.gate.1.add_permits(2));
    let report = settle(api, second).await;
    assert_eq!(report.status(), RunStatus::Succeeded);
    assert_eq!(report.starts("a", None), 1, "what was done was reported before");
    assert_eq!(report.api.released(), 1, "what is over is not handed back");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_executor_ends_although_nobody_takes_anything_back() {
    let api = Api::start(
        json!({"restroy": 1, "steps": {"a": {"script": "a.lua", "allow": {"kv": true}}}}),
        &[("a.lua", "kv.get('gate') return 1")],
    )
    .await;
    let scratch = tempfile::tempdir().unwrap();
    let executor = Running::start(&api, scratch.path(), 1).await;
    executor.push(api.task_id()).await;
    api.until("a waits", |api| !api.calls().is_empty()).await;
    api.lose_lease();
    executor.stop().await;
    assert_eq!(api.released(), 0);
}

/// A run that is taken over while its last step waits: a step that nobody needs any more, one that is needed, and a
/// `for_each` that is needed and one that is open.
async fn taken_over(sends_outputs: bool) -> Report {
    let api = Api::start(
        json!({"restroy": 1, "steps": {
            "first": {"script": "first.lua"},
            "second": {"script": "second.lua", "needs": ["first"]},
            "each": {"script": "each.lua", "needs": ["second"], "for_each": "{1, 2, 3, 4, 5}"},
            "last": {"script": "last.lua", "needs": ["each", "second"], "for_each": "inputs.each", "max_parallel": 1,
                     "allow": {"kv": true}},
            "end": {"script": "end.lua", "needs": ["last"]},
        }}),
        &[
            ("first.lua", "return ('x'):rep(1000)"),
            ("second.lua", "return #inputs.first"),
            ("each.lua", "return {item, 1.5}"),
            ("last.lua", "if index == 4 then kv.get('gate') end return {inputs.second, item}"),
            ("end.lua", "return inputs.last"),
        ],
    )
    .await;
    api.knobs(|knobs| knobs.sends_outputs = sends_outputs);
    let scratch = tempfile::tempdir().unwrap();
    let executor = Running::start(&api, scratch.path(), 1).await;
    executor.push(api.task_id()).await;
    api.until("the fourth item waits", |api| api.calls().len() == 1).await;
    let third = |event: &EventKind| matches!(event, EventKind::StepFinished { step, .. } if step.step == "last" && step.index == Some(3));
    api.until("the third item is recorded", |api| api.events().iter().any(third)).await;
    api.lose_lease();
    api.knobs(|knobs| knobs.gate.1.add_permits(1));
    api.until("the old fence is refused", |api| api.refused() > 0).await;
    executor.push(api.task_id()).await;
    api.until("the fourth item waits again", |api| api.calls().len() == 2).await;
    api.knobs(|knobs| knobs.gate.1.add_permits(1));
    let report = settle(api, executor).await;
    assert_eq!(report.status(), RunStatus::Succeeded);
    let expected: Vec<_> = (1..=5).map(|item| json!([1000, [item, 1.5]])).collect();
    assert_eq!(report.output("end"), json!(expected));
    assert_eq!(report.starts("second", None), 1);
    report
}

#[tokio::test(flavor = "multi_thread")]
async fn after_a_takeover_only_needed_outputs_are_fetched() {
    let report = taken_over(false).await;
    let mut fetched = report.api.fetched();
    fetched.sort();
    let item = |step: &str, index| (step.to_owned(), index);
    let expected = (1..=5).map(|index| item("each", index)).chain((1..=3).map(|index| item("last", index)));
    assert_eq!(fetched, expected.chain([item("second", 0)]).collect::<Vec<_>>());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_older_control_plane_sends_the_outputs_with_the_plan() {
    assert_eq!(taken_over(true).await.api.fetched(), []);
}
