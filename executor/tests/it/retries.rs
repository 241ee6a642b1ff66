//! Attempts after a failure.

use restroy_sdk::{
    event::EventKind,
    status::{RunStatus, StepStatus},
};
use serde_json::json;

use crate::support::run;

#[tokio::test(flavor = "multi_thread")]
async fn a_failed_attempt_is_followed_by_another() {
    let report = run(
        json!({"restroy": 1, "steps": {
            "a": {"script": "a.lua", "retry": {"max_attempts": 3, "backoff": "constant", "initial": "5ms"},
                  "allow": {"kv": true}},
        }}),
        &[(
            "a.lua",
            "kv.incr('n') if run.retry < 2 then error('not yet') end return { run.retry, math.random(1 << 60) }",
        )],
    )
    .await;
    assert_eq!(report.status(), RunStatus::Succeeded);
    assert_eq!(report.output("a")[0], json!(2));
    let retried: Vec<_> = report
        .events
        .iter()
        .filter_map(|event| match event {
            EventKind::StepRetrying { step, delay_ms, .. } => Some((step.attempt, *delay_ms)),
            _ => None,
        })
        .collect();
    assert_eq!(retried, [(1, 5), (2, 5)]);
    // Every answer was received, so each attempt is a new one to the world.
    assert_eq!(report.api.kv("n"), Some(json!(3)));
    let keys: std::collections::HashSet<_> = report.api.calls().into_iter().map(|call| call.key).collect();
    assert_eq!(keys.len(), 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn attempts_come_to_an_end() {
    let report = run(
        json!({"restroy": 1, "steps": {
            "a": {"script": "bad.lua", "retry": {"max_attempts": 2, "initial": "1ms"}},
            "b": {"script": "bad.lua"},
            "c": {"script": "final.lua", "retry": {"max_attempts": 5, "initial": "1ms"}},
            "d": {"script": "loop.lua", "retry": {"max_attempts": 5, "initial": "1ms"}},
        }}),
        &[
            ("bad.lua", "error('no')"),
            ("final.lua", "error{ message = 'never', retryable = false }"),
            ("loop.lua", "while true do end"),
        ],
    )
    .await;
    assert_eq!(report.starts("a", None), 2);
    assert_eq!(report.starts("b", None), 1);
    assert_eq!(report.starts("c", None), 1);
    assert_eq!(report.starts("d", None), 1);
    assert_eq!(report.code("d"), "fuel_exhausted");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_timeout_ends_a_step_as_timed_out() {
    let report =
        run(json!({"restroy": 1, "steps": {"a": {"script": "a.lua", "timeout": "50ms"}}}), &[("a.lua", "sleep(20)")])
            .await;
    let (status, _, error) = report.step("a");
    assert_eq!(status, StepStatus::TimedOut);
    assert_eq!(error.unwrap().code, "wall_time_limit");
}

#[tokio::test(flavor = "multi_thread")]
async fn items_are_attempted_on_their_own() {
    let report = run(
        json!({"restroy": 1, "steps": {
            "each": {"script": "each.lua", "for_each": "{1, 2}", "retry": {"max_attempts": 2, "initial": "1ms"}},
        }}),
        &[("each.lua", "if item == 2 and run.retry == 0 then error('once') end return run.retry")],
    )
    .await;
    assert_eq!(report.item("each", Some(1)).1, Some(json!(0)));
    assert_eq!(report.item("each", Some(2)).1, Some(json!(1)));
    assert_eq!((report.starts("each", Some(1)), report.starts("each", Some(2))), (1, 2));
}
