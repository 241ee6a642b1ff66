//! Lists come in pages.

use std::collections::BTreeSet;

use serde_json::json;

use crate::support::{Person, World};

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
