//! Texts that one of the databases cannot keep are refused by both, and the place is named.

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::runs_support::*;

#[tokio::test]
async fn u0000_is_refused_where_a_text_is_kept_as_it_is() {
    let it = Installation::start().await;
    let (ann, place) = it.pipeline(None).await;
    let script = ann.get(&format!("/v1/pipelines/{}/scripts", place.pipeline)).await;
    let script = text(&script["items"][0]["id"]);
    let document = |step: &str| json!({ "restroy": 1, "steps": { step: { "script": "a.lua" } } });
    let account =
        |email: &str, name: &str| json!({ "email": email, "password": "correct horse battery", "name": name });
    let requests: Vec<(Method, String, Value, &str)> = vec![
        (Method::POST, "/v1/auth/register".into(), account("a\0@example.com", "a"), "/email"),
        (Method::POST, "/v1/auth/register".into(), account("a@example.com", "a\0"), "/name"),
        (Method::POST, "/v1/auth/login".into(), json!({ "email": "a\0@b", "password": "x" }), "/email"),
        (Method::POST, "/v1/teams".into(), json!({ "name": "a\0" }), "/name"),
        (Method::PATCH, format!("/v1/teams/{}", place.team), json!({ "name": "a\0" }), "/name"),
        (
            Method::POST,
            format!("/v1/teams/{}/boards", place.team),
            json!({ "name": "a", "description": "a\0" }),
            "/description",
        ),
        (Method::PATCH, format!("/v1/boards/{}", place.board), json!({ "description": "a\0" }), "/description"),
        (Method::POST, format!("/v1/boards/{}/pipelines", place.board), json!({ "name": "a\0" }), "/name"),
        (
            Method::PUT,
            format!("/v1/pipelines/{}/definition", place.pipeline),
            json!({ "definition": document("a"), "files": { "a.lua": "return 1\n-- \0" } }),
            "/files/a.lua",
        ),
        (
            Method::PUT,
            format!("/v1/pipelines/{}/definition", place.pipeline),
            json!({ "definition": document("a"), "files": { "a.lua": "return 1" }, "message": "\0" }),
            "/message",
        ),
        (
            Method::PUT,
            format!("/v1/pipelines/{}/definition", place.pipeline),
            json!({ "definition": document("a\0"), "files": { "a.lua": "return 1" } }),
            "/steps/a\0",
        ),
        (
            Method::PUT,
            format!("/v1/scripts/{script}/configuration/KEY"),
            json!({ "value": "a\0", "secret": false }),
            "/value",
        ),
        (
            Method::PUT,
            format!("/v1/scripts/{script}/configuration/KEY"),
            json!({ "value": "a secret\0", "secret": true }),
            "/value",
        ),
    ];
    for (method, path, body, pointer) in requests {
        let problem = ann.expect(StatusCode::UNPROCESSABLE_ENTITY, method, &path, Some(body)).await;
        let pointers: Vec<&Value> =
            problem["errors"].as_array().unwrap().iter().map(|fault| &fault["pointer"]).collect();
        assert!(pointers.contains(&&json!(pointer)), "{path} {pointer}: {problem}");
    }
    // What names a thing and cannot be names nothing.
    let missing = format!("/v1/scripts/{script}/configuration/K%00");
    ann.expect(StatusCode::NOT_FOUND, Method::DELETE, &missing, None).await;
    let cursor = format!("/v1/boards/{}/kv?cursor=YQBi", place.board); // "a\0b"
    ann.expect(StatusCode::BAD_REQUEST, Method::GET, &cursor, None).await;
    // Within JSON it is a character like any other.
    let run = ann.run(&place, json!({ "a\0": "\0" })).await;
    assert_eq!(ann.get(&format!("/v1/runs/{run}")).await["params"], json!({ "a\0": "\0" }));
}

#[tokio::test]
async fn u0000_of_a_script_is_refused_to_the_script() {
    let it = Installation::start().await;
    let Scene { ann, run, executor, held, .. } = it.claimed(None).await;
    let call = |method: &str, rest: Value| {
        let mut call = json!({ "method": method });
        call.as_object_mut().unwrap().extend(rest.as_object().unwrap().clone());
        call
    };
    for (n, (method, rest)) in [
        ("kv_get", json!({ "key": "a\0" })),
        ("kv_set", json!({ "key": "a\0", "value": 1 })),
        ("kv_incr", json!({ "key": "a\0", "by": 1 })),
        ("kv_delete", json!({ "key": "a\0" })),
        ("kv_cas", json!({ "key": "a\0" })),
        ("kv_list", json!({ "prefix": "a\0", "limit": 1 })),
        ("kv_list", json!({ "prefix": "", "after": "\0", "limit": 1 })),
    ]
    .into_iter()
    .enumerate()
    {
        assert_eq!(held.refused(&format!("k{n}"), call(method, rest)).await, "kv_bad_key", "{method}");
    }
    let mail = json!({ "to": ["a@example.com"], "subject": "S", "text": "a\0" });
    assert_eq!(held.refused("mail", call("email_send", mail)).await, "email_bad_text");
    held.called("value", call("kv_set", json!({ "key": "a", "value": "\0" }))).await;
    assert_eq!(held.called("get", call("kv_get", json!({ "key": "a" }))).await["value"], json!("\0"));
    let (_, kept) = held.artifact("artifact", "a\0", b"x").await;
    assert_eq!(kept["refused"]["code"], "artifact_bad_name");

    // An executor that reports such names is refused; what scripts print is JSON.
    let refused = StatusCode::UNPROCESSABLE_ENTITY;
    assert_eq!(held.report(1, json!([started("a\0")])).await.0, refused);
    assert_eq!(held.artifact_of("a\0").await.0, refused);
    let beat = json!({ "protocol": 1, "slots": 1, "engine_id": "a\0" });
    assert_eq!(executor.post("/executors/heartbeat", beat).await.0, refused);
    held.reported(1, json!([started("a"), printed("a", 1, "\0")])).await;
    assert_eq!(ann.events(&run).await.last().unwrap()["lines"][0]["text"], "\0");
}

#[tokio::test]
async fn keys_come_in_the_order_of_their_bytes() {
    let it = Installation::start().await;
    let Scene { ann, place, held, .. } = it.claimed(None).await;
    let keys = ["B", "Z", "_", "a", "a b", "a-b", "aB", "ab", "ä", "\u{10FFFF}"];
    for key in keys.iter().rev() {
        held.called(key, json!({ "method": "kv_set", "key": key, "value": 1 })).await;
    }
    let names = |page: &Value| -> Vec<String> {
        page["items"].as_array().unwrap().iter().map(|item| text(&item["key"])).collect()
    };
    let list = json!({ "method": "kv_list", "prefix": "", "limit": 100 });
    assert_eq!(names(&held.called("list", list).await), keys);
    let path = format!("/v1/boards/{}/kv?limit=4", place.board);
    let mut page = ann.get(&path).await;
    let mut seen = names(&page);
    while let Some(cursor) = page["next_cursor"].as_str().map(str::to_owned) {
        page = ann.get(&format!("{path}&cursor={cursor}")).await;
        seen.extend(names(&page));
    }
    assert_eq!(seen, keys);
}
