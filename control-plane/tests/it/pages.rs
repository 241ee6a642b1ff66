//! Lists come in pages.

use std::collections::BTreeSet;

use serde_json::json;

use crate::support::{Home, Person, World};

/// Walks a list page by page; gives the `field` of every thing.
async fn walk(person: &Person<'_>, path: &str, limit: usize, field: &str) -> Vec<String> {
    let mut all = Vec::new();
    let mut next = format!("{path}?limit={limit}");
    loop {
        let page = person.get(&next).await.expect(200);
        assert!(page.items().len() <= limit);
        all.extend(page.items().iter().map(|item| item[field].as_str().unwrap().to_owned()));
        let Some(cursor) = page.body["next_cursor"].as_str() else { return all };
        assert_eq!(page.items().len(), limit, "only the last page is short");
        next = format!("{path}?limit={limit}&cursor={cursor}");
    }
}

#[tokio::test]
async fn pages_cover_a_list_once_and_in_order() {
    let world = World::new().await;
    let ann = world.person("ann").await;
    let team = ann.team("Team").await;
    let names: Vec<String> = (0..7).map(|n| format!("Board {n}")).collect();
    for name in &names {
        ann.board(&team, name).await;
    }
    let path = format!("/v1/teams/{team}/boards");
    for limit in [1, 2, 3, 7, 100] {
        assert_eq!(walk(&ann, &path, limit, "name").await, names, "{limit}");
    }
}

#[tokio::test]
async fn what_comes_and_goes_meanwhile_hides_nothing() {
    let world = World::new().await;
    let ann = world.person("ann").await;
    let team = ann.team("Team").await;
    let path = format!("/v1/teams/{team}/boards");
    let mut ids = Vec::new();
    for n in 0..4 {
        ids.push(ann.board(&team, &format!("Board {n}")).await);
    }
    let first = ann.get(&format!("{path}?limit=2")).await.expect(200);
    ann.delete(&format!("/v1/boards/{}", ids[0])).await.expect(204);
    ann.board(&team, "Late").await;
    let cursor = first.body["next_cursor"].as_str().unwrap();
    let rest = ann.get(&format!("{path}?limit=100&cursor={cursor}")).await.expect(200);
    let seen: BTreeSet<&str> = rest.items().iter().map(|board| board["name"].as_str().unwrap()).collect();
    assert_eq!(seen, BTreeSet::from(["Board 2", "Board 3", "Late"]));
}

#[tokio::test]
async fn scripts_and_configuration_page_by_name() {
    let world = World::new().await;
    let ann = world.person("ann").await;
    let board = ann.board(&ann.team("Team").await, "Board").await;
    let pipeline = ann.pipeline(&board, "Pipeline").await;
    let document = json!({ "restroy": 1, "steps": { "a": { "script": "a.lua" } } });
    let files = json!({ "a.lua": "return 1", "b.lua": "return 1", "lib/c.lua": "return 1" });
    ann.publish(&pipeline, document.clone(), files).await.expect(200);
    let path = format!("/v1/pipelines/{pipeline}/scripts");
    assert_eq!(walk(&ann, &path, 2, "path").await, ["a.lua", "b.lua", "lib/c.lua"]);
    ann.publish(&pipeline, document, json!({ "a.lua": "return 1" })).await.expect(200);
    let scripts = ann.get(&path).await.expect(200);
    let current: Vec<_> = scripts.items().iter().map(|script| script["current"].as_bool().unwrap()).collect();
    assert_eq!(current, [true, false, false]);
    let script = ann.script(&pipeline, "a.lua").await;
    let path = format!("/v1/scripts/{script}/configuration");
    for key in ["B", "A", "C"] {
        ann.put(&format!("{path}/{key}"), json!({ "value": "v" })).await.expect(200);
    }
    assert_eq!(walk(&ann, &path, 2, "key").await, ["A", "B", "C"]);
}

#[tokio::test]
async fn odd_limits_and_cursors_are_refused() {
    let world = World::new().await;
    let ann = world.person("ann").await;
    for query in ["limit=0", "limit=101", "limit=-1", "cursor=!", "cursor=bm8", "cursor="] {
        ann.get(&format!("/v1/teams?{query}")).await.problem("bad_request");
    }
}

#[tokio::test]
async fn lists_come_in_the_order_that_is_asked_for() {
    let world = World::new().await;
    let ann = world.person("ann").await;
    let team = ann.team("Team").await;
    let names = ["delta", "Alpha", "charlie", "bravo", "100%", "100_"];
    for name in names {
        ann.board(&team, name).await;
    }
    let path = format!("/v1/teams/{team}/boards");
    let mut by_name = names;
    by_name.sort_unstable(); // byte by byte
    let reversed = |names: &[&str]| names.iter().rev().map(ToString::to_string).collect::<Vec<_>>();
    for limit in [1, 2, 4, 100] {
        let sorted = |sort: &str| format!("{path}?sort={sort}&limit={limit}");
        assert_eq!(walk_on(&ann, &sorted("created_at"), "name").await, names);
        assert_eq!(walk_on(&ann, &sorted("-created_at"), "name").await, reversed(&names));
        assert_eq!(walk_on(&ann, &sorted("name"), "name").await, by_name);
        assert_eq!(walk_on(&ann, &sorted("-name"), "name").await, reversed(&by_name));
    }
    for (text, found) in [("a", 4), ("ALPHA", 1), ("%25", 1), ("_", 1), ("100", 2), ("nothing", 0), ("%5C", 0)] {
        let filtered = walk_on(&ann, &format!("{path}?name={text}&sort=name&limit=1"), "name").await;
        assert_eq!(filtered.len(), found, "{text}: {filtered:?}");
    }
    for bad in ["sort=size", "sort=", "name=", &format!("name={}", "x".repeat(65))] {
        ann.get(&format!("{path}?{bad}")).await.problem("bad_request");
    }
}

#[tokio::test]
async fn configurations_come_in_the_order_that_is_asked_for() {
    let world = World::new().await;
    let ann = world.person("ann").await;
    let home = Home::of(&ann).await;
    for place in [format!("scripts/{}", home.script), format!("boards/{}", home.board), format!("teams/{}", home.team)]
    {
        let path = format!("/v1/{place}/configuration");
        let gone = format!("{path}/GONE");
        ann.put(&gone, json!({ "value": "v" })).await.expect(200);
        for key in ["delta", "ALPHA", "charlie", "bravo_1", "delta"] {
            ann.put(&format!("{path}/{key}"), json!({ "value": "v" })).await.expect(200);
        }
        ann.delete(&gone).await.expect(204);
        let (by_key, by_change) = (["ALPHA", "bravo_1", "charlie", "delta"], ["ALPHA", "charlie", "bravo_1", "delta"]);
        let reversed = |keys: &[&str]| keys.iter().rev().map(ToString::to_string).collect::<Vec<_>>();
        for limit in [1, 3, 100] {
            let sorted = |sort: &str| format!("{path}?{sort}limit={limit}");
            assert_eq!(walk_on(&ann, &sorted(""), "key").await, by_key);
            assert_eq!(walk_on(&ann, &sorted("sort=name&"), "key").await, by_key);
            assert_eq!(walk_on(&ann, &sorted("sort=-name&"), "key").await, reversed(&by_key));
            assert_eq!(walk_on(&ann, &sorted("sort=updated_at&"), "key").await, by_change);
            assert_eq!(walk_on(&ann, &sorted("sort=-updated_at&"), "key").await, reversed(&by_change));
            assert_eq!(walk_on(&ann, &sorted("name=A&sort=-name&"), "key").await, reversed(&by_key));
            assert_eq!(walk_on(&ann, &sorted("name=_1&"), "key").await, ["bravo_1"]);
        }
        let changes = format!("{path}/delta");
        ann.put(&changes, json!({ "value": "w" })).await.expect(200);
        let history = |sort: &str| format!("{changes}/history?limit=1{sort}");
        assert_eq!(walk_on(&ann, &history(""), "value").await, ["w", "v", "v"]);
        assert_eq!(walk_on(&ann, &history("&sort=-created_at"), "value").await, ["w", "v", "v"]);
        assert_eq!(walk_on(&ann, &history("&sort=created_at"), "value").await, ["v", "v", "w"]);
        for list in [&path, &format!("{changes}/history")] {
            for bad in ["sort=created", "sort=", "name=", "limit=0", "cursor=x"] {
                ann.get(&format!("{list}?{bad}")).await.problem("bad_request");
            }
            let first = ann.get(&format!("{list}?limit=1")).await.expect(200);
            let cursor = first.body["next_cursor"].as_str().unwrap();
            for other in ["created_at", "-name"] {
                // One of them is an order of this list, but not the one that the cursor is of.
                ann.get(&format!("{list}?limit=1&cursor={cursor}&sort={other}")).await.problem("bad_request");
            }
        }
    }
}

/// Walks on from a query that says how; gives the `field` of every thing.
async fn walk_on(person: &Person<'_>, path: &str, field: &str) -> Vec<String> {
    let (mut all, mut next) = (Vec::new(), path.to_owned());
    loop {
        let page = person.get(&next).await.expect(200);
        all.extend(page.items().iter().map(|item| item[field].as_str().unwrap().to_owned()));
        let Some(cursor) = page.body["next_cursor"].as_str() else { return all };
        next = format!("{path}&cursor={cursor}");
    }
}

#[tokio::test]
async fn a_cursor_belongs_to_its_order() {
    let world = World::new().await;
    let ann = world.person("ann").await;
    let team = ann.team("Team").await;
    for name in ["A", "B"] {
        ann.board(&team, name).await;
    }
    let path = format!("/v1/teams/{team}/boards?limit=1");
    let first = ann.get(&format!("{path}&sort=name")).await.expect(200);
    let cursor = first.body["next_cursor"].as_str().unwrap();
    ann.get(&format!("{path}&sort=name&cursor={cursor}")).await.expect(200);
    for other in ["", "&sort=-name", "&sort=created_at"] {
        ann.get(&format!("{path}{other}&cursor={cursor}")).await.problem("bad_request");
    }
}

#[tokio::test]
async fn every_sorted_list_keeps_its_order() {
    let world = World::new().await;
    let ann = world.person("ann").await;
    let team = ann.team("B team").await;
    ann.team("a team").await;
    let board = ann.board(&team, "Board").await;
    for name in ["two", "one", "Three"] {
        ann.pipeline(&board, name).await;
    }
    for name in ["zoe", "bob"] {
        world.person(name).await.join(&team, restroy_control_plane::auth::Role::Viewer).await;
    }
    assert_eq!(walk_on(&ann, "/v1/teams?sort=-name&limit=1", "name").await, ["a team", "B team"]);
    let pipelines = format!("/v1/boards/{board}/pipelines?limit=1");
    assert_eq!(walk_on(&ann, &format!("{pipelines}&sort=name"), "name").await, ["Three", "one", "two"]);
    assert_eq!(walk_on(&ann, &format!("{pipelines}&sort=-created_at"), "name").await, ["Three", "one", "two"]);
    assert_eq!(walk_on(&ann, &format!("{pipelines}&name=O"), "name").await, ["two", "one"]);
    let members = format!("/v1/teams/{team}/members?limit=1");
    assert_eq!(walk_on(&ann, &format!("{members}&sort=name"), "name").await, ["ann", "bob", "zoe"]);
    assert_eq!(walk_on(&ann, &format!("{members}&name=O&sort=-name"), "name").await, ["zoe", "bob"]);
}

#[tokio::test]
async fn runs_come_by_age_status_and_name() {
    let world = World::new().await;
    let ann = world.person("ann").await;
    let home = crate::support::Home::of(&ann).await;
    let mut runs = Vec::new();
    for _ in 0..3 {
        let run = ann.post(&format!("/v1/pipelines/{}/runs", home.pipeline), json!({})).await.expect(202).id();
        runs.push(run);
    }
    ann.post(&format!("/v1/runs/{}/cancel", runs[1]), json!({})).await.expect(200);
    let newest: Vec<String> = runs.iter().rev().cloned().collect();
    for path in
        [format!("/v1/pipelines/{}/runs?limit=1", home.pipeline), format!("/v1/teams/{}/runs?limit=1", home.team)]
    {
        assert_eq!(walk_on(&ann, &path, "id").await, newest);
        assert_eq!(walk_on(&ann, &format!("{path}&sort=created_at"), "id").await, runs);
        assert_eq!(walk_on(&ann, &format!("{path}&status=cancelled"), "id").await, [runs[1].clone()]);
        assert_eq!(walk_on(&ann, &format!("{path}&name=PIPE"), "id").await, newest);
        assert!(walk_on(&ann, &format!("{path}&name=other"), "id").await.is_empty());
        let cursor = ann.get(&path).await.expect(200).body["next_cursor"].as_str().unwrap().to_owned();
        ann.get(&format!("{path}&sort=created_at&cursor={cursor}")).await.problem("bad_request");
    }
}

#[tokio::test]
async fn pages_are_bounded_in_bytes() {
    let world = World::new().await;
    let ann = world.person("ann").await;
    let board = ann.board(&ann.team("Team").await, "Board").await;
    let pipeline = ann.pipeline(&board, "Pipeline").await;
    let mut sources = Vec::new();
    for n in 0..6 {
        let source = format!("-- {n}{}", "x".repeat(250 * 1024));
        ann.publish(&pipeline, crate::support::one_step(), json!({ "scripts/a.lua": source })).await.expect(200);
        sources.push(source);
    }
    sources.reverse();
    let script = ann.script(&pipeline, "scripts/a.lua").await;
    let path = format!("/v1/scripts/{script}/versions?limit=100");
    let first = ann.get(&path).await.expect(200);
    assert_eq!(first.items().len(), 4, "as many as fit into 1 MiB");
    assert_eq!(walk_on(&ann, &path, "source").await, sources);
    assert_eq!(walk_on(&ann, &path.replace("=100", "=5"), "source").await, sources);
}
