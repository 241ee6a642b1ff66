//! What a team cannot have more and more of, and work that is done by a few at once.

use std::time::Duration;

use restroy_control_plane::store::quota::{self, Limit};
use restroy_sdk::ids::TeamId;
use serde_json::{Value, json};

use crate::{
    database::PRODUCTION,
    runs_support::Installation,
    support::{Home, World, one_file, one_step},
};

/// Runs a statement past the API; `$ID` stands for a new id, `$YES` and `$NO` for truth and falsehood.
async fn write(world: &World, text: &str) {
    let (id, yes, no) = if PRODUCTION { ("gen_random_uuid()", "true", "false") } else { ("randomblob(16)", "1", "0") };
    let text = sqlx::AssertSqlSafe(text.replace("$ID", id).replace("$YES", yes).replace("$NO", no));
    let mut tx = world.state.db.system_write().await.unwrap();
    restroy_control_plane::sql!(&mut tx, execute, sqlx::query(text)).unwrap();
    tx.commit().await.unwrap();
}

#[tokio::test]
async fn the_sources_of_a_deleted_module_go_with_it() {
    let world = World::new().await;
    let ann = world.person("ann").await;
    let home = Home::of(&ann).await;
    let at = format!("/v1/teams/{}/library", home.team);
    let before = world.count("script_versions").await;
    // One of its versions is what the pipeline's script is, too: that one stays.
    ann.post(&at, json!({ "name": "text", "source": "return 'first'" })).await.expect(201);
    ann.put(&format!("{at}/text"), json!({ "source": "return 1" })).await.expect(200);
    ann.put(&format!("{at}/text"), json!({ "source": "return 'third'" })).await.expect(200);
    assert_eq!(world.count("script_versions").await, before + 2);
    ann.delete(&format!("{at}/text")).await.expect(204);
    assert_eq!(world.count("script_versions").await, before);
    let source = ann.get(&format!("/v1/pipelines/{}/definition", home.pipeline)).await.expect(200);
    assert_eq!(source.body["files"]["scripts/a.lua"], "return 1");
}

#[tokio::test]
async fn sources_are_bounded() {
    let world = World::new().await;
    let ann = world.person("ann").await;
    let home = Home::of(&ann).await;
    let team: TeamId = home.team.parse().unwrap();
    let set = async |bytes: i64| {
        let limit = [(Limit::VersionBytes, Some(bytes))];
        assert!(quota::set(&world.state.db, &world.state.ambient, team, &limit).await.unwrap());
    };
    let stored = async || {
        let usage = ann.get(&format!("/v1/teams/{}/usage", home.team)).await.expect(200);
        usage.body["storage"]["version_bytes"].as_i64().unwrap()
    };
    let (first, long) = (stored().await, format!("return '{}'", "x".repeat(10_000)));
    assert!(first > 0);
    set(first + 10_000).await;
    let files = json!({ "scripts/a.lua": long });
    let refused = ann.publish(&home.pipeline, one_step(), files.clone()).await.problem("quota_exceeded");
    assert_eq!(refused.body["limit"], json!({ "name": "version_bytes", "value": first + 10_000 }));
    let module = json!({ "name": "text", "source": long });
    ann.post(&format!("/v1/teams/{}/library", home.team), module).await.problem("quota_exceeded");
    assert_eq!(stored().await, first, "nothing was written");
    set(first + 100_000).await;
    ann.publish(&home.pipeline, one_step(), files.clone()).await.expect(200);
    let second = stored().await;
    assert!(second > first + 10_000);
    // The same source again is there once; its document takes room.
    ann.publish(&home.pipeline, one_step(), files).await.expect(200);
    assert!((second + 1..second + 10_000).contains(&stored().await));
    // However small, what is very much is bounded.
    set(stored().await + 100).await;
    let restore = format!("/v1/pipelines/{}/versions/1/restore", home.pipeline);
    ann.post(&restore, json!({})).await.problem("quota_exceeded");
}

#[tokio::test]
async fn removed_keys_are_counted_and_forgotten() {
    let world = World::new().await;
    let ann = world.person("ann").await;
    let home = Home::of(&ann).await;
    let at = |key: &str| format!("/v1/scripts/{}/configuration/{key}", home.script);
    for key in ["GONE", "OLD"] {
        ann.put(&at(key), json!({ "value": "1" })).await.expect(200);
        ann.delete(&at(key)).await.expect(204);
    }
    write(
        &world,
        "INSERT INTO configurations (id, team_id, script_id, key, revision, config_revision, secret, removed, created_at)
         WITH RECURSIVE n (i) AS (SELECT CAST(3 AS BIGINT) UNION ALL SELECT i + 1 FROM n WHERE i < 1000)
         SELECT $ID, s.team_id, s.id, 'KEY' || n.i, 1, n.i + 100, $NO, $YES, (SELECT max(created_at) FROM configurations)
         FROM n CROSS JOIN scripts s",
    )
    .await;
    let full = ann.put(&at("NEW"), json!({ "value": "1" })).await.problem("quota_exceeded");
    assert!(full.body["detail"].as_str().unwrap().contains("1000 keys of a script"), "{}", full.text);
    ann.put(&at("GONE"), json!({ "value": "2" })).await.expect(200); // known already
    ann.put(&at("NEW"), json!({ "value": "1" })).await.expect(200); // in its place
    ann.delete(&at("GONE")).await.expect(204);
    world.clock.advance(Duration::from_hours(10 * 24));
    let ann = world.sign_in("ann@example.com").await;
    ann.put(&at("NEW"), json!({ "value": "2" })).await.expect(200);
    let removed = world.count("configurations WHERE newest AND removed").await;
    assert_eq!(removed, 500, "no run may have started with the others");
    ann.put(&at("FRESH"), json!({ "value": "1" })).await.expect(200);
    assert_eq!(ann.put(&at("OLD"), json!({ "value": "3" })).await.expect(200).body["value"], "3");
}

#[tokio::test]
async fn what_is_deleted_takes_room_until_it_is_removed() {
    let world = World::new().await;
    let ann = world.person("ann").await;
    let home = Home::of(&ann).await;
    write(
        &world,
        "INSERT INTO pipelines (id, team_id, board_id, name, created_at, updated_at, deleted_at)
         WITH RECURSIVE n (i) AS (SELECT CAST(2 AS BIGINT) UNION ALL SELECT i + 1 FROM n WHERE i < 19999)
         SELECT $ID, b.team_id, b.id, 'Pipeline', 1, 1, b.created_at FROM n CROSS JOIN boards b",
    )
    .await;
    let at = format!("/v1/boards/{}/pipelines", home.board);
    ann.post(&at, json!({ "name": "Last" })).await.expect(201);
    let full = ann.post(&at, json!({ "name": "One more" })).await.problem("quota_exceeded");
    assert!(full.body["detail"].as_str().unwrap().contains("20000 pipelines on a board"), "{}", full.text);
}

#[tokio::test]
async fn schedules_of_a_team_are_bounded() {
    let world = World::new().await;
    let ann = world.person("ann").await;
    let home = Home::of(&ann).await;
    let with = |schedules: usize| {
        let mut document = one_step();
        let named = (0..schedules).map(|n| (format!("s{n}"), json!({ "cron": "0 8 * * *" }))).collect::<Value>();
        document["schedules"] = named;
        document
    };
    for number in 0..24 {
        let pipeline = ann.pipeline(&home.board, &format!("Pipeline {number}")).await;
        ann.publish(&pipeline, with(20), one_file()).await.expect(200);
    }
    ann.publish(&home.pipeline, with(19), one_file()).await.expect(200);
    let other = ann.pipeline(&home.board, "Other").await;
    let full = ann.publish(&other, with(2), one_file()).await.problem("quota_exceeded");
    assert!(full.body["detail"].as_str().unwrap().contains("500 schedules of a team"), "{}", full.text);
    let draft = json!({ "definition": with(2), "files": one_file(), "publish": false });
    ann.put(&format!("/v1/pipelines/{other}/definition"), draft).await.expect(200);
    let publish = format!("/v1/pipelines/{other}/versions/1/publish");
    ann.post(&publish, Value::Null).await.problem("quota_exceeded");
    ann.publish(&other, with(1), one_file()).await.expect(200);
    ann.publish(&home.pipeline, with(19), one_file()).await.expect(200); // as many as it has
    ann.publish(&home.pipeline, with(20), one_file()).await.problem("quota_exceeded");
}

#[tokio::test]
async fn expensive_work_waits_for_its_teams_turn() {
    let world = World::new().await;
    let ann = world.person("ann").await;
    let home = Home::of(&ann).await;
    let bob = world.person("bob").await;
    let other = Home::of(&bob).await;
    ann.publish(&home.pipeline, one_step(), one_file()).await.expect(200);

    // All that the team may have at once is taken, and as many wait as may.
    let team: uuid::Uuid = home.team.parse().unwrap();
    let (mut held, mut waiting) = (Vec::new(), Vec::new());
    while waiting.len() < 16 {
        let tenants = world.state.tenants.clone();
        let mut turn = Box::pin(async move { tenants.turn(team).await });
        match futures_util::poll!(&mut turn) {
            std::task::Poll::Ready(turn) => held.push(turn.unwrap()),
            std::task::Poll::Pending => waiting.push(turn),
        }
    }
    let compare = format!("/v1/pipelines/{}/versions/1/diff/1", home.pipeline);
    for refused in [ann.publish(&home.pipeline, one_step(), one_file()).await, ann.get(&compare).await] {
        assert!(refused.headers.contains_key("retry-after"));
        refused.problem("rate_limited");
    }
    bob.publish(&other.pipeline, one_step(), one_file()).await.expect(200);
    drop((waiting, held));
    ann.publish(&home.pipeline, one_step(), one_file()).await.expect(200);
    ann.get(&compare).await.expect(200);
}

#[tokio::test]
async fn whether_the_database_serves_is_asked_once_a_second() {
    let it = Installation::start().await;
    let ready = async || {
        let answer = it.http.get(format!("http://{}/readyz", it.api)).send().await.unwrap();
        (answer.status().as_u16(), answer.json::<Value>().await.unwrap()["reasons"].clone())
    };
    assert_eq!(ready().await.0, 200);
    it.state.db.close().await;
    assert_eq!(ready().await.0, 200, "its answer is a moment old");
    it.clock.advance(Duration::from_secs(2));
    let (status, reasons) = ready().await;
    assert!(status == 503 && reasons[0].as_str().unwrap().contains("database"), "{status} {reasons}");
}
