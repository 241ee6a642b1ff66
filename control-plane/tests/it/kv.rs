//! A board's key-value store as people use it.

use std::time::Duration;

use reqwest::{Method, StatusCode};
use restroy_control_plane::{auth::Role, sql};
use serde_json::{Value, json};

use crate::{
    runs_support::{Installation, Scene, started, steps},
    support::{Home, World},
};

#[tokio::test]
async fn entries_are_written_read_listed_and_removed() {
    let world = World::new().await;
    let ann = world.person("ann").await;
    let Home { board, .. } = Home::of(&ann).await;
    let at = |key: &str| format!("/v1/boards/{board}/kv/{key}");
    for value in [json!(null), json!(1), json!("text"), json!({ "a": [1.5, true] }), json!("nul \u{0}")] {
        let put = ann.put(&at("key"), json!({ "value": value })).await.expect(200);
        let got = ann.get(&at("key")).await.expect(200);
        assert_eq!((&got.body, &got.body["value"]), (&put.body, &value));
        assert_eq!(got.headers["etag"], put.headers["etag"]);
    }
    assert_eq!(ann.get(&at("key")).await.body["version"], 5);
    // A key is any text.
    for (path, key) in [("a%2Fb", "a/b"), ("a%2Fc", "a/c"), ("%D0%BA%20%3F", "к ?"), ("b", "b")] {
        assert_eq!(ann.put(&at(path), json!({ "value": 1 })).await.expect(200).body["key"], key);
    }
    let keys = async |query: &str| -> Vec<Value> {
        let page = ann.get(&format!("/v1/boards/{board}/kv?{query}")).await.expect(200);
        page.items().iter().map(|entry| entry["key"].clone()).collect()
    };
    assert_eq!(keys("prefix=a%2F").await, ["a/b", "a/c"]);
    assert_eq!(keys("").await, ["a/b", "a/c", "b", "key", "к ?"]);
    let first = ann.get(&format!("/v1/boards/{board}/kv?prefix=a&limit=1")).await.expect(200);
    let next = first.body["next_cursor"].as_str().unwrap();
    assert_eq!(keys(&format!("prefix=a&limit=1&cursor={next}")).await, ["a/c"]);
    ann.delete(&at("a%2Fb")).await.expect(204);
    ann.delete(&at("a%2Fb")).await.problem("not_found");
    ann.get(&at("a%2Fb")).await.problem("not_found");
    assert_eq!(keys("prefix=a").await, ["a/c"]);
}

#[tokio::test]
async fn a_tag_makes_a_change_a_compare_and_set() {
    let world = World::new().await;
    let ann = world.person("ann").await;
    let Home { board, .. } = Home::of(&ann).await;
    let path = format!("/v1/boards/{board}/kv/n");
    let put =
        async |header, tag: &str| ann.with(Method::PUT, &path, &[(header, tag)], Some(json!({ "value": 1 }))).await;
    put("if-match", "*").await.problem("version_mismatch");
    let first = put("if-none-match", "*").await.expect(200);
    put("if-none-match", "*").await.problem("version_mismatch");
    let tag = first.headers["etag"].to_str().unwrap().to_owned();
    put("if-match", &tag).await.expect(200);
    put("if-match", &tag).await.problem("version_mismatch");
    ann.with(Method::DELETE, &path, &[("if-match", &tag)], None).await.problem("version_mismatch");
    ann.delete(&path).await.expect(204);
    // The key begins at version 1 again, and is another one all the same.
    assert_eq!(put("if-none-match", "*").await.expect(200).body["version"], 1);
    put("if-match", &tag).await.problem("version_mismatch");
}

#[tokio::test]
async fn of_compare_and_sets_at_once_one_goes_through() {
    let world = World::new().await;
    let ann = world.person("ann").await;
    let Home { board, .. } = Home::of(&ann).await;
    let path = format!("/v1/boards/{board}/kv/n");
    let put = async |header, tag: &str| {
        let reply = ann.with(Method::PUT, &path, &[(header, tag)], Some(json!({ "value": 1 }))).await;
        reply.status.as_u16()
    };
    let made = ["if-none-match"; 3].map(|header| put(header, "*"));
    let mut statuses = futures_util::future::join_all(made).await;
    statuses.sort_unstable();
    assert_eq!(statuses, [200, 412, 412]);
    let tag = ann.get(&path).await.headers["etag"].to_str().unwrap().to_owned();
    let changed = ["if-match"; 3].map(|header| put(header, &tag));
    let mut statuses = futures_util::future::join_all(changed).await;
    statuses.sort_unstable();
    assert_eq!(statuses, [200, 412, 412]);
    assert_eq!(ann.get(&path).await.body["version"], 2);
}

#[tokio::test]
async fn the_bounds_are_those_of_scripts() {
    let world = World::new().await;
    let ann = world.person("ann").await;
    let Home { board, team, .. } = Home::of(&ann).await;
    let at = |key: &str| format!("/v1/boards/{board}/kv/{key}");
    let value = |length: usize| json!({ "value": "x".repeat(length) });
    ann.put(&at("k"), value(64 * 1024 - 2)).await.expect(200);
    ann.put(&at("k"), value(64 * 1024 - 1)).await.problem("too_large");
    ann.put(&at(&"k".repeat(512)), value(1)).await.expect(200);
    ann.put(&at(&"k".repeat(513)), value(1)).await.problem("invalid");
    ann.put(&at("a%00"), value(1)).await.problem("not_found");
    for ttl in [0, 11 * 365 * 24 * 3_600_000_u64] {
        let reply = ann.put(&at("k"), json!({ "value": 1, "ttl_ms": ttl })).await.problem("invalid");
        assert_eq!(reply.pointers(), ["/ttl_ms"]);
    }
    ann.get(&format!("/v1/boards/{board}/kv?prefix={}", "k".repeat(513))).await.problem("bad_request");
    let mut tx = world.state.db.team_write(team.parse().unwrap()).await.unwrap();
    sql!(&mut *tx, execute, sqlx::query("UPDATE boards SET kv_bytes = 10 * 1024 * 1024")).unwrap();
    tx.commit().await.unwrap();
    ann.put(&at("more"), value(1)).await.problem("quota_exceeded");
    ann.get(&at("more")).await.problem("not_found");
}

#[tokio::test]
async fn what_outlived_its_time_is_not_there() {
    let world = World::new().await;
    let ann = world.person("ann").await;
    let Home { board, .. } = Home::of(&ann).await;
    let path = format!("/v1/boards/{board}/kv/k");
    ann.put(&path, json!({ "value": 1, "ttl_ms": 60_000 })).await.expect(200);
    assert!(ann.get(&path).await.expect(200).body["expires_at"].is_string());
    world.clock.advance(Duration::from_mins(1));
    ann.get(&path).await.problem("not_found");
    ann.delete(&path).await.problem("not_found");
    assert_eq!(ann.put(&path, json!({ "value": 2 })).await.expect(200).body["expires_at"], Value::Null);
}

#[tokio::test]
async fn it_takes_a_permission_and_is_noted() {
    let world = World::new().await;
    let ann = world.person("ann").await;
    let Home { team, board, .. } = Home::of(&ann).await;
    let path = format!("/v1/boards/{board}/kv/k");
    let bob = world.person("bob").await;
    bob.join(&team, Role::Operator).await;
    bob.put(&path, json!({ "value": 1 })).await.problem("forbidden");
    bob.delete(&path).await.problem("forbidden");
    ann.put(&path, json!({ "value": "the content" })).await.expect(200);
    bob.get(&path).await.expect(200);
    ann.delete(&path).await.expect(204);
    let audit = ann.get(&format!("/v1/teams/{team}/audit?action=kv.")).await.expect(200);
    let noted: Vec<_> =
        audit.items().iter().map(|entry| json!([entry["action"], entry["before"], entry["after"]])).collect();
    assert_eq!(json!(noted), json!([["kv.delete", { "version": 1 }, null], ["kv.set", null, { "version": 1 }]]));
    assert!(!audit.text.contains("the content"));
    ann.patch(&format!("/v1/boards/{board}"), json!({ "archived": true })).await.expect(200);
    ann.put(&path, json!({ "value": 1 })).await.problem("conflict");
}

/// People and scripts see one store, and count one version.
#[tokio::test]
async fn scripts_and_people_share_the_store() {
    let it = Installation::start().await;
    let document = steps(json!({ "a": { "script": "a.lua", "allow": { "kv": true } } }));
    let Scene { ann, place, held, .. } = it.claimed(Some(document)).await;
    let path = format!("/v1/boards/{}/kv/k", place.board);
    ann.expect(StatusCode::OK, Method::PUT, &path, Some(json!({ "value": "by ann" }))).await;
    held.reported(1, json!([started("a")])).await;
    let got = held.called("get", json!({ "method": "kv_get", "key": "k" })).await;
    assert_eq!(got, json!({ "value": "by ann", "version": 1 }));
    held.called("set", json!({ "method": "kv_set", "key": "k", "value": "by a script" })).await;
    let entry = ann.get(&path).await;
    assert_eq!((&entry["value"], &entry["version"]), (&json!("by a script"), &json!(2)));
}
