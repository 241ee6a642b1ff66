//! The OpenAPI document and the page that is made of it.

use std::path::Path;

use reqwest::Method;
use serde_json::{Value, json};

use crate::{documented::DOCUMENT, support::World};

#[tokio::test]
async fn the_checked_in_document_is_the_one_that_is_served() {
    let world = World::new().await;
    let served = world.anonymous(Method::GET, "/v1/openapi.json", None).await.expect(200).body;
    assert_eq!(served, *DOCUMENT);
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/openapi.json");
    let kept: Value = serde_json::from_str(&std::fs::read_to_string(file).unwrap()).unwrap();
    // Not assert_eq: nobody reads 200 KB of difference.
    assert!(kept == served, "docs/openapi.json is not up to date: cargo run -p restroy -- openapi > docs/openapi.json");
}

/// A document of one schema, with everything that it refers to.
fn validator(schema: &Value) -> jsonschema::Validator {
    let mut whole = schema.clone();
    whole["components"] = DOCUMENT["components"].clone();
    jsonschema::options().should_validate_formats(true).build(&whole).unwrap()
}

#[test]
fn every_body_has_an_example_that_is_one() {
    let mut seen = 0;
    for (path, item) in DOCUMENT["paths"].as_object().unwrap() {
        for (method, operation) in item.as_object().unwrap() {
            let answers = operation["responses"].as_object().unwrap();
            let body = answers.iter().map(|(status, answer)| (status.as_str(), answer));
            let bodies = body.chain([("body", &operation["requestBody"])]);
            for (place, body) in bodies {
                for (media, content) in body["content"].as_object().into_iter().flatten() {
                    let at = format!("{method} {path} {place} {media}");
                    let several = content["examples"].as_object().into_iter().flatten();
                    let examples: Vec<&Value> =
                        several.map(|(_, example)| &example["value"]).chain(content.get("example")).collect();
                    if media == "application/octet-stream" || media.starts_with("text/") || place == "101" {
                        continue;
                    }
                    assert!(!examples.is_empty(), "{at} has no example");
                    let validator = validator(&content["schema"]);
                    for example in examples {
                        let faults: Vec<String> =
                            validator.iter_errors(example).map(|error| error.to_string()).collect();
                        assert!(faults.is_empty(), "{at}: {faults:?}\n{example:#}");
                        seen += 1;
                    }
                }
            }
        }
    }
    assert!(seen > 100, "{seen}");
}

#[test]
fn every_operation_says_who_it_is_and_what_can_go_wrong() {
    let mut ids = std::collections::BTreeSet::new();
    for (path, item) in DOCUMENT["paths"].as_object().unwrap() {
        for (method, operation) in item.as_object().unwrap() {
            let at = format!("{method} {path}");
            assert!(ids.insert(operation["operationId"].as_str().unwrap()), "{at}: its operationId is another's too");
            assert!(operation["summary"].as_str().is_some_and(|text| !text.is_empty()), "{at} has no summary");
            assert!(operation["tags"][0].is_string(), "{at} has no tag");
            let responses = operation["responses"].as_object().unwrap();
            assert!(responses.keys().any(|status| status.starts_with(['1', '2'])), "{at} never succeeds");
            for status in ["429", "500", "503"] {
                assert!(responses.contains_key(status), "{at} lacks {status}");
            }
            let open = operation["security"].as_array().unwrap().contains(&json!({}));
            assert!(open || responses.contains_key("401"), "{at} lacks 401");
            for parameter in operation["parameters"].as_array().into_iter().flatten() {
                assert!(parameter["description"].is_string(), "{at}: {} is not described", parameter["name"]);
            }
        }
    }
}

#[tokio::test]
async fn the_reference_is_whole_in_itself_and_runs_nothing() {
    let world = World::new().await;
    let reply = world.anonymous(Method::GET, "/docs", None).await.expect(200);
    assert_eq!(reply.headers["content-type"], "text/html; charset=utf-8");
    let policy = reply.headers["content-security-policy"].to_str().unwrap();
    assert!(policy.starts_with("default-src 'none'; style-src 'sha256-"), "{policy}");
    for elsewhere in ["<script", "src=", "@import", "url(", "http://", "//cdn", "style=\"", "onclick"] {
        assert!(!reply.text.contains(elsewhere), "{elsewhere}");
    }
    for (path, item) in DOCUMENT["paths"].as_object().unwrap() {
        for (_, operation) in item.as_object().unwrap() {
            let id = operation["operationId"].as_str().unwrap();
            assert!(reply.text.contains(&format!("<section id=\"{id}\">")), "{path} is not on the page");
        }
    }
    for name in DOCUMENT["components"]["schemas"].as_object().unwrap().keys() {
        assert!(reply.text.contains(&format!("id=\"schema-{name}\"")), "{name} is not on the page");
    }
    // What it links to is there.
    for link in reply.text.split("href=\"#").skip(1) {
        let id = link.split('"').next().unwrap();
        assert!(reply.text.contains(&format!("id=\"{id}\"")), "#{id} leads nowhere");
    }
}
