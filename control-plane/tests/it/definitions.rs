//! Definitions: what is refused, and where; versions; publishing.

use reqwest::Method;
use restroy_control_plane::auth::Role;
use serde_json::{Value, json};

use crate::support::{BAD_EXPRESSION, BAD_SOURCE, Home, World, one_file, one_step};

#[tokio::test]
async fn a_definition_becomes_a_version() {
    let world = World::new().await;
    let ann = world.person("ann").await;
    let board = ann.board(&ann.team("Team").await, "Board").await;
    let pipeline = ann.pipeline(&board, "Pipeline").await;
    let at = format!("/v1/pipelines/{pipeline}");
    ann.get(&format!("{at}/definition")).await.problem("not_found");
    let draft = json!({ "definition": one_step(), "files": one_file(), "message": "first" });
    let first = ann.put(&format!("{at}/definition"), draft).await.expect(200);
    assert_eq!((&first.body["number"], &first.body["published"]), (&json!(1), &json!(false)));
    assert_eq!(first.body["author_id"], ann.id);
    assert_eq!(first.headers["etag"], "\"1\"");
    ann.post(&format!("{at}/runs"), json!({})).await.problem("conflict"); // nothing is published
    let published = ann.call(Method::POST, &format!("{at}/versions/1/publish"), None).await.expect(200);
    assert_eq!(published.body["published"], true);
    let files = json!({ "scripts/a.lua": "return 2", "scripts/b.lua": "return 1" });
    let second = ann.publish(&pipeline, one_step(), files.clone()).await.expect(200);
    assert_eq!((&second.body["number"], &second.body["published"]), (&json!(2), &json!(true)));
    let got = ann.get(&format!("{at}/definition")).await.expect(200);
    assert_eq!(got.body["files"], files);
    assert_eq!(got.body["definition"], one_step());
    let old = ann.get(&format!("{at}/versions/1")).await.expect(200).body;
    assert_eq!((&old["files"], &old["version"]["published"]), (&one_file(), &json!(false)));
    ann.get(&format!("{at}/versions/3")).await.problem("not_found");
    ann.get(&format!("{at}/versions/x")).await.problem("not_found");
    let versions = ann.get(&format!("{at}/versions")).await.expect(200);
    assert_eq!(versions.items().iter().map(|version| &version["number"]).collect::<Vec<_>>(), [2, 1]);
    let pipeline = ann.get(&at).await.expect(200).body;
    assert_eq!((&pipeline["published_version"], &pipeline["latest_version"]), (&json!(2), &json!(2)));
}

#[tokio::test]
async fn sources_are_kept_once_within_a_team_and_never_across() {
    let world = World::new().await;
    let ann = world.person("ann").await;
    let home = Home::of(&ann).await;
    ann.publish(&home.pipeline, one_step(), one_file()).await.expect(200);
    let other = ann.pipeline(&home.board, "Other").await;
    ann.publish(&other, one_step(), one_file()).await.expect(200);
    assert_eq!(world.count("script_versions").await, 1);
    let script = ann.get(&format!("/v1/scripts/{}", home.script)).await.expect(200).body;
    assert_eq!((&script["path"], &script["current"]), (&json!("scripts/a.lua"), &json!(true)));
    let versions = ann.get(&format!("/v1/scripts/{}/versions", home.script)).await.expect(200);
    assert_eq!(versions.items().len(), 1);
    assert_eq!(versions.items()[0]["source"], "return 1");
    let bob = world.person("bob").await;
    Home::of(&bob).await;
    assert_eq!(world.count("script_versions").await, 2);
}

/// A document with one thing wrong, and the place that must be named.
fn bad_definitions() -> Vec<(&'static str, Value, Value, &'static str)> {
    let file = one_file();
    let steps = |steps: Value| json!({ "restroy": 1, "steps": steps });
    let step = |field: &str, value: Value| {
        let mut document = one_step();
        document["steps"]["a"][field] = value;
        document
    };
    let top = |field: &str, value: Value| {
        let mut document = one_step();
        document[field] = value;
        document
    };
    let two = json!({ "scripts/a.lua": "return 1", "scripts/b.lua": "return 1" });
    vec![
        (
            "a cycle",
            steps(json!({
                "a": { "script": "scripts/a.lua", "needs": ["b"] },
                "b": { "script": "scripts/b.lua", "needs": ["a"] },
            })),
            two,
            "/steps/a/needs/0",
        ),
        ("an unknown step", step("needs", json!(["nobody"])), file.clone(), "/steps/a/needs/0"),
        ("an unknown script", one_step(), json!({}), "/steps/a/script"),
        ("an unknown field", step("shcedule", json!(1)), file.clone(), "/steps/a/shcedule"),
        ("a field of the wrong type", step("needs", json!("b")), file.clone(), "/steps/a/needs"),
        ("a script that does not compile", one_step(), json!({ "scripts/a.lua": BAD_SOURCE }), "/files/scripts~1a.lua"),
        ("a bad condition", step("if", json!(BAD_EXPRESSION)), file.clone(), "/steps/a/if"),
        ("a bad for_each", step("for_each", json!(BAD_EXPRESSION)), file.clone(), "/steps/a/for_each"),
        (
            "a schema that is none",
            top("params", json!({ "type": "object", "required": 1 })),
            file.clone(),
            "/params/required",
        ),
        ("a bad cron", top("schedules", json!({ "s": { "cron": "x" } })), file.clone(), "/schedules/s/cron"),
        (
            "an unknown zone",
            top("schedules", json!({ "s": { "cron": "0 8 * * *", "timezone": "Mars/Base" } })),
            file.clone(),
            "/schedules/s/timezone",
        ),
        ("a limit", step("timeout", json!("16m")), file.clone(), "/steps/a/timeout"),
        ("an empty graph", steps(json!({})), file.clone(), "/steps"),
        (
            "a path that leaves the folder",
            one_step(),
            json!({ "scripts/a.lua": "", "../b.lua": "" }),
            "/files/..~1b.lua",
        ),
        ("another format", top("restroy", json!(2)), file, "/restroy"),
    ]
}

#[tokio::test]
async fn a_bad_definition_names_its_place_and_creates_nothing() {
    let world = World::new().await;
    let ann = world.person("ann").await;
    let board = ann.board(&ann.team("Team").await, "Board").await;
    let pipeline = ann.pipeline(&board, "Pipeline").await;
    let before = world.count("audit_log").await;
    for (what, definition, files, place) in bad_definitions() {
        let reply = ann.publish(&pipeline, definition, files).await.problem("invalid_definition");
        assert!(reply.pointers().contains(&place), "{what}: {}", reply.text);
    }
    for table in ["pipeline_versions", "scripts", "script_versions", "pipeline_version_scripts", "schedules"] {
        assert_eq!(world.count(table).await, 0, "{table}");
    }
    assert_eq!(world.count("audit_log").await, before);
    let pipeline = ann.get(&format!("/v1/pipelines/{pipeline}")).await.expect(200).body;
    assert_eq!(pipeline["latest_version"], Value::Null);
}

#[tokio::test]
async fn all_faults_come_together_and_a_duplicate_key_is_one() {
    let world = World::new().await;
    let ann = world.person("ann").await;
    let board = ann.board(&ann.team("Team").await, "Board").await;
    let pipeline = ann.pipeline(&board, "Pipeline").await;
    let mut document = one_step();
    document["steps"]["a"]["needs"] = json!(["nobody"]);
    document["steps"]["a"]["if"] = json!(BAD_EXPRESSION);
    let files = json!({ "scripts/a.lua": format!("return 1\n{BAD_SOURCE}") });
    let reply = ann.publish(&pipeline, document, files).await.problem("invalid_definition");
    for place in ["/steps/a/needs/0", "/steps/a/if", "/files/scripts~1a.lua"] {
        assert!(reply.pointers().contains(&place), "{}", reply.text);
    }
    let errors = reply.body["errors"].as_array().unwrap();
    assert!(errors.iter().any(|fault| fault["line"] == 2 && fault["column"] == 1), "{}", reply.text);

    let twice = r#"{"definition": {"restroy": 1, "steps": {"a": {"script": "a.lua"}, "a": {"script": "a.lua"}}},
                    "files": {"a.lua": "return 1"}}"#;
    let request = world.client.put(format!("{}/v1/pipelines/{pipeline}/definition", world.url));
    let request = request.bearer_auth(&ann.token).header("content-type", "application/json").body(twice);
    let body: Value = request.send().await.unwrap().json().await.unwrap();
    assert_eq!(body["code"], "invalid_definition", "{body}");
    assert_eq!(body["errors"][0]["pointer"], "/steps/a", "{body}");
}

#[tokio::test]
async fn if_match_refuses_to_write_over_another_change() {
    let world = World::new().await;
    let ann = world.person("ann").await;
    let home = Home::of(&ann).await;
    let at = format!("/v1/pipelines/{}/definition", home.pipeline);
    let tag = ann.get(&at).await.expect(200).headers["etag"].to_str().unwrap().to_owned();
    let body = || Some(json!({ "definition": one_step(), "files": one_file() }));
    ann.with(Method::PUT, &at, &[("if-match", &tag)], body()).await.expect(200);
    ann.with(Method::PUT, &at, &[("if-match", &tag)], body()).await.problem("version_mismatch");
    ann.with(Method::PUT, &at, &[("if-match", "W/\"2\"")], body()).await.problem("version_mismatch");
    ann.with(Method::PUT, &at, &[("if-match", "\"1\", \"2\"")], body()).await.expect(200);
    assert_eq!(world.count("pipeline_versions").await, 3);
}

#[tokio::test]
async fn to_publish_wider_capabilities_takes_the_grant() {
    let world = World::new().await;
    let ann = world.person("ann").await;
    let home = Home::of(&ann).await;
    let bob = world.person("bob").await;
    bob.join(&home.team, Role::Editor).await;
    let allowing = |allow: Value| {
        let mut document = one_step();
        document["steps"]["a"]["allow"] = allow;
        document
    };
    bob.publish(&home.pipeline, one_step(), one_file()).await.expect(200);
    let wide = allowing(json!({ "kv": true, "http": ["https://api.example.com"] }));
    let refused = bob.publish(&home.pipeline, wide.clone(), one_file()).await.problem("forbidden");
    assert_eq!(refused.pointers(), ["/steps/a/allow/http/0", "/steps/a/allow/kv"]);
    assert_eq!(world.count("pipeline_versions").await, 2, "refused as a whole");
    // Writing it down is not publishing it.
    let at = format!("/v1/pipelines/{}", home.pipeline);
    let draft = json!({ "definition": wide, "files": one_file() });
    bob.put(&format!("{at}/definition"), draft).await.expect(200);
    bob.call(Method::POST, &format!("{at}/versions/3/publish"), None).await.problem("forbidden");
    ann.call(Method::POST, &format!("{at}/versions/3/publish"), None).await.expect(200);
    // What was granted stays granted.
    let narrower = allowing(json!({ "http": ["https://api.example.com"] }));
    bob.publish(&home.pipeline, narrower, one_file()).await.expect(200);
}

#[tokio::test]
async fn schedules_belong_to_the_published_document() {
    let world = World::new().await;
    let ann = world.person("ann").await;
    let home = Home::of(&ann).await;
    let scheduled = |schedules: Value| {
        let mut document = one_step();
        document["schedules"] = schedules;
        document
    };
    let both = scheduled(json!({ "day": { "cron": "0 8 * * *" }, "week": { "cron": "0 8 * * MON" } }));
    let at = format!("/v1/pipelines/{}/definition", home.pipeline);
    ann.put(&at, json!({ "definition": both, "files": one_file() })).await.expect(200);
    assert_eq!(world.count("schedules").await, 0, "not published");
    ann.publish(&home.pipeline, both, one_file()).await.expect(200);
    assert_eq!(world.count("schedules WHERE next_fire_at IS NOT NULL").await, 2);
    let zoned = scheduled(json!({ "day": { "cron": "0 9 * * *", "timezone": "Europe/Kyiv" } }));
    ann.publish(&home.pipeline, zoned, one_file()).await.expect(200);
    assert_eq!(world.count("schedules").await, 1);
    assert_eq!(world.count("schedules WHERE cron = '0 9 * * *' AND timezone = 'Europe/Kyiv'").await, 1);
}

#[tokio::test]
async fn a_source_is_checked_in_the_scripts_place() {
    let world = World::new().await;
    let ann = world.person("ann").await;
    let home = Home::of(&ann).await;
    let at = format!("/v1/scripts/{}/check", home.script);
    let good = ann.post(&at, json!({ "source": "return 1" })).await.expect(200).body;
    assert_eq!(good, json!({ "ok": true, "errors": [] }));
    let bad = ann.post(&at, json!({ "source": BAD_SOURCE })).await.expect(200).body;
    assert_eq!((&bad["ok"], &bad["errors"][0]["pointer"]), (&json!(false), &json!("/files/scripts~1a.lua")));
    ann.post(&at, json!({ "source": "x".repeat(300_000) })).await.problem("invalid");
}

#[tokio::test]
async fn what_is_done_to_a_thing_may_be_held_to_what_was_read() {
    let world = World::new().await;
    let ann = world.person("ann").await;
    let home = Home::of(&ann).await;
    let at = format!("/v1/pipelines/{}", home.pipeline);
    let tag = async |path: &str| ann.get(path).await.expect(200).headers["etag"].to_str().unwrap().to_owned();
    let old = tag(&at).await;
    ann.publish(&home.pipeline, one_step(), one_file()).await.expect(200);
    let team = format!("/v1/teams/{}", home.team);
    let there = ann.board(&home.team, "There").await;
    ann.post(&format!("{team}/library"), json!({ "name": "m", "source": "return 1" })).await.expect(201);
    ann.post(&format!("{team}/roles"), json!({ "name": "Own", "permissions": [] })).await.expect(201);
    let role = format!("{team}/roles/Own");
    let first = tag(&role).await;
    let renamed = ann.with(Method::PATCH, &role, &[("if-match", &first)], Some(json!({ "description": "x" }))).await;
    assert_eq!(renamed.expect(200).headers["etag"].to_str().unwrap(), tag(&role).await);
    for (method, path, body, stale) in [
        (Method::POST, format!("{at}/versions/1/publish"), None, &old),
        (Method::POST, format!("{at}/move"), Some(json!({ "board": there })), &old),
        (Method::POST, format!("{at}/versions/1/restore"), Some(json!({})), &"\"1\"".to_owned()),
        (Method::PATCH, role.clone(), Some(json!({ "description": "y" })), &first),
        (Method::DELETE, role.clone(), None, &first),
        (Method::DELETE, format!("{team}/library/m"), None, &"\"9\"".to_owned()),
    ] {
        ann.with(method.clone(), &path, &[("if-match", stale)], body.clone()).await.problem("version_mismatch");
        let fresh = match &path {
            path if path.ends_with("/restore") => tag(&format!("{at}/definition")).await,
            path if path.starts_with(&at) => tag(&at).await,
            path => tag(path).await,
        };
        let done = ann.with(method, &path, &[("if-match", &fresh)], body).await;
        assert!(done.status.is_success(), "{path}: {}", done.text);
    }
}
