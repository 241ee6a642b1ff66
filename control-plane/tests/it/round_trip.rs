//! A definition comes back as it was put: any document that is taken, its keys in the author's order, and
//! its files to the byte.

use std::collections::BTreeMap;

use proptest::{
    collection::{btree_map, vec},
    prelude::*,
    test_runner::{Config, TestRunner},
};
use restroy_sdk::document::{check, read_json};
use serde_json::{Map, Value, json};

use crate::support::World;

fn key() -> impl Strategy<Value = String> {
    "[A-Za-z_][A-Za-z0-9_]{0,8}"
}

/// What a document holds freely: texts of all kinds, but for U+0000.
fn text() -> impl Strategy<Value = String> {
    prop_oneof!["[ -~]{1,20}", "[a-zа-я\n\t\"'\\\\\u{1F600}]{1,12}", Just("null".to_owned()), Just("007".to_owned())]
}

fn map<T: Into<Value> + std::fmt::Debug>(
    value: impl Strategy<Value = T>,
    most: usize,
) -> impl Strategy<Value = Map<String, Value>> {
    vec((key(), value.prop_map(Into::into)), 0..most).prop_map(|members| members.into_iter().collect())
}

/// A schema that says something about some properties.
fn schema() -> impl Strategy<Value = Value> {
    let kind = prop_oneof![Just("string"), Just("integer"), Just("object"), Just("array")];
    let property = (kind, text()).prop_map(|(kind, text)| json!({ "type": kind, "description": text }));
    map(property, 5).prop_map(|properties| json!({ "properties": properties, "type": "object" }))
}

/// A step of the given number, which may need any before it.
fn step(number: usize) -> impl Strategy<Value = Value> {
    let needs = proptest::sample::subsequence((0..number).collect::<Vec<_>>(), 0..=number);
    let how = (any::<bool>(), 1..50u32, 1..900u32, any::<[bool; 4]>());
    (needs, map(text(), 4), proptest::option::of(schema()), proptest::option::of(text()), how).prop_map(
        |(needs, config, schema, condition, (retried, parallel, seconds, allow))| {
            let mut step = json!({ "script": "scripts/a.lua", "timeout": format!("{seconds}s") });
            if !needs.is_empty() {
                step["needs"] = needs.iter().map(|needed| format!("step-{needed}")).collect::<Vec<_>>().into();
            }
            if !config.is_empty() {
                step["config"] = config.into();
            }
            if let Some(schema) = schema {
                step["inputs_schema"] = schema;
            }
            if let Some(condition) = condition.filter(|condition| !condition.trim().is_empty()) {
                step["if"] = condition.into();
            }
            if retried {
                step["retry"] = json!({ "max_attempts": parallel.min(10), "backoff": "linear" });
            } else {
                step["for_each"] = "params.list".into();
                step["max_parallel"] = parallel.into();
            }
            if allow[0] {
                step["allow"] = json!({ "http": ["https://*.example.com"], "kv": allow[1], "files": allow[2] });
            }
            if allow[3] {
                step["secrets"] = json!(["A_SECRET_OF_ITS_OWN"]);
            }
            step
        },
    )
}

/// A document that is taken; the steps stand in any order.
fn document() -> impl Strategy<Value = Value> {
    let steps = (1..6usize)
        .prop_flat_map(|count| (0..count).map(step).collect::<Vec<_>>())
        .prop_map(|steps| -> Vec<_> {
            steps.into_iter().enumerate().map(|(number, step)| (format!("step-{number}"), step)).collect()
        })
        .prop_shuffle();
    let schedules = map(Just(json!({ "cron": "0 8 * * MON", "timezone": "Europe/Kyiv" })), 3);
    (steps, proptest::option::of(schema()), schedules, proptest::option::of(text())).prop_map(
        |(steps, params, schedules, description)| {
            let mut document = json!({ "restroy": 1 });
            if let Some(description) = description {
                document["description"] = description.into();
            }
            if let Some(params) = params {
                document["params"] = params;
            }
            document["steps"] = Value::Object(steps.into_iter().collect());
            if !schedules.is_empty() {
                document["schedules"] = schedules.into();
            }
            document
        },
    )
}

fn files() -> impl Strategy<Value = BTreeMap<String, String>> {
    btree_map("[a-z]{1,8}(/[a-z]{1,8})?\\.lua", text(), 0..4).prop_map(|mut files| {
        files.insert("scripts/a.lua".to_owned(), "return 1\r\n".to_owned());
        files
    })
}

#[test]
fn what_was_put_comes_back() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let (world, token, path) = runtime.block_on(async {
        let world = World::new().await;
        let ann = world.person("ann").await;
        let board = ann.board(&ann.team("Team").await, "Board").await;
        let path = format!("/v1/pipelines/{}", ann.pipeline(&board, "Pipeline").await);
        let token = ann.token.clone();
        drop(ann);
        (world, token, path)
    });
    let send = async |method: reqwest::Method, path: String, body: Option<String>| {
        let request = world.client.request(method, format!("{}{path}", world.url)).bearer_auth(&token);
        let request = match body {
            Some(body) => request.header("content-type", "application/json").body(body),
            None => request,
        };
        let response = request.send().await.unwrap();
        let status = response.status();
        (status, response.text().await.unwrap())
    };
    let config = Config { failure_persistence: None, ..Config::with_cases(40) };
    let run = TestRunner::new(config).run(&(document(), files()), |(document, files)| {
        // Spelt as the API spells it: what is as it would be anyway is left out.
        let read = read_json(&document.to_string());
        let read = read.map_err(|faults| TestCaseError::fail(format!("{faults:?}")))?;
        prop_assert_eq!(check(&read, &files), vec![], "the strategy makes documents that are taken");
        let spelt = serde_json::to_string(&read).unwrap();
        let body = format!(r#"{{"definition": {document}, "files": {}}}"#, json!(files));
        let (status, text) = runtime.block_on(send(reqwest::Method::PUT, format!("{path}/definition"), Some(body)));
        prop_assert_eq!(status, 200, "{}", text);
        let (_, text) = runtime.block_on(send(reqwest::Method::GET, format!("{path}/definition"), None));
        // By text: the order of keys is part of it.
        prop_assert!(text.contains(&format!(r#""definition":{spelt},"#)), "{} is not in {}", spelt, text);
        let got: Value = serde_json::from_str(&text).unwrap();
        prop_assert_eq!(&got["files"], &json!(files));
        Ok(())
    });
    run.unwrap_or_else(|error| panic!("{error}"));
}
