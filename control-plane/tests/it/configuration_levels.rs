//! Values and secrets that a board's and a team's scripts share, their history, and edits that meet.

use reqwest::Method;
use restroy_control_plane::auth::Role;
use serde_json::{Value, json};

use crate::{
    configuration::settings_at,
    support::{Home, Person, World, one_file, one_step},
};

/// A key's path at each of the three places, the nearest first.
fn places(home: &Home, key: &str) -> [String; 3] {
    let Home { script, board, team, .. } = home;
    [("scripts", script), ("boards", board), ("teams", team)]
        .map(|(kind, id)| format!("/v1/{kind}/{id}/configuration/{key}"))
}

fn plain(value: &str) -> Value {
    json!({ "value": value })
}

fn secret(value: &str) -> Value {
    json!({ "value": value, "secret": true })
}

/// A home whose step has two plain keys and a secret.
async fn declared(ann: &Person<'_>) -> Home {
    let home = Home::of(ann).await;
    let mut document = one_step();
    document["steps"]["a"]["config"] = json!({ "URL": "default", "MODE": "calm" });
    document["steps"]["a"]["secrets"] = json!(["KEY"]);
    ann.publish(&home.pipeline, document, one_file()).await.expect(200);
    home
}

#[tokio::test]
async fn the_nearest_place_decides() {
    let world = World::new().await;
    let ann = world.person("ann").await;
    let home = declared(&ann).await;
    let newest = [100, 100, 100];
    // From the farthest to the nearest, then taken away from the nearest on.
    for (number, name) in ["script", "board", "team"].iter().enumerate().rev() {
        ann.put(&places(&home, "URL")[number], plain(name)).await.expect(200);
        ann.put(&places(&home, "KEY")[number], secret(&format!("secret of {name}"))).await.expect(200);
        let (settings, reads) = settings_at(&ann, &home, newest).await;
        assert_eq!(settings["config"], json!({ "URL": name, "MODE": "calm" }));
        assert_eq!(settings["secrets"], json!({ "KEY": format!("secret of {name}") }));
        assert_eq!((reads.len(), reads[0].level.as_str(), reads[0].revision), (1, *name, 1));
        assert_eq!(reads[0].script_id.to_string(), home.script);
    }
    for (number, next) in ["board", "team"].iter().enumerate() {
        ann.delete(&places(&home, "URL")[number]).await.expect(204);
        ann.delete(&places(&home, "KEY")[number]).await.expect(204);
        let (settings, _) = settings_at(&ann, &home, newest).await;
        assert_eq!(settings["config"]["URL"], *next);
        assert_eq!(settings["secrets"]["KEY"], format!("secret of {next}"));
    }
    // What is shared reaches those who name it, and a plain value is never taken for a secret.
    let [script, board, team] = places(&home, "OTHER");
    ann.put(&team, plain("shared")).await.expect(200);
    ann.put(&board, plain("shared")).await.expect(200);
    assert_eq!(settings_at(&ann, &home, newest).await.0["config"]["OTHER"], Value::Null);
    ann.put(&script, plain("own")).await.expect(200);
    assert_eq!(settings_at(&ann, &home, newest).await.0["config"]["OTHER"], "own");
    ann.put(&places(&home, "KEY")[1], plain("hides the team's")).await.expect(200);
    assert_eq!(settings_at(&ann, &home, newest).await.0["missing"], json!(["KEY"]));
    ann.put(&places(&home, "MODE")[2], secret("not a plain value")).await.expect(200);
    assert_eq!(settings_at(&ann, &home, newest).await.0["config"]["MODE"], "calm");
}

#[tokio::test]
async fn a_run_keeps_to_the_values_of_its_start_at_every_place() {
    let world = World::new().await;
    let ann = world.person("ann").await;
    let home = declared(&ann).await;
    let [_, board, team] = places(&home, "URL");
    ann.put(&team, plain("team 1")).await.expect(200);
    ann.put(&team, plain("team 2")).await.expect(200);
    ann.put(&board, plain("board 1")).await.expect(200);
    ann.put(&board, plain("board 2")).await.expect(200);
    ann.delete(&board).await.expect(204);
    for (revisions, expected) in [
        ([0, 0, 0], "default"),
        ([0, 0, 1], "team 1"),
        ([0, 0, 2], "team 2"),
        ([0, 1, 2], "board 1"),
        ([0, 2, 0], "board 2"),
        ([0, 3, 1], "team 1"),
        ([9, 3, 0], "default"),
    ] {
        assert_eq!(settings_at(&ann, &home, revisions).await.0["config"]["URL"], expected, "{revisions:?}");
    }
    // What a run is pinned to is what holds when it starts.
    let runs = format!("/v1/pipelines/{}/runs", home.pipeline);
    ann.post(&runs, json!({})).await.expect(202);
    assert_eq!(world.count("runs WHERE board_config_revision = 3 AND team_config_revision = 2").await, 1);
}

#[tokio::test]
async fn places_do_not_mix() {
    let world = World::new().await;
    let ann = world.person("ann").await;
    let (home, other) = (declared(&ann).await, declared(&ann).await);
    let second = ann.board(&home.team, "Second").await;
    ann.put(&places(&other, "URL")[2], plain("another team's")).await.expect(200);
    ann.put(&places(&other, "KEY")[2], secret("another team's")).await.expect(200);
    ann.put(&format!("/v1/boards/{second}/configuration/URL"), plain("another board's")).await.expect(200);
    let (settings, _) = settings_at(&ann, &home, [100, 100, 100]).await;
    assert_eq!((&settings["config"]["URL"], &settings["missing"]), (&json!("default"), &json!(["KEY"])));
    for path in places(&home, "URL") {
        ann.get(&path).await.problem("not_found");
        assert!(ann.get(path.strip_suffix("/URL").unwrap()).await.expect(200).items().is_empty());
    }
}

#[tokio::test]
async fn history_shows_who_and_when_but_no_secret() {
    let world = World::new().await;
    let ann = world.person("ann").await;
    let home = Home::of(&ann).await;
    let bob = world.person("bob").await;
    bob.join(&home.team, Role::Editor).await;
    for path in places(&home, "KEY") {
        ann.get(&format!("{path}/history")).await.problem("not_found");
        ann.put(&path, plain("one")).await.expect(200);
        bob.put(&path, secret("the first secret")).await.expect(200);
        ann.put(&path, secret("the second secret")).await.expect(200);
        ann.delete(&path).await.expect(204);
        let history = ann.get(&format!("{path}/history")).await.expect(200);
        assert!(!history.text.contains("the first") && !history.text.contains("the second"), "{}", history.text);
        let told: Vec<_> = history
            .items()
            .iter()
            .map(|item| json!([item["revision"], item["secret"], item["removed"], item["value"], item["author_name"]]))
            .collect();
        let expected = json!([
            [4, true, true, null, "ann"],
            [3, true, false, null, "ann"],
            [2, true, false, null, "bob"],
            [1, false, false, "one", "ann"],
        ]);
        assert_eq!(json!(told), expected, "{path}");
        let first = ann.get(&format!("{path}/history?limit=3")).await.expect(200);
        let next = first.body["next_cursor"].as_str().unwrap();
        let rest = ann.get(&format!("{path}/history?limit=3&cursor={next}")).await.expect(200);
        assert_eq!((first.items().len(), rest.items().len()), (3, 1));
    }
    assert_eq!(world.count("configurations WHERE sealed IS NOT NULL").await, 0, "old secrets are forgotten");
}

#[tokio::test]
async fn concurrent_edits_are_reported() {
    let world = World::new().await;
    let ann = world.person("ann").await;
    let home = Home::of(&ann).await;
    for path in places(&home, "URL") {
        let put = async |header, tag: &str, value: &str| {
            ann.with(Method::PUT, &path, &[(header, tag)], Some(plain(value))).await
        };
        put("if-match", "*", "x").await.problem("version_mismatch");
        let made = put("if-none-match", "*", "one").await.expect(200);
        assert_eq!(made.headers["etag"], "\"1\"");
        put("if-none-match", "*", "two").await.problem("version_mismatch");
        assert_eq!(ann.get(&path).await.expect(200).headers["etag"], "\"1\"");
        assert_eq!(put("if-match", "\"1\"", "two").await.expect(200).headers["etag"], "\"2\"");
        put("if-match", "\"1\"", "three").await.problem("version_mismatch");
        let delete = async |tag: &str| ann.with(Method::DELETE, &path, &[("if-match", tag)], None).await;
        delete("\"1\"").await.problem("version_mismatch");
        assert_eq!(ann.get(&path).await.expect(200).body["value"], "two");
        delete("\"2\"").await.expect(204);
        // What comes after continues counting: no tag comes back.
        assert_eq!(put("if-none-match", "*", "again").await.expect(200).headers["etag"], "\"4\"");
    }
}

#[tokio::test]
async fn of_edits_at_once_one_goes_through() {
    let world = World::new().await;
    let ann = world.person("ann").await;
    let home = Home::of(&ann).await;
    for path in places(&home, "URL") {
        ann.put(&path, plain("one")).await.expect(200);
        let put = async |value: &str| {
            ann.with(Method::PUT, &path, &[("if-match", "\"1\"")], Some(plain(value))).await.status.as_u16()
        };
        let mut statuses: [u16; 3] = tokio::join!(put("a"), put("b"), put("c")).into();
        statuses.sort_unstable();
        assert_eq!(statuses, [200, 412, 412]);
        assert_eq!(ann.get(&path).await.expect(200).body["revision"], 2);
    }
}

#[tokio::test]
async fn who_may_change_what_is_shared() {
    let world = World::new().await;
    let ann = world.person("ann").await;
    let home = Home::of(&ann).await;
    let [_, board, team] = places(&home, "URL");
    for role in [Role::Viewer, Role::Operator] {
        let person = world.person(role.as_str()).await;
        person.join(&home.team, role).await;
        for path in [&board, &team] {
            person.put(path, plain("x")).await.problem("forbidden");
            person.put(path, secret("a long secret")).await.problem("forbidden");
            person.delete(path).await.problem("forbidden");
        }
    }
    ann.patch(&format!("/v1/boards/{}", home.board), json!({ "archived": true })).await.expect(200);
    ann.put(&board, plain("x")).await.problem("conflict");
    ann.put(&team, plain("x")).await.expect(200);
}

/// An editor reaches a shared secret only where somebody granted it.
#[tokio::test]
async fn naming_a_shared_secret_is_widening() {
    let world = World::new().await;
    let ann = world.person("ann").await;
    let home = Home::of(&ann).await;
    let eve = world.person("eve").await;
    eve.join(&home.team, Role::Editor).await;
    ann.put(&places(&home, "BOARD")[1], secret("of the board")).await.expect(200);
    ann.put(&places(&home, "TEAM")[2], secret("of the team")).await.expect(200);
    ann.put(&places(&home, "PLAIN")[2], plain("of the team")).await.expect(200);
    let mut document = one_step();
    document["steps"]["a"]["secrets"] = json!(["OWN", "BOARD", "TEAM", "PLAIN"]);
    let refused = eve.publish(&home.pipeline, document.clone(), one_file()).await.problem("forbidden");
    let places: Vec<String> = (0..4).map(|n| format!("/steps/a/secrets/{n}")).collect();
    assert_eq!(refused.pointers(), places, "every secret that is declared is widening, wherever it is kept");
    ann.publish(&home.pipeline, document.clone(), one_file()).await.expect(200);
    eve.publish(&home.pipeline, document, one_file()).await.expect(200);
}

#[tokio::test]
async fn the_bounds_of_a_place_are_named() {
    let world = World::new().await;
    let ann = world.person("ann").await;
    let home = Home::of(&ann).await;
    for number in 0..50 {
        ann.put(&places(&home, &format!("KEY{number}"))[1], secret("a long secret")).await.expect(200);
    }
    let full = ann.put(&places(&home, "KEY50")[1], secret("a long secret")).await.problem("quota_exceeded");
    assert!(full.body["detail"].as_str().unwrap().contains("50 secrets of a board"), "{}", full.text);
    ann.put(&places(&home, "KEY0")[1], secret("another secret")).await.expect(200);
    ann.put(&places(&home, "KEY50")[2], secret("a long secret")).await.expect(200);
    ann.put(&places(&home, "KEY50")[1], plain("not a secret")).await.expect(200);
}

#[tokio::test]
async fn revisions_are_forgotten_once_no_run_may_want_them() {
    let world = World::new().await;
    let ann = world.person("ann").await;
    let home = Home::of(&ann).await;
    let path = &places(&home, "URL")[2];
    ann.put(path, plain("first")).await.expect(200);
    let (team, now) = (&home.team, world.state.ambient.now());
    let mut tx = world.state.db.team_write(team.parse().unwrap()).await.unwrap();
    for revision in 2..=1_100_i64 {
        let insert =
            "INSERT INTO configurations (id, team_id, key, revision, config_revision, secret, plain, created_at)
                      VALUES ($1, $2, 'URL', $3, $3, $5, 'x', $4)";
        let (id, team): (uuid::Uuid, uuid::Uuid) = (world.state.ambient.uuid(), team.parse().unwrap());
        restroy_control_plane::sql!(
            &mut *tx,
            execute,
            sqlx::query(insert).bind(id).bind(team).bind(revision).bind(now).bind(false)
        )
        .unwrap();
    }
    tx.commit().await.unwrap();
    ann.put(path, plain("last")).await.expect(200);
    assert_eq!(world.count("configurations").await, 1_101, "a run may have started with any of them");
    world.clock.advance(std::time::Duration::from_hours(10 * 24));
    let ann = world.sign_in("ann@example.com").await;
    assert_eq!(ann.put(path, plain("next")).await.expect(200).body["revision"], 1_102);
    assert_eq!(world.count("configurations").await, 1_001, "a thousand, and the new one");
}
