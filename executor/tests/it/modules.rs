//! What scripts load and what reaches them: the library's modules, and inputs against their schema.

use restroy_sdk::status::{RunStatus, StepStatus};
use serde_json::{Value, json};

use crate::support::{Api, run, run_with};

fn one_step() -> Value {
    json!({ "restroy": 1, "library": { "text": 3, "list": 1 }, "steps": { "a": { "script": "scripts/a.lua" } } })
}

/// A run API whose plan has modules of the library.
async fn with_library(document: Value, files: &[(&str, &str)], library: &[(&str, &str)]) -> Api {
    let api = Api::start(document, files).await;
    api.plan(|plan| {
        plan.library = library.iter().map(|(name, text)| ((*name).to_owned(), (*text).to_owned())).collect();
    });
    api
}

#[tokio::test(flavor = "multi_thread")]
async fn modules_of_the_library_are_loaded_by_their_name_and_no_other() {
    let files = [
        (
            "scripts/a.lua",
            "local text = require 'lib.text'\n\
             return { text.twice('x'), require('text').mine, pcall(require, 'lib/text'), text == require('lib.text') }",
        ),
        // A file of the same name stays what it was.
        ("scripts/text.lua", "return { mine = true }"),
    ];
    let library = [
        ("text", "local list = require('lib.list') return { twice = function(s) return list.join { s, s } end }"),
        ("list", "return { join = table.concat }"),
    ];
    let report = run_with(with_library(one_step(), &files, &library).await).await;
    let output = report.output("a");
    assert_eq!((&output[0], &output[1]), (&json!("xx"), &json!(true)), "{output}");
    assert_eq!((&output[2], output.as_array().unwrap().last()), (&json!(false), Some(&json!(true))), "{output}");
}

#[tokio::test(flavor = "multi_thread")]
async fn tracebacks_name_the_librarys_modules() {
    let files = [("scripts/a.lua", "local text = require('lib.text')\nlocal x = text.fails()\nreturn x")];
    let library = [("text", "local M = {}\nfunction M.fails()\n  error('no luck')\nend\nreturn M")];
    let report = run_with(with_library(one_step(), &files, &library).await).await;
    let error = report.step("a").2.unwrap();
    assert!(error.message.contains("lib.text:3: no luck"), "{}", error.message);
    let traceback = error.traceback.unwrap();
    assert!(
        traceback.contains("lib.text:3: in ") && traceback.contains("scripts/a.lua:2: in main chunk"),
        "{traceback}"
    );
}

/// A document whose second step takes what the first one gives as the schema says.
fn two_steps(more: &Value) -> Value {
    let mut second = json!({
        "script": "b.lua", "needs": ["a"],
        "inputs_schema": {
            "type": "object",
            "properties": { "a": { "type": "object", "properties": { "n": { "type": "integer", "minimum": 1 } } } },
            "required": ["a"],
        },
        "retry": { "max_attempts": 3, "initial": "1ms" },
    });
    for (field, value) in more.as_object().unwrap() {
        second[field] = value.clone();
    }
    json!({ "restroy": 1, "steps": { "a": { "script": "a.lua" }, "b": second } })
}

#[tokio::test(flavor = "multi_thread")]
async fn inputs_are_checked_before_the_script_starts() {
    let files = [("a.lua", "return { n = 0 }"), ("b.lua", "print('started') return inputs.a.n")];
    let report = run(two_steps(&json!({})), &files).await;
    let (status, _, error) = report.step("b");
    let error = error.unwrap();
    assert_eq!((status, error.code.as_str()), (StepStatus::Failed, "invalid_inputs"));
    assert_eq!(error.details.unwrap()["errors"][0]["pointer"], "/a/n");
    assert!(error.message.contains("`/a/n` must be at least 1"), "{}", error.message);
    assert_eq!((report.starts("b", None), report.lines("b")), (0, Vec::new()), "no sandbox was made, and none again");
    assert_eq!(report.status(), RunStatus::Failed);

    let files = [("a.lua", "return { n = 7 }"), ("b.lua", "return inputs.a.n")];
    assert_eq!(run(two_steps(&json!({})), &files).await.output("b"), json!(7));
}

#[tokio::test(flavor = "multi_thread")]
async fn inputs_of_a_for_each_are_checked_once_and_before_its_items() {
    let files = [("a.lua", "return { n = 0, items = { 1, 2 } }"), ("b.lua", "return item")];
    let report = run(two_steps(&json!({ "for_each": "inputs.a.items" })), &files).await;
    assert_eq!(report.code("b"), "invalid_inputs");
    assert_eq!(report.starts("b", Some(1)), 0);
    // A step that its `if` does not want is not checked.
    let report = run(two_steps(&json!({ "if": "inputs.a.n > 0" })), &files).await;
    assert_eq!(report.step("b").0, StepStatus::Skipped);
}
