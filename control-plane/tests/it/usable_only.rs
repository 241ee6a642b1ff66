//! Secrets that scripts may use and not read.

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::runs_support::*;

const VALUE: &str = "the-key-of-the-crm";

fn document() -> Value {
    steps(json!({ "a": { "script": "a.lua", "secrets": ["KEY", "OPEN"] } }))
}

async fn put(ann: &Person, path: &str, body: Value) -> (StatusCode, Value) {
    ann.call(Method::PUT, path, Some(body)).await
}

#[tokio::test]
async fn a_secret_for_use_only_travels_apart_from_those_that_scripts_read() {
    let it = Installation::start().await;
    let (ann, place) = it.pipeline(Some(document())).await;
    let scripts = ann.get(&format!("/v1/pipelines/{}/scripts", place.pipeline)).await;
    let script = format!("/v1/scripts/{}/configuration", text(&scripts["items"][0]["id"]));
    let (status, entry) =
        put(&ann, &format!("{script}/KEY"), json!({ "value": VALUE, "secret": true, "usable_only": true })).await;
    assert_eq!((status, &entry["usable_only"], &entry["value"]), (StatusCode::OK, &json!(true), &Value::Null));
    // The team's is shadowed, whatever it says of itself.
    let team = format!("/v1/teams/{}/configuration", place.team);
    for key in ["KEY", "OPEN"] {
        let (status, entry) =
            put(&ann, &format!("{team}/{key}"), json!({ "value": "readable-secret", "secret": true })).await;
        assert_eq!((status, &entry["usable_only"]), (StatusCode::OK, &json!(false)));
    }
    let listed = ann.get(&script).await;
    assert_eq!((&listed["items"][0]["secret"], &listed["items"][0]["usable_only"]), (&json!(true), &json!(true)));
    assert_eq!(ann.get(&format!("{script}/KEY")).await["usable_only"], true);

    let executor = it.executor().await;
    ann.run(&place, json!({})).await;
    let held = executor.claim(&it.admitted().await).await.unwrap();
    let step = &held.plan["steps"]["a"];
    assert_eq!(step["usable_only"], json!({ "KEY": VALUE }));
    assert_eq!(step["secrets"], json!({ "OPEN": "readable-secret" }));

    // Set anew without the setting, it can be read: whoever does that knows the value.
    let (status, entry) =
        put(&ann, &format!("{script}/KEY"), json!({ "value": "another-value", "secret": true })).await;
    assert_eq!((status, &entry["usable_only"]), (StatusCode::OK, &json!(false)));
    let entries = ann.get(&format!("/v1/teams/{}/audit?action=secret.set", place.team)).await;
    let newest = &entries["items"][0];
    assert_eq!((&newest["before"]["usable_only"], &newest["after"]["usable_only"]), (&json!(true), &json!(false)));
    assert!(!entries.to_string().contains(VALUE));
}

#[tokio::test]
async fn a_plain_value_cannot_be_for_use_only() {
    let it = Installation::start().await;
    let (ann, place) = it.pipeline(None).await;
    let path = format!("/v1/teams/{}/configuration/KEY", place.team);
    let (status, problem) = put(&ann, &path, json!({ "value": VALUE, "usable_only": true })).await;
    assert_eq!((status, &problem["code"]), (StatusCode::UNPROCESSABLE_ENTITY, &json!("invalid")));
    assert_eq!(problem["errors"][0]["pointer"], "/usable_only");
}
