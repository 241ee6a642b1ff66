//! The order of a board's pipelines, by hand; and moving one to another board.

use proptest::{collection::vec, prelude::Strategy as _, strategy::ValueTree as _, test_runner::TestRunner};
use restroy_control_plane::auth::Role;
use serde_json::{Value, json};

use crate::support::{Home, Person, World, one_file, one_step};

/// The names of a board's pipelines in order, page by page.
async fn names(person: &Person<'_>, board: &str, limit: usize) -> Vec<String> {
    let (mut all, mut cursor) = (Vec::new(), String::new());
    loop {
        let page = person.get(&format!("/v1/boards/{board}/pipelines?limit={limit}{cursor}")).await.expect(200);
        all.extend(page.items().iter().map(|pipeline| pipeline["name"].as_str().unwrap().to_owned()));
        match page.body["next_cursor"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => return all,
        }
    }
}

async fn put(person: &Person<'_>, board: &str, pipeline: &str, before: Option<&String>) {
    let order = json!({ "pipeline": pipeline, "before": before });
    person.put(&format!("/v1/boards/{board}/order"), order).await.expect(204);
}

/// A board with pipelines of these names; their ids.
async fn board_of(person: &Person<'_>, names: &[&str]) -> (String, Vec<String>) {
    let board = person.board(&person.team("Team").await, "Board").await;
    let mut ids = Vec::new();
    for name in names {
        ids.push(person.pipeline(&board, name).await);
    }
    (board, ids)
}

#[tokio::test]
async fn pipelines_stand_where_they_are_put() {
    let world = World::new().await;
    let ann = world.person("ann").await;
    let (board, ids) = board_of(&ann, &["a", "b", "c", "d"]).await;
    assert_eq!(names(&ann, &board, 100).await, ["a", "b", "c", "d"]);
    put(&ann, &board, &ids[3], Some(&ids[0])).await;
    assert_eq!(names(&ann, &board, 1).await, ["d", "a", "b", "c"]);
    put(&ann, &board, &ids[0], None).await;
    assert_eq!(names(&ann, &board, 3).await, ["d", "b", "c", "a"]);
    put(&ann, &board, &ids[2], Some(&ids[0])).await; // where it is already
    assert_eq!(names(&ann, &board, 2).await, ["d", "b", "c", "a"]);
    ann.pipeline(&board, "e").await;
    assert_eq!(names(&ann, &board, 2).await, ["d", "b", "c", "a", "e"]);
}

#[tokio::test]
async fn what_cannot_be_ordered_is_named() {
    let world = World::new().await;
    let ann = world.person("ann").await;
    let (board, ids) = board_of(&ann, &["a", "b"]).await;
    let at = format!("/v1/boards/{board}/order");
    let other = Home::of(&ann).await.pipeline;
    let refused = ann.put(&at, json!({ "pipeline": ids[0], "before": ids[0] })).await.problem("invalid");
    assert_eq!(refused.pointers(), ["/before"]);
    let refused = ann.put(&at, json!({ "pipeline": ids[0], "before": other })).await.problem("invalid");
    assert_eq!(refused.pointers(), ["/before"]);
    let refused = ann.put(&at, json!({ "pipeline": other })).await.problem("invalid");
    assert_eq!(refused.pointers(), ["/pipeline"]);
    ann.delete(&format!("/v1/pipelines/{}", ids[1])).await.expect(204);
    ann.put(&at, json!({ "pipeline": ids[0], "before": ids[1] })).await.problem("invalid");
    assert_eq!(names(&ann, &board, 100).await, ["a"]);
}

#[tokio::test]
async fn gaps_that_are_used_up_are_dealt_anew_and_no_page_loses_its_place() {
    let world = World::new().await;
    let ann = world.person("ann").await;
    let (board, ids) = board_of(&ann, &["a", "b", "c", "d"]).await;
    let first = ann.get(&format!("/v1/boards/{board}/pipelines?limit=2")).await.expect(200);
    let cursor = first.body["next_cursor"].as_str().unwrap().to_owned();
    // Two that take turns before the last halve the gap there each time.
    for turn in 0..80 {
        put(&ann, &board, &ids[turn % 2], Some(&ids[3])).await;
    }
    assert_eq!(names(&ann, &board, 100).await, ["c", "a", "b", "d"]);
    assert!(world.count("boards WHERE order_epoch > 0").await > 0, "all positions were dealt anew");
    // The cursor was behind `b`: what is behind it now.
    let rest = ann.get(&format!("/v1/boards/{board}/pipelines?cursor={cursor}")).await.expect(200);
    assert_eq!(rest.items().iter().map(|pipeline| &pipeline["name"]).collect::<Vec<_>>(), ["d"]);
    ann.get(&format!("/v1/boards/{board}/pipelines?cursor=MQ")).await.problem("bad_request");
}

#[tokio::test]
async fn any_moves_end_in_the_order_that_they_say() {
    let world = World::new().await;
    let ann = world.person("ann").await;
    let (board, ids) = board_of(&ann, &["0", "1", "2", "3", "4", "5"]).await;
    let mut model: Vec<usize> = (0..ids.len()).collect();
    let moves = vec((0..ids.len(), proptest::option::of(0..ids.len())), 60);
    let moves = moves.new_tree(&mut TestRunner::default()).unwrap().current();
    for (pipeline, before) in &moves {
        if *before == Some(*pipeline) {
            continue;
        }
        put(&ann, &board, &ids[*pipeline], before.map(|before| &ids[before])).await;
        model.retain(|other| other != pipeline);
        let at = before.map_or(model.len(), |before| model.iter().position(|other| *other == before).unwrap());
        model.insert(at, *pipeline);
    }
    let expected: Vec<String> = model.iter().map(ToString::to_string).collect();
    assert_eq!(names(&ann, &board, 4).await, expected, "{moves:?}");
}

#[tokio::test]
async fn moves_at_the_same_time_lose_nothing() {
    let world = World::new().await;
    let ann = world.person("ann").await;
    let (board, ids) = board_of(&ann, &["a", "b", "c", "d", "e", "f"]).await;
    let moves = (1..6).map(|n| put(&ann, &board, &ids[n], Some(&ids[0])));
    futures_util::future::join_all(moves).await;
    let mut after = names(&ann, &board, 100).await;
    assert_eq!(after.pop().as_deref(), Some("a"), "all the others were put before it");
    after.sort();
    assert_eq!(after, ["b", "c", "d", "e", "f"]);
    let (places, all) = (world.count("(SELECT DISTINCT board_id, position FROM pipelines) p").await, 6);
    assert_eq!(places, all, "no two have one place");
}

#[tokio::test]
async fn a_pipeline_moves_with_what_is_its_own() {
    let world = World::new().await;
    let ann = world.person("ann").await;
    let home = Home::of(&ann).await;
    let mut document = one_step();
    document["schedules"] = json!({ "day": { "cron": "0 8 * * *" } });
    ann.publish(&home.pipeline, document, one_file()).await.expect(200);
    ann.put(&format!("/v1/scripts/{}/configuration/KEY", home.script), json!({ "value": "v" })).await.expect(200);
    let there = ann.board(&home.team, "There").await;
    let at = format!("/v1/pipelines/{}", home.pipeline);
    let run = ann.post(&format!("{at}/runs"), json!({})).await.expect(202).id();
    let refused = ann.post(&format!("{at}/move"), json!({ "board": there })).await.problem("conflict");
    assert!(refused.text.contains("1 of its runs"), "{}", refused.text);
    ann.post(&format!("/v1/runs/{run}/cancel"), Value::Null).await;
    let moved = ann.post(&format!("{at}/move"), json!({ "board": there })).await.expect(200).body;
    assert_eq!((&moved["board_id"], &moved["published_version"]), (&json!(there), &json!(2)));
    assert_eq!(names(&ann, &home.board, 10).await, [""; 0]);
    assert_eq!(names(&ann, &there, 10).await, ["Pipeline"]);
    assert_eq!(world.count("schedules WHERE next_fire_at IS NOT NULL").await, 1);
    let configuration = ann.get(&format!("/v1/scripts/{}/configuration", home.script)).await.expect(200);
    assert_eq!(configuration.items().len(), 1);
    ann.get(&format!("/v1/runs/{run}")).await.expect(200);
    // Twice is once.
    ann.post(&format!("{at}/move"), json!({ "board": there })).await.expect(200);
}

#[tokio::test]
async fn a_move_takes_rights_on_both_boards_and_a_free_name() {
    let world = World::new().await;
    let ann = world.person("ann").await;
    let home = Home::of(&ann).await;
    let there = ann.board(&home.team, "There").await;
    let at = format!("/v1/pipelines/{}/move", home.pipeline);
    let to = json!({ "board": there });
    let bob = world.person("bob").await;
    bob.join(&home.team, Role::Operator).await;
    bob.post(&at, to.clone()).await.problem("forbidden");
    // Another team's board: not there for a stranger, and no place for the pipeline in any case.
    let eve = world.person("eve").await;
    let abroad = Home::of(&eve).await;
    ann.post(&at, json!({ "board": abroad.board })).await.problem("not_found");
    ann.join(&abroad.team, Role::Owner).await;
    ann.post(&at, json!({ "board": abroad.board })).await.problem("invalid");
    ann.patch(&format!("/v1/boards/{there}"), json!({ "archived": true })).await.expect(200);
    ann.post(&at, to.clone()).await.problem("conflict");
    ann.patch(&format!("/v1/boards/{there}"), json!({ "archived": false })).await.expect(200);
    ann.pipeline(&there, "Pipeline").await;
    ann.post(&at, to.clone()).await.problem("name_taken");
    ann.patch(&format!("/v1/pipelines/{}", home.pipeline), json!({ "name": "Other" })).await.expect(200);
    ann.post(&at, to).await.expect(200);
}

#[tokio::test]
async fn what_was_granted_on_one_board_is_not_granted_on_another() {
    let world = World::new().await;
    let ann = world.person("ann").await;
    let home = Home::of(&ann).await;
    let there = ann.board(&home.team, "There").await;
    let bob = world.person("bob").await;
    bob.join(&home.team, Role::Editor).await;
    let role_on = async |board: &str, role: &str| {
        ann.put(&format!("/v1/boards/{board}/members/{}", bob.id), json!({ "role": role })).await.expect(200)
    };
    let at = format!("/v1/pipelines/{}/move", home.pipeline);
    let mv = async |board: &str| bob.post(&at, json!({ "board": board })).await;
    // What touches nothing goes where there is leave to make it.
    mv(&there).await.expect(200);
    mv(&home.board).await.expect(200);
    let mut document = one_step();
    document["steps"]["a"]["allow"] = json!({ "kv": true });
    document["steps"]["a"]["secrets"] = json!(["KEY"]);
    ann.publish(&home.pipeline, document, one_file()).await.expect(200);
    assert_eq!(mv(&there).await.problem("forbidden").pointers(), ["/steps/a/allow/kv", "/steps/a/secrets/0"]);
    role_on(&home.board, "admin").await;
    mv(&there).await.problem("forbidden");
    role_on(&home.board, "viewer").await;
    role_on(&there, "admin").await;
    mv(&there).await.expect(200);
    role_on(&home.board, "admin").await;
    mv(&home.board).await.expect(200);
    // A script's own secret is taken off its board by who could have granted it there.
    role_on(&home.board, "viewer").await;
    let secret = format!("/v1/scripts/{}/configuration/OWN", home.script);
    ann.put(&secret, json!({ "value": "a long secret", "secret": true })).await.expect(200);
    mv(&there).await.problem("forbidden");
    ann.delete(&secret).await.expect(204);
    mv(&there).await.expect(200);
    let told = ann.get(&format!("/v1/teams/{}/audit?action=pipeline.move", home.team)).await.expect(200);
    assert_eq!(told.items()[0]["details"]["granted"][1]["kind"], "kv", "{}", told.text);
}

#[tokio::test]
async fn a_full_board_says_so_and_can_be_ordered() {
    let world = World::new().await;
    let ann = world.person("ann").await;
    let (board, ids) = board_of(&ann, &["first"]).await;
    let mut tx = world.state.db.system_write().await.unwrap();
    // Without gaps, so that the next move deals all positions anew.
    let statement = tx.pick(
        "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 9998)
         INSERT INTO pipelines (id, team_id, board_id, name, position, created_at, updated_at)
         SELECT randomblob(16), b.team_id, b.id, 'p' || i, i, 1, 1 FROM n, boards b",
        "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 9998)
         INSERT INTO pipelines (id, team_id, board_id, name, position, created_at, updated_at)
         SELECT gen_random_uuid(), b.team_id, b.id, 'p' || i, i, 1, 1 FROM n, boards b",
    );
    restroy_control_plane::sql!(&mut tx, execute, sqlx::query(statement)).unwrap();
    tx.commit().await.unwrap();
    let last = ann.pipeline(&board, "last").await;
    let at = format!("/v1/boards/{board}/pipelines");
    let full = ann.post(&at, json!({ "name": "one more" })).await.problem("quota_exceeded");
    assert!(full.text.contains("10000 pipelines on a board"), "{}", full.text);
    ann.delete(&format!("/v1/pipelines/{last}")).await.expect(204);
    ann.pipeline(&board, "another").await;
    ann.post(&format!("/v1/pipelines/{last}/restore"), Value::Null).await.problem("quota_exceeded");
    let page = ann.get(&format!("{at}?limit=2")).await.expect(200);
    let second = page.items()[1]["id"].as_str().unwrap().to_owned();
    put(&ann, &board, &ids[0], Some(&second)).await;
    let page = ann.get(&format!("{at}?limit=3")).await.expect(200);
    let names: Vec<_> = page.items().iter().map(|pipeline| &pipeline["name"]).collect();
    assert_eq!(names, ["p1", "first", "p2"]);
    assert_eq!(world.count("boards WHERE order_epoch = 1").await, 1);
}
