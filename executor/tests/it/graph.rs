//! Steps in their order, side by side, skipped, failed.

use restroy_sdk::status::{RunStatus, StepStatus};
use serde_json::json;

use crate::support::{Api, Running, run, run_with};

#[tokio::test(flavor = "multi_thread")]
async fn outputs_flow_along_a_chain() {
    let api = Api::start(
        json!({"restroy": 1, "steps": {
            "c": {"script": "c.lua", "needs": ["b"]},
            "b": {"script": "b.lua", "needs": ["a"], "config": {"unit": "m"}},
            "a": {"script": "a.lua"},
        }}),
        &[
            ("a.lua", "print('hello', params.name) return { n = 20, deep = { 1, 2.5, json.null } }"),
            ("b.lua", "local util = require('util') return util.double(inputs.a.n) .. config.unit"),
            ("c.lua", "return { b = inputs.b, a = inputs.a, step = run.step, retry = run.retry, id = run.id }"),
            ("util.lua", "return { double = function(n) return 2 * n end }"),
        ],
    )
    .await;
    api.plan(|plan| {
        plan.params = serde_json::value::RawValue::from_string(r#"{"name": "Ada"}"#.to_owned()).unwrap();
        plan.steps.get_mut("b").unwrap().config.insert("unit".to_owned(), "km".to_owned());
    });
    let report = run_with(api).await;
    assert_eq!(report.status(), RunStatus::Succeeded);
    assert_eq!(report.lines("a"), ["hello\tAda"]);
    assert_eq!(report.output("a"), json!({"n": 20, "deep": [1, 2.5, null]}));
    assert_eq!(report.output("b"), json!("40km"));
    // Only what it needs itself.
    let id = "00000000-0000-0000-0000-000000000002";
    assert_eq!(report.output("c"), json!({"b": "40km", "step": "c", "retry": 0, "id": id}));
}

#[tokio::test(flavor = "multi_thread")]
async fn steps_run_side_by_side_and_fan_in() {
    let wait = "kv.get('gate') return run.step";
    let api = Api::start(
        json!({"restroy": 1, "steps": {
            "left": {"script": "wait.lua", "allow": {"kv": true}},
            "right": {"script": "wait.lua", "allow": {"kv": true}},
            "both": {"script": "both.lua", "needs": ["left", "right"]},
        }}),
        &[("wait.lua", wait), ("both.lua", "return inputs.left .. inputs.right")],
    )
    .await;
    let scratch = tempfile::tempdir().unwrap();
    let executor = Running::start(&api, scratch.path(), 1).await;
    executor.push(api.task_id()).await;
    // Both are in their scripts at once; neither can continue before the other has come.
    api.until("both steps run", |api| api.calls().len() == 2).await;
    api.knobs(|knobs| knobs.gate.1.add_permits(2));
    api.finished().await;
    executor.stop().await;
    let events = api.events();
    let report = crate::support::Report { events, api };
    assert_eq!(report.output("both"), json!("leftright"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failure_skips_dependants_and_calls_handlers() {
    let report = run(
        json!({"restroy": 1, "steps": {
            "bad": {"script": "bad.lua"},
            "after": {"script": "ok.lua", "needs": ["bad"]},
            "beside": {"script": "ok.lua"},
            "handler": {"script": "seen.lua", "needs": ["bad", "beside"], "when": "any_failed"},
            "cleanup": {"script": "seen.lua", "needs": ["after"], "when": "always"},
            "unneeded": {"script": "ok.lua", "needs": ["beside"], "when": "any_failed"},
        }}),
        &[
            ("bad.lua", "local function f() error{ code = 'broken', detail = 7 } end\nf()"),
            ("ok.lua", "return 1"),
            ("seen.lua", "return { bad = inputs.bad == nil, beside = inputs.beside }"),
        ],
    )
    .await;
    let (status, error) = report.ending();
    assert_eq!(status, RunStatus::Failed);
    assert!(error.unwrap().message.contains("`bad`"));
    let (status, output, error) = report.step("bad");
    assert_eq!((status, output), (StepStatus::Failed, None));
    let error = error.unwrap();
    assert_eq!(error.code, "script_error");
    assert_eq!(error.details.unwrap()["detail"], 7);
    assert!(error.traceback.unwrap().contains("bad.lua:1"), "names its own line");
    assert_eq!((report.step("after").0, report.code("after").as_str()), (StepStatus::Skipped, "needs_failed"));
    assert_eq!((report.step("unneeded").0, report.code("unneeded").as_str()), (StepStatus::Skipped, "when_not_met"));
    assert_eq!(report.output("handler"), json!({"bad": true, "beside": 1}));
    assert_eq!(report.output("cleanup"), json!({"bad": true}));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_step_that_may_fail_leaves_the_run_whole() {
    let report = run(
        json!({"restroy": 1, "steps": {
            "a": {"script": "bad.lua", "continue_on_failure": true},
            "b": {"script": "ok.lua", "needs": ["a"]},
            "c": {"script": "ok.lua", "needs": ["a"], "when": "always"},
        }}),
        &[("bad.lua", "error('no')"), ("ok.lua", "return true")],
    )
    .await;
    assert_eq!(report.status(), RunStatus::Succeeded);
    assert_eq!(report.step("a").0, StepStatus::Failed);
    assert_eq!(report.step("b").0, StepStatus::Skipped);
    assert_eq!(report.output("c"), json!(true));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_condition_decides_and_its_faults_are_named() {
    let report = run(
        json!({"restroy": 1, "steps": {
            "a": {"script": "a.lua"},
            "no": {"script": "a.lua", "needs": ["a"], "if": "inputs.a.n > 1"},
            "nothing": {"script": "a.lua", "if": "nil"},
            "zero": {"script": "a.lua", "if": "0"},
            "yes": {"script": "a.lua", "needs": ["a"], "if": "inputs.a.n == 1 and config.x == 'y'", "config": {"x": "y"}},
            "then": {"script": "then.lua", "needs": ["no", "yes"]},
            "wrong": {"script": "a.lua", "needs": ["a"], "if": "inputs.a.n.m.k"},
        }}),
        &[("a.lua", "return { n = 1 }"), ("then.lua", "return { no = inputs.no == nil, yes = inputs.yes.n }")],
    )
    .await;
    for name in ["no", "nothing"] {
        assert_eq!((report.step(name).0, report.code(name).as_str()), (StepStatus::Skipped, "condition_false"));
        assert_eq!(report.starts(name, None), 0);
    }
    assert_eq!(report.output("zero"), json!({"n": 1}));
    assert_eq!(report.output("then"), json!({"no": true, "yes": 1}));
    let (status, _, error) = report.step("wrong");
    assert_eq!(status, StepStatus::Failed);
    assert!(error.unwrap().message.starts_with("in `if`: "));
    assert_eq!(report.status(), RunStatus::Failed);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wide_graph_comes_to_its_end() {
    let mut steps = serde_json::Map::new();
    for n in 0..30 {
        steps.insert(format!("s{n}"), json!({"script": "s.lua"}));
    }
    let needs: Vec<_> = (0..30).map(|n| format!("s{n}")).collect();
    steps.insert("sum".to_owned(), json!({"script": "sum.lua", "needs": needs}));
    let report = run(
        json!({"restroy": 1, "steps": steps}),
        &[
            ("s.lua", "return tonumber(run.step:sub(2))"),
            ("sum.lua", "local n = 0 for _, v in pairs(inputs) do n = n + v end return n"),
        ],
    )
    .await;
    assert_eq!(report.output("sum"), json!(435));
}
