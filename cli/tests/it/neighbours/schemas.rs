//! Schemas, patterns, expressions, sources and schedules: what is written once and paid whenever it is checked.

use std::fmt::Write as _;

use futures_util::future::join_all;
use restroy_sdk::problem::ProblemCode;
use serde_json::{Map, Value, json};

use super::Neighbours;
use crate::world::{Tenant, problem};

const SCRIPT: &[(&str, &str)] = &[("scripts/a.lua", "return 1")];

fn pipeline(params: &Value) -> Value {
    json!({ "restroy": 1, "params": params, "steps": { "a": { "script": "scripts/a.lua" } } })
}

fn with_type(mut schema: Value) -> Value {
    schema["type"] = json!("object");
    schema
}

/// A schema around another one.
type Applicator = fn(Value) -> Value;

/// Keywords that apply a schema, taken here or not.
fn applicators() -> Vec<(&'static str, Applicator)> {
    vec![
        ("properties", |schema| json!({ "properties": { "a": schema } })),
        ("patternProperties", |schema| json!({ "patternProperties": { "a": schema } })),
        ("additionalProperties", |schema| json!({ "additionalProperties": schema })),
        ("propertyNames", |schema| json!({ "propertyNames": schema })),
        ("items", |schema| json!({ "items": schema })),
        ("prefixItems", |schema| json!({ "prefixItems": [schema] })),
        ("contains", |schema| json!({ "contains": schema })),
        ("allOf", |schema| json!({ "allOf": [schema] })),
        ("anyOf", |schema| json!({ "anyOf": [schema] })),
        ("oneOf", |schema| json!({ "oneOf": [schema] })),
        ("not", |schema| json!({ "not": schema })),
        ("if", |schema| json!({ "if": schema })),
        ("then", |schema| json!({ "if": true, "then": schema })),
        ("unevaluatedProperties", |schema| json!({ "unevaluatedProperties": schema })),
        ("unevaluatedItems", |schema| json!({ "unevaluatedItems": schema })),
        ("dependentSchemas", |schema| json!({ "dependentSchemas": { "a": schema } })),
    ]
}

/// Very deep by references: aborted a process once.
fn deep(wrap: fn(Value) -> Value) -> Value {
    let mut defs = Map::new();
    for n in 0..20 {
        let next = json!({ "$ref": format!("#/$defs/d{}", n + 1) });
        defs.insert(format!("d{n}"), (0..25).fold(next, |schema, _| wrap(schema)));
    }
    defs.insert("d20".into(), json!({}));
    json!({ "type": "object", "allOf": [{ "$ref": "#/$defs/d0" }], "$defs": defs })
}

#[tokio::test]
async fn no_deep_schema_ends_a_process() {
    let mut neighbours = Neighbours::new(&[]).await;
    neighbours
        .during(async |attacker| {
            let home = attacker.push("deep", pipeline(&json!({ "type": "object" })), SCRIPT).await;
            for (name, wrap) in applicators() {
                let refused = attacker.try_publish(home, pipeline(&deep(wrap)), SCRIPT).await.unwrap_err();
                assert_eq!(refused.code, ProblemCode::InvalidDefinition, "{name}: {refused}");
                let deepest = with_type((0..62).fold(json!({}), |schema, _| wrap(schema)));
                let _ = attacker.try_publish(home, pipeline(&deepest), SCRIPT).await;
            }
        })
        .await;
}

#[tokio::test]
async fn no_wide_schema_takes_memory_or_time() {
    let patterns = |count: usize| -> Value {
        let all: Vec<Value> = (0..count).map(|n| json!({ "pattern": format!("(a\\p{{L}}{{200}}b|c){n}") })).collect();
        json!({ "type": "object", "properties": { "a": { "anyOf": all } } })
    };
    let mut doubling = Map::new();
    for n in 0..40 {
        let next = format!("#/$defs/d{}", n + 1);
        doubling.insert(format!("d{n}"), json!({ "allOf": [{ "$ref": next }, { "$ref": next }] }));
    }
    doubling.insert("d40".into(), json!({}));
    let nested = (0..40).fold(json!({}), |inner, _| json!({ "allOf": [inner], "unevaluatedProperties": false }));
    let schemas = [
        ("patterns", patterns(400)),
        (
            "many patterns",
            json!({ "type": "object", "patternProperties": (0..5_000).map(|n| (format!("a{n}"), json!({}))).collect::<Map<_, _>>() }),
        ),
        ("doubling", json!({ "type": "object", "$ref": "#/$defs/d0", "$defs": doubling })),
        ("unevaluated", with_type(nested)),
        ("wide", json!({ "type": "object", "anyOf": vec![json!({}); 50_000] })),
        ("unknown keywords", json!((0..50_000).map(|n| (format!("propertie{n}"), json!(0))).collect::<Map<_, _>>())),
        (
            "long names",
            json!({ "type": "object", "properties": (0..20).map(|n| ("x".repeat(80_000 + n), json!({ "type": 1 }))).collect::<Map<_, _>>() }),
        ),
    ];
    let mut neighbours = Neighbours::new(&[]).await;
    neighbours
        .during(async |attacker| {
            let home = attacker.push("wide", pipeline(&json!({ "type": "object" })), SCRIPT).await;
            let attempts = schemas.iter().map(async |(name, schema)| {
                let refused = attacker.try_publish(home, pipeline(schema), SCRIPT).await.unwrap_err();
                assert!(
                    matches!(
                        refused.code,
                        ProblemCode::InvalidDefinition | ProblemCode::RateLimited | ProblemCode::TooLarge
                    ),
                    "{name}: {refused}"
                );
            });
            join_all(attempts).await;
        })
        .await;
}

/// Schemas that are taken and cost as much as they may, with parameters for them.
fn costly() -> Vec<(&'static str, Value, Value)> {
    let constants: Vec<Value> = (0..1_000).map(|n| json!({ "const": n })).collect();
    let lists = (0..40).fold(json!({}), |schema, _| json!({ "allOf": [schema], "uniqueItems": true }));
    let text: String =
        (0_u32..300_000).map(|n| if n.wrapping_mul(n).count_ones() % 2 == 0 { 'a' } else { 'b' }).collect();
    vec![
        ("comparisons", json!({ "items": { "anyOf": constants } }), json!(vec![-1; 50_000])),
        ("unique", lists, json!((0..90_000).collect::<Vec<_>>())),
        ("automata", json!({ "pattern": "(a|b)*a(a|b){200}c" }), json!(text)),
        ("lengths", json!({ "allOf": vec![json!({ "maxLength": 900_000 }); 2_000] }), json!("x".repeat(800_000))),
    ]
}

#[tokio::test]
async fn no_check_of_parameters_takes_a_core() {
    let mut neighbours = Neighbours::new(&[]).await;
    for (name, schema, value) in costly() {
        let schema = json!({ "type": "object", "properties": { "a": schema } });
        neighbours
            .during(async |attacker| {
                let home = attacker.push(name, pipeline(&schema), SCRIPT).await;
                let params = json!({ "a": value });
                let run = restroy_sdk::api::run::NewRun { params: params.as_object().unwrap().clone() };
                let starts = (0..12).map(|_| attacker.client.start_run(home, &run));
                for started in join_all(starts).await {
                    let Err(error) = started else { continue };
                    let problem = problem(error);
                    let known = [
                        ProblemCode::TooLarge,
                        ProblemCode::InvalidParams,
                        ProblemCode::RateLimited,
                        ProblemCode::Unavailable,
                    ];
                    assert!(known.contains(&problem.code), "{name}: {problem}");
                }
            })
            .await;
    }
}

#[tokio::test]
async fn no_check_of_inputs_takes_an_executor() {
    let mut neighbours = Neighbours::new(&[]).await;
    let constants: Vec<Value> = (0..1_000).map(|n| json!({ "const": n })).collect();
    let mut steps = json!({ "a": { "script": "scripts/a.lua" } });
    for n in 0..30 {
        steps[format!("b{n}")] = json!({ "script": "scripts/b.lua", "needs": ["a"], "inputs_schema": {
            "type": "object", "properties": { "a": { "items": { "anyOf": constants } } } } });
    }
    let files = [
        ("scripts/a.lua", "local t = json.array {} for i = 1, 80000 do t[i] = -1 end return t"),
        ("scripts/b.lua", "return 1"),
    ];
    neighbours
        .during(async |attacker| {
            let home = attacker.push("inputs", json!({ "restroy": 1, "steps": steps }), &files).await;
            let run = attacker.run(home, json!({})).await;
            assert_eq!(run.error_code("b0"), "invalid_inputs");
        })
        .await;
}

#[tokio::test]
async fn no_schedule_holds_up_anothers() {
    let mut neighbours = Neighbours::new(&[]).await;
    let every: Map<String, Value> =
        (0..20).map(|n| (format!("s{n}"), json!({ "cron": "* * * * *", "timezone": "Europe/Kyiv" }))).collect();
    let required: Vec<String> = (0..4_000).map(|n| format!("p{n}")).collect();
    neighbours
        .during(async |attacker| {
            let params = json!({ "type": "object", "allOf": vec![json!({ "required": required }); 5] });
            let mut document = pipeline(&params);
            document["schedules"] = json!(every);
            attacker.push("every minute", document, SCRIPT).await;
            let rare = ["0 0 29 2 +MON", "59 23 LW 2 *", "0 0 29 2 *", "*/59 */23 31 */12 FRI#5", "0 0 15W 6 SUN#L"];
            let never = ["0 0 30 2 *", "0 0 31 4,6,9,11 *", "0 0 30-31 2 *"];
            let home = attacker.push("rare", pipeline(&json!({ "type": "object" })), SCRIPT).await;
            for (cron, taken) in rare.iter().map(|cron| (cron, true)).chain(never.iter().map(|cron| (cron, false))) {
                let mut document = pipeline(&json!({ "type": "object" }));
                let all: Map<String, Value> = (0..20).map(|n| (format!("s{n}"), json!({ "cron": cron }))).collect();
                document["schedules"] = json!(all);
                let answer = attacker.try_publish(home, document, SCRIPT).await;
                match answer {
                    Ok(()) => assert!(taken, "{cron} never fires"),
                    Err(refused) => assert!(refused.to_string().contains("cron"), "{cron}: {refused}"),
                }
            }
        })
        .await;
}

#[tokio::test]
async fn no_source_takes_the_compiler() {
    let mut labels = String::new();
    for n in 0..9_000 {
        let _ = writeln!(labels, "do goto l{n} end ::l{n}::");
    }
    let sources = [
        ("labels", labels),
        (
            "locals",
            (0..180).fold(String::new(), |mut text, n| {
                let _ = writeln!(text, "local v{n} = {n}");
                text
            }) + &"do local a = v1 end\n".repeat(10_000),
        ),
        ("constants", format!("return {{{}}}", (0..40_000).map(|n| format!("{n}.5,")).collect::<Vec<_>>().concat())),
        ("parentheses", format!("return {}1{}", "(".repeat(100_000), ")".repeat(100_000))),
        ("concatenation", format!("return {}''", "'a'..".repeat(40_000))),
        ("strings", format!("return [[{}]]", "\n".repeat(250_000))),
    ];
    let mut neighbours = Neighbours::new(&[]).await;
    neighbours
        .during(async |attacker| {
            let home = attacker.push("sources", pipeline(&json!({ "type": "object" })), SCRIPT).await;
            for (name, source) in &sources {
                let files: Vec<(String, &str)> =
                    (0..12).map(|n| (format!("scripts/f{n}.lua"), source.as_str())).collect();
                let mut files: Vec<(&str, &str)> = files.iter().map(|(path, text)| (path.as_str(), *text)).collect();
                files.extend(SCRIPT);
                let attempts =
                    (0..4).map(|_| attacker.try_publish(home, pipeline(&json!({ "type": "object" })), &files));
                for answer in join_all(attempts).await {
                    let Err(refused) = answer else { continue };
                    let known = [
                        ProblemCode::InvalidDefinition,
                        ProblemCode::RateLimited,
                        ProblemCode::Unavailable,
                        ProblemCode::QuotaExceeded,
                    ];
                    assert!(known.contains(&refused.code), "{name}: {refused}");
                }
            }
        })
        .await;
}

#[tokio::test]
async fn no_comparison_of_versions_takes_a_core() {
    let mut neighbours = Neighbours::new(&[]).await;
    let lines = |seed: usize| -> String {
        (0..12_000).fold("--[[".to_owned(), |mut text, n| {
            let _ = writeln!(text, "{}", (n * seed) % 97);
            text
        }) + "]]"
    };
    neighbours
        .during(async |attacker| {
            let home = two_versions(attacker, &lines(31), &lines(57)).await;
            let compare = (0..24).map(|_| attacker.client.diff_versions(home, 1, 2));
            for compared in join_all(compare).await {
                let Err(error) = compared else { continue };
                let problem = problem(error);
                assert!(matches!(problem.code, ProblemCode::RateLimited | ProblemCode::Unavailable), "{problem}");
            }
        })
        .await;
}

async fn two_versions(attacker: &Tenant, one: &str, two: &str) -> restroy_sdk::ids::PipelineId {
    let paths: Vec<String> = (0..10).map(|n| format!("scripts/f{n}.lua")).collect();
    let all = |text: &str| -> Vec<(String, String)> {
        let mut all: Vec<_> = paths.iter().map(|path| (path.clone(), text.to_owned())).collect();
        all.push(("scripts/a.lua".into(), "return 1".into()));
        all
    };
    let (one, two) = (all(one), all(two));
    let one: Vec<(&str, &str)> = one.iter().map(|(path, text)| (path.as_str(), text.as_str())).collect();
    let two: Vec<(&str, &str)> = two.iter().map(|(path, text)| (path.as_str(), text.as_str())).collect();
    let home = attacker.push("versions", pipeline(&json!({ "type": "object" })), &one).await;
    attacker.try_publish(home, pipeline(&json!({ "type": "object" })), &two).await.unwrap();
    home
}
