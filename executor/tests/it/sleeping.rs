//! Steps that sleep.

use restroy_sdk::{
    event::EventKind,
    status::{RunStatus, StepStatus},
};
use serde_json::json;

use crate::support::{Api, Running, run, within};

/// How often each step began to wait, and for how long.
fn waits(events: &[EventKind]) -> Vec<(String, Option<u64>)> {
    let waits = events.iter().filter_map(|event| match event {
        EventKind::StepWaiting { step, delay_ms, .. } => Some((step.step.clone(), *delay_ms)),
        _ => None,
    });
    waits.collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_step_sleeps_after_what_it_needs_and_takes_no_sandbox() {
    let report = run(
        json!({"restroy": 1, "steps": {
            "a": {"script": "a.lua"},
            "nap": {"sleep": "30ms", "needs": ["a"]},
            "b": {"script": "b.lua", "needs": ["nap"]},
        }}),
        &[("a.lua", "return 1"), ("b.lua", "return inputs.nap == json.null")],
    )
    .await;
    assert_eq!(report.status(), RunStatus::Succeeded);
    assert_eq!(waits(&report.events), [("nap".to_owned(), Some(30))]);
    assert_eq!(report.step("nap"), (StepStatus::Succeeded, None, None));
    assert_eq!(report.starts("nap", None), 0);
    assert_eq!(report.output("b"), json!(true));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sleep_is_suspended_and_goes_on_where_it_was() {
    let api = Api::start(
        json!({"restroy": 1, "steps": {
            "long": {"sleep": "1h"},
            "longer": {"sleep": "2h"},
            "after": {"script": "a.lua", "needs": ["long", "longer"]},
        }}),
        &[("a.lua", "return 1")],
    )
    .await;
    let scratch = tempfile::tempdir().unwrap();
    let executor = Running::start(&api, scratch.path(), 1).await;
    executor.push(api.task_id()).await;
    api.until("the run is suspended", |api| api.suspensions().len() == 1).await;
    // Its executor, or another, takes it too early: it is suspended again, and the sleeps do not begin anew.
    executor.push(api.task_id()).await;
    api.until("the run is suspended again", |api| api.suspensions().len() == 2).await;
    for suspension in api.suspensions() {
        let mut steps: Vec<_> = suspension.iter().map(|one| (one.step.as_str(), one.attempt)).collect();
        steps.sort_unstable();
        assert_eq!(steps, [("long", 1), ("longer", 1)]);
    }
    api.knobs(|knobs| knobs.waits_are_over = true);
    executor.push(api.task_id()).await;
    within("the run ends", api.finished()).await;
    executor.stop().await;
    let events = api.events();
    assert!(matches!(events.last(), Some(EventKind::RunFinished { status: RunStatus::Succeeded, .. })), "{events:?}");
    let mut waits = waits(&events);
    waits.sort();
    assert_eq!(waits, [("long".to_owned(), Some(3_600_000)), ("longer".to_owned(), Some(7_200_000))]);
}
