//! Whatever an executor sends: a terminal status stays, a wait is not moved, and the log has no gaps.

use std::collections::BTreeMap;

use proptest::{prelude::*, test_runner::TestRunner};
use serde_json::{Value, json};

use crate::runs_support::*;

/// An event that makes sense often enough.
fn event() -> impl Strategy<Value = Value> {
    let place = (prop::sample::select(vec!["a", "b", "nowhere"]), prop::option::of(0_u32..4), 1_u32..4);
    let kind = prop_oneof![
        4 => prop::option::of(0_u32..3).prop_map(|items| json!({ "type": "step.started", "items": items })),
        2 => (0_u64..3).prop_map(|line| json!({
            "type": "step.output", "first_line": line, "lines": [{ "level": "info", "text": "x" }]
        })),
        1 => (-1.0..2.0).prop_map(|fraction: f64| json!({ "type": "step.progress", "fraction": fraction })),
        2 => Just(json!({
            "type": "step.retrying", "error": { "code": "script_error", "message": "no" }, "delay_ms": 1
        })),
        2 => prop::option::of(0_u64..3).prop_map(|delay| json!({ "type": "step.waiting", "delay_ms": delay })),
        4 => prop::sample::select(vec!["succeeded", "failed", "skipped", "timed_out", "running"])
            .prop_map(|status| json!({ "type": "step.finished", "status": status })),
    ];
    let of_step = (place, kind).prop_map(|((step, index, attempt), mut event)| {
        event["step"] = json!(step);
        event["attempt"] = json!(attempt);
        if let Some(index) = index.filter(|index| *index > 0) {
            event["index"] = json!(index);
        }
        event
    });
    prop_oneof![
        40 => of_step,
        1 => prop::sample::select(vec!["succeeded", "failed", "timed_out", "queued"]).prop_map(run_finished),
        1 => Just(json!({ "type": "step.lost", "step": "a", "attempt": 1 })),
    ]
}

/// An attempt that may wait.
fn attempt() -> impl Strategy<Value = Value> {
    let step = prop::sample::select(vec!["a", "b", "nowhere"]);
    (step, prop::option::of(1_u32..3), 1_u32..4).prop_map(|(step, index, attempt)| match index {
        Some(index) => json!({ "step": step, "index": index, "attempt": attempt }),
        None => json!({ "step": step, "attempt": attempt }),
    })
}

#[derive(Debug, Clone)]
enum Act {
    Report(Vec<Value>),
    Repost,
    Suspend(Vec<Value>),
    Lose,
    Cancel,
}

fn act() -> impl Strategy<Value = Act> {
    prop_oneof![
        30 => prop::collection::vec(event(), 1..4).prop_map(Act::Report),
        3 => Just(Act::Repost),
        4 => prop::collection::vec(attempt(), 0..3).prop_map(Act::Suspend),
        2 => Just(Act::Lose),
        1 => Just(Act::Cancel),
    ]
}

fn is_terminal(status: &str) -> bool {
    !matches!(status, "queued" | "running" | "pending") && !status.starts_with("waiting")
}

/// The statuses of a run and its attempts; with those that wait, until when.
async fn statuses(ann: &Person, run: &str) -> BTreeMap<String, String> {
    let steps = ann.get(&format!("/v1/runs/{run}/steps?limit=100")).await;
    let mut statuses: BTreeMap<String, String> = steps["items"]
        .as_array()
        .unwrap()
        .iter()
        .map(|step| {
            let until = step["waiting_until"].as_str().unwrap_or_default();
            let status = format!("{} {until}", text(&step["status"]));
            (format!("{} {} {}", step["step"], step["index"], step["attempt"]), status.trim().to_owned())
        })
        .collect();
    statuses.insert("run".into(), ann.status(run).await);
    statuses
}

/// One life of a run under what proptest came up with.
async fn live(it: &std::sync::Arc<Installation>, ann: &Person, place: &Place, acts: Vec<Act>) {
    let run = ann.run(place, json!({})).await;
    let executor = it.executor().await;
    let mut task = it.admitted().await;
    let mut held = executor.claim(&task).await.ok();
    let (mut n, mut last) = (0, json!([]));
    let mut before = statuses(ann, &run).await;
    for act in acts {
        let Some(holder) = &held else { break };
        match act {
            Act::Report(events) => {
                let (status, answer) = holder.report(n + 1, json!(events)).await;
                assert!(status.is_success() || status.is_client_error(), "{status} {answer}");
                if status.is_success() {
                    n += 1;
                    last = json!(events);
                }
            }
            Act::Repost if n > 0 => {
                holder.report(n, last.clone()).await;
            }
            Act::Repost => {}
            Act::Suspend(waiting) => {
                let (status, answer) = holder.suspend(json!(waiting)).await;
                assert!(status.is_success() || status.is_client_error(), "{status} {answer}");
                if status.is_success() {
                    assert_eq!(ann.status(&run).await, "waiting");
                    // Longer than any wait of these events.
                    it.clock.advance(std::time::Duration::from_millis(10));
                    let resumed = it.executor().await.claim(&it.admitted().await).await.expect("it is due");
                    assert_eq!(ann.status(&run).await, "running");
                    (held, n) = (Some(resumed), 0);
                }
            }
            Act::Lose => {
                restroy_control_plane::runs::boot::start_embedded(&it.state).await.unwrap();
                restroy_control_plane::runs::dispatch::admit(&it.state).await.unwrap();
                let pushed = it.messages().await;
                held = None;
                if let Some(pushed) = pushed.into_iter().last() {
                    task = pushed;
                    held = it.executor().await.claim(&task).await.ok();
                    n = 0;
                }
            }
            Act::Cancel => {
                ann.call(reqwest::Method::POST, &format!("/v1/runs/{run}/cancel"), None).await;
            }
        }
        let after = statuses(ann, &run).await;
        for (what, status) in &before {
            if is_terminal(status) {
                assert_eq!(after.get(what), Some(status), "{what} left a terminal status");
            }
            if let Some(now) =
                after.get(what).filter(|now| status.starts_with("waiting ") && now.starts_with("waiting "))
            {
                assert_eq!(now, status, "the wait of {what} was moved");
            }
        }
        before = after;
    }
    let kinds = ann.kinds(&run).await;
    let ends = kinds.iter().filter(|kind| *kind == "run.finished").count();
    assert_eq!(ends, usize::from(is_terminal(&before["run"])), "{kinds:?}");
    if ends == 1 {
        assert_eq!(kinds.last().unwrap(), "run.finished");
        assert!(before.values().all(|status| is_terminal(status)), "{before:?}");
    } else {
        ann.call(reqwest::Method::POST, &format!("/v1/runs/{run}/cancel"), None).await;
    }
}

#[test]
fn terminal_statuses_stay_and_seq_has_no_gaps() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let document = steps(json!({
        "a": { "script": "a.lua" },
        "b": { "script": "a.lua", "needs": ["a"], "for_each": "params.items" },
    }));
    let (it, ann, place) = runtime.block_on(async {
        let it = Installation::start().await;
        let (ann, place) = it.pipeline(Some(document)).await;
        (it, ann, place)
    });
    let mut runner = TestRunner::new(ProptestConfig {
        cases: 40,
        failure_persistence: None,
        max_shrink_iters: 50,
        ..ProptestConfig::default()
    });
    runner
        .run(&prop::collection::vec(act(), 1..25), |acts| {
            runtime.block_on(live(&it, &ann, &place, acts));
            Ok(())
        })
        .unwrap();
}
