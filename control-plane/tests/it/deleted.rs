//! What is deleted can be restored for 30 days, and is gone after that.

use std::time::Duration;

use restroy_control_plane::{auth::Role, runs::purge_deleted};
use serde_json::{Value, json};

use crate::support::{Home, World, one_file, one_step};

const DAY: Duration = Duration::from_hours(24);

/// A document that starts by itself every day.
fn scheduled() -> Value {
    let mut document = one_step();
    document["schedules"] = json!({ "day": { "cron": "0 8 * * *" } });
    document
}

#[tokio::test]
async fn a_deleted_pipeline_comes_back_whole() {
    let world = World::new().await;
    let ann = world.person("ann").await;
    let home = Home::of(&ann).await;
    ann.pipeline(&home.board, "Last").await;
    ann.publish(&home.pipeline, scheduled(), one_file()).await.expect(200);
    let at = format!("/v1/pipelines/{}", home.pipeline);
    let run = ann.post(&format!("{at}/runs"), json!({})).await.expect(202).id();
    ann.post(&format!("{at}/restore"), Value::Null).await.problem("not_found"); // it is there
    ann.delete(&at).await.expect(204);
    assert_eq!(world.count("schedules WHERE next_fire_at IS NOT NULL").await, 0);
    let deleted = ann.get(&format!("/v1/boards/{}/pipelines?deleted=true", home.board)).await.expect(200);
    assert_eq!((&deleted.items()[0]["id"], deleted.items().len()), (&json!(home.pipeline), 1));
    assert!(deleted.items()[0]["deleted_at"].is_string());
    let back = ann.post(&format!("{at}/restore"), Value::Null).await.expect(200).body;
    assert_eq!(
        (&back["name"], &back["published_version"], &back["deleted_at"]),
        (&json!("Pipeline"), &json!(2), &Value::Null)
    );
    assert_eq!(world.count("schedules WHERE next_fire_at IS NOT NULL").await, 1, "they fire again");
    assert_eq!(ann.get(&format!("/v1/runs/{run}")).await.expect(200).body["status"], "cancelled");
    let listed = ann.get(&format!("/v1/boards/{}/pipelines", home.board)).await.expect(200);
    assert_eq!(listed.items()[0]["id"], json!(home.pipeline), "at its old place");
    assert!(ann.get(&format!("/v1/boards/{}/pipelines?deleted=true", home.board)).await.items().is_empty());
}

#[tokio::test]
async fn a_deleted_board_comes_back_with_the_pipelines_that_were_on_it() {
    let world = World::new().await;
    let ann = world.person("ann").await;
    let home = Home::of(&ann).await;
    ann.publish(&home.pipeline, scheduled(), one_file()).await.expect(200);
    let gone = ann.pipeline(&home.board, "Gone before").await;
    ann.publish(&gone, scheduled(), one_file()).await.expect(200);
    ann.delete(&format!("/v1/pipelines/{gone}")).await.expect(204);
    let at = format!("/v1/boards/{}", home.board);
    ann.delete(&at).await.expect(204);
    ann.post(&format!("/v1/pipelines/{gone}/restore"), Value::Null).await.problem("not_found"); // its board comes first
    let deleted = ann.get(&format!("/v1/teams/{}/boards?deleted=true", home.team)).await.expect(200);
    assert_eq!(deleted.items()[0]["id"], json!(home.board));
    ann.post(&format!("{at}/restore"), Value::Null).await.expect(200);
    assert_eq!(world.count("schedules WHERE next_fire_at IS NOT NULL").await, 1, "of what is there, and no other");
    ann.get(&format!("/v1/pipelines/{}", home.pipeline)).await.expect(200);
    ann.get(&format!("/v1/pipelines/{gone}")).await.problem("not_found");
    ann.post(&format!("/v1/pipelines/{gone}/restore"), Value::Null).await.expect(200);
}

#[tokio::test]
async fn a_name_that_was_taken_meanwhile_stays_taken() {
    let world = World::new().await;
    let ann = world.person("ann").await;
    let home = Home::of(&ann).await;
    ann.delete(&format!("/v1/pipelines/{}", home.pipeline)).await.expect(204);
    let other = ann.pipeline(&home.board, "Pipeline").await;
    let restore = format!("/v1/pipelines/{}/restore", home.pipeline);
    ann.post(&restore, Value::Null).await.problem("name_taken");
    ann.patch(&format!("/v1/pipelines/{other}"), json!({ "name": "Other" })).await.expect(200);
    ann.post(&restore, Value::Null).await.expect(200);
    ann.delete(&format!("/v1/boards/{}", home.board)).await.expect(204);
    ann.board(&home.team, "Board").await;
    ann.post(&format!("/v1/boards/{}/restore", home.board), Value::Null).await.problem("name_taken");
}

#[tokio::test]
async fn restoring_takes_the_right_to_delete() {
    let world = World::new().await;
    let ann = world.person("ann").await;
    let home = Home::of(&ann).await;
    let bob = world.person("bob").await;
    bob.join(&home.team, Role::Operator).await;
    let eve = world.person("eve").await;
    ann.delete(&format!("/v1/pipelines/{}", home.pipeline)).await.expect(204);
    let restore = format!("/v1/pipelines/{}/restore", home.pipeline);
    bob.post(&restore, Value::Null).await.problem("forbidden");
    eve.post(&restore, Value::Null).await.problem("not_found");
    ann.patch(&format!("/v1/boards/{}", home.board), json!({ "archived": true })).await.expect(200);
    ann.post(&restore, Value::Null).await.problem("conflict");
    ann.delete(&format!("/v1/boards/{}", home.board)).await.expect(204);
    let restore = format!("/v1/boards/{}/restore", home.board);
    bob.post(&restore, Value::Null).await.problem("forbidden");
    eve.post(&restore, Value::Null).await.problem("not_found");
}

#[tokio::test]
async fn after_thirty_days_it_is_gone_with_all_that_lay_below() {
    let world = World::new().await;
    let ann = world.person("ann").await;
    let home = Home::of(&ann).await;
    let kept = ann.board(&home.team, "Kept").await;
    // One goes by itself, one with its board, one was on that board and moved away with its runs.
    let alone = ann.pipeline(&kept, "Alone").await;
    ann.publish(&alone, scheduled(), json!({ "scripts/a.lua": "return 'alone'" })).await.expect(200);
    let moved = ann.pipeline(&home.board, "Moved").await;
    ann.publish(&moved, one_step(), json!({ "scripts/a.lua": "return 'moved'" })).await.expect(200);
    ann.put(&format!("/v1/scripts/{}/configuration/KEY", home.script), json!({ "value": "v" })).await.expect(200);
    let mut runs = Vec::new();
    for pipeline in [&home.pipeline, &alone, &moved] {
        let run = ann.post(&format!("/v1/pipelines/{pipeline}/runs"), json!({})).await.expect(202).id();
        ann.post(&format!("/v1/runs/{run}/cancel"), Value::Null).await;
        runs.push(run);
    }
    ann.post(&format!("/v1/pipelines/{moved}/move"), json!({ "board": kept })).await.expect(200);
    ann.delete(&format!("/v1/pipelines/{alone}")).await.expect(204);
    ann.delete(&format!("/v1/boards/{}", home.board)).await.expect(204);

    world.clock.advance(DAY * 29);
    assert_eq!(purge_deleted::step(&world.state).await.unwrap(), 0, "not yet");
    world.clock.advance(DAY * 2);
    let ann = world.sign_in("ann@example.com").await;
    ann.post(&format!("/v1/pipelines/{alone}/restore"), Value::Null).await.problem("not_found");
    let mut steps = 0;
    while purge_deleted::step(&world.state).await.unwrap() > 0 {
        steps += 1;
        assert!(steps < 20, "it comes to an end");
    }
    for (table, left) in [
        ("boards", 1),
        ("pipelines", 1),
        ("pipeline_versions", 1),
        ("scripts", 1),
        ("script_versions", 1),
        ("pipeline_version_scripts", 1),
        ("configurations", 0),
        ("schedules", 0),
        ("runs", 1),
        ("tasks", 1),
        ("step_runs", 1),
        ("run_events WHERE first_seq = 1", 1),
    ] {
        assert_eq!(world.count(table).await, left, "{table}");
    }
    ann.get(&format!("/v1/runs/{}", runs[2])).await.expect(200);
    let source = ann.get(&format!("/v1/pipelines/{moved}/definition")).await.expect(200);
    assert_eq!(source.body["files"]["scripts/a.lua"], "return 'moved'");
}

#[tokio::test]
async fn edits_and_deletions_keep_to_the_tag_that_they_name() {
    let world = World::new().await;
    let ann = world.person("ann").await;
    let home = Home::of(&ann).await;
    for at in [format!("/v1/boards/{}", home.board), format!("/v1/pipelines/{}", home.pipeline)] {
        let got = ann.get(&at).await.expect(200);
        let tag = got.headers["etag"].to_str().unwrap().to_owned();
        assert_eq!(tag, format!("\"{}\"", got.body["revision"]));
        let rename = |name: &str| Some(json!({ "name": name, "description": "What it is for" }));
        let patched = ann.with(reqwest::Method::PATCH, &at, &[("if-match", &tag)], rename("New")).await.expect(200);
        assert_eq!((&patched.body["name"], &patched.body["description"]), (&json!("New"), &json!("What it is for")));
        assert_ne!(patched.headers["etag"], tag.as_str());
        let old = [("if-match", tag.as_str())];
        ann.with(reqwest::Method::PATCH, &at, &old, rename("Newer")).await.problem("version_mismatch");
        ann.with(reqwest::Method::DELETE, &at, &old, None).await.problem("version_mismatch");
        assert_eq!(ann.get(&at).await.expect(200).body["name"], "New");
        ann.patch(&at, json!({ "name": " " })).await.problem("invalid");
        ann.patch(&at, json!({ "description": "x".repeat(1025) })).await.problem("invalid");
    }
    let at = format!("/v1/pipelines/{}", home.pipeline);
    let tag = ann.get(&at).await.headers["etag"].clone();
    ann.publish(&home.pipeline, one_step(), one_file()).await.expect(200);
    assert_ne!(ann.get(&at).await.headers["etag"], tag, "another version is another state");
}
