//! The run API when it is slow, absent, or repeats itself.

use std::collections::HashMap;

use restroy_sdk::status::RunStatus;
use serde_json::json;

use crate::support::{Api, Report, Running, run_with};

async fn chain() -> Api {
    Api::start(
        json!({"restroy": 1, "steps": {
            "a": {"script": "a.lua", "allow": {"kv": true}},
            "b": {"script": "b.lua", "needs": ["a"], "allow": {"kv": true}},
        }}),
        &[("a.lua", "for i = 1, 50 do print('line', i) end kv.incr('n') return 1"), ("b.lua", "kv.incr('n') return 2")],
    )
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_unavailable_for_a_while_is_tried_again() {
    let api = chain().await;
    api.knobs(|knobs| knobs.unavailable = HashMap::from([("claim", 2), ("events", 3), ("calls", 3)]));
    let report = run_with(api).await;
    assert_eq!(report.status(), RunStatus::Succeeded);
    assert_eq!(report.lines("a").len(), 50);
    assert_eq!(report.api.kv("n"), Some(json!(2)));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_one_may_not_claim_is_left_to_the_others() {
    let api = chain().await;
    api.knobs(|knobs| knobs.unavailable = HashMap::from([("credential", 1)]));
    // The message is back in the queue, and another slot, as another executor would, takes it up.
    let report = run_with(api).await;
    assert_eq!(report.status(), RunStatus::Succeeded);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_batch_whose_answer_is_lost_is_taken_once() {
    let api = chain().await;
    api.knobs(|knobs| knobs.lost_answers = 3);
    let report = run_with(api).await;
    assert_eq!(report.status(), RunStatus::Succeeded);
    assert_eq!(report.lines("a").len(), 50);
    assert_eq!((report.starts("a", None), report.starts("b", None)), (1, 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_report_that_is_refused_ends_the_run() {
    let api = chain().await;
    api.knobs(|knobs| knobs.refuse = Some("\"b\""));
    let scratch = tempfile::tempdir().unwrap();
    let executor = Running::start(&api, scratch.path(), 1).await;
    executor.push(api.task_id()).await;
    api.finished().await;
    executor.stop().await;
    let events = api.events();
    let (status, error) = Report { events, api }.ending();
    assert_eq!((status, error.unwrap().code.as_str()), (RunStatus::Failed, "internal"));
}

#[tokio::test(flavor = "multi_thread")]
async fn many_lines_arrive_whole_and_in_order() {
    let api = Api::start(
        json!({"restroy": 1, "steps": {"a": {"script": "a.lua"}}}),
        &[("a.lua", "for i = 1, 2000 do print(('%06d'):format(i) .. ('x'):rep(100)) progress(i / 2000) end")],
    )
    .await;
    let report = run_with(api).await;
    let lines = report.lines("a");
    assert_eq!(lines.len(), 2000);
    assert!((1..).zip(&lines).all(|(n, line): (u32, _)| line.starts_with(&format!("{n:06}"))));
}
