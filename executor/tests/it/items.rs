//! `for_each`: a step that runs once for each item.

use restroy_sdk::{
    event::EventKind,
    limit::{Limit, LimitValues},
    status::{RunStatus, StepStatus},
};
use serde_json::json;

use crate::support::{Api, Running, run, run_with};

#[tokio::test(flavor = "multi_thread")]
async fn items_run_and_their_results_come_together() {
    let report = run(
        json!({"restroy": 1, "steps": {
            "list": {"script": "list.lua"},
            "each": {"script": "each.lua", "needs": ["list"], "for_each": "inputs.list", "max_parallel": 3},
            "sum": {"script": "sum.lua", "needs": ["each"]},
        }}),
        &[
            ("list.lua", "local t = {} for i = 1, 25 do t[i] = { n = i } end return t"),
            ("each.lua", "print(index) return item.n * index"),
            ("sum.lua", "local n = 0 for _, v in ipairs(inputs.each) do n = n + v end return { #inputs.each, n }"),
        ],
    )
    .await;
    assert_eq!(report.status(), RunStatus::Succeeded);
    assert_eq!(report.output("sum"), json!([25, 5525]));
    assert_eq!(report.item("each", Some(25)).1, Some(json!(625)));
    assert_eq!(report.step("each").0, StepStatus::Succeeded);
    assert_eq!(report.lines("each").len(), 25);
    let started = report.events.iter().find_map(|event| match event {
        EventKind::StepStarted { step, items } if step.step == "each" && step.index.is_none() => Some(*items),
        _ => None,
    });
    assert_eq!(started, Some(Some(25)));
}

#[tokio::test(flavor = "multi_thread")]
async fn no_items_are_fine() {
    let report = run(
        json!({"restroy": 1, "steps": {
            "each": {"script": "x.lua", "for_each": "{}"},
            "after": {"script": "after.lua", "needs": ["each"]},
        }}),
        &[("x.lua", "return 1"), ("after.lua", "return #inputs.each")],
    )
    .await;
    assert_eq!(report.output("after"), json!(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failing_item_keeps_no_other_from_running() {
    let report = run(
        json!({"restroy": 1, "steps": {
            "each": {"script": "each.lua", "for_each": "{1, 2, 3, 4}", "max_parallel": 1},
            "after": {"script": "x.lua", "needs": ["each"]},
            "report": {"script": "report.lua", "needs": ["each"], "when": "always"},
        }}),
        &[
            ("each.lua", "if item % 2 == 0 then error('even ' .. item) end return item"),
            ("x.lua", "return 1"),
            ("report.lua", "local l = inputs.each return { l[1], l[2] == json.null, l[3], l[4] == json.null }"),
        ],
    )
    .await;
    assert_eq!(report.status(), RunStatus::Failed);
    let (status, _, error) = report.step("each");
    assert_eq!(status, StepStatus::Failed);
    let error = error.unwrap();
    assert_eq!(error.code, "items_failed");
    assert!(error.message.contains("2 of 4") && error.message.contains("item 2"), "{}", error.message);
    assert_eq!(report.step("after").0, StepStatus::Skipped);
    assert_eq!(report.output("report"), json!([1, true, 3, true]));
}

#[tokio::test(flavor = "multi_thread")]
async fn items_run_side_by_side_within_their_bound() {
    let api = Api::start(
        json!({"restroy": 1, "steps": {
            "each": {"script": "each.lua", "for_each": "{1, 2, 3, 4, 5, 6}", "max_parallel": 2, "allow": {"kv": true}},
        }}),
        &[("each.lua", "kv.get('gate') return item")],
    )
    .await;
    let scratch = tempfile::tempdir().unwrap();
    let executor = Running::start(&api, scratch.path(), 1).await;
    executor.push(api.task_id()).await;
    for done in 0..3 {
        api.until("two more items run", |api| api.calls().len() == 2 * (done + 1)).await;
        api.knobs(|knobs| knobs.gate.1.add_permits(2));
    }
    api.finished().await;
    executor.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_non_list_or_too_long_a_list_is_refused() {
    for (expression, code, says) in [
        ("nil", "for_each_not_an_array", "not nil"),
        ("{ a = 1 }", "for_each_not_an_array", "named fields"),
        ("'text'", "for_each_not_an_array", "a string"),
        (
            "(function() local t = {} for i = 1, 1001 do t[i] = i end return t end)()",
            "for_each_items_limit",
            "limit: 1000",
        ),
        ("error('no')", "script_error", "in `for_each`"),
    ] {
        let report = run(
            json!({"restroy": 1, "steps": {"each": {"script": "x.lua", "for_each": expression}}}),
            &[("x.lua", "return 1")],
        )
        .await;
        let error = report.step("each").2.unwrap();
        assert_eq!(error.code, code, "{expression}");
        assert!(error.message.contains(says), "{}", error.message);
        assert_eq!(report.starts("each", Some(1)), 0);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_teams_own_limits_hold() {
    let api = Api::start(
        json!({"restroy": 1, "steps": {
            "two": {"script": "x.lua", "for_each": "{1, 2}"},
            "three": {"script": "x.lua", "for_each": "{1, 2, 3}"},
            "burns": {"script": "burns.lua"},
        }}),
        &[("x.lua", "return item"), ("burns.lua", "local n = 0 for i = 1, 1e6 do n = n + i end return n")],
    )
    .await;
    api.plan(|plan| {
        plan.limits = LimitValues::default().with(Limit::ItemsPerForEach, 2).with(Limit::StepFuel, 500_000);
    });
    let report = run_with(api).await;
    assert_eq!(report.step("two").0, StepStatus::Succeeded);
    let (_, _, error) = report.step("three");
    assert_eq!(error.unwrap().code, "for_each_items_limit");
    let (_, _, error) = report.step("burns");
    assert_eq!(error.unwrap().code, "fuel_exhausted");
}
