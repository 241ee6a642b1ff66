//! Configuration and secrets.

use restroy_control_plane::{
    auth::Role,
    secrets::{KeyRing, MasterKey, SealContext, SecretsError},
    sql,
    store::{
        TeamTx,
        configuration::{self, RunPins, SecretRead},
        sort::AgeOrder,
        team_keys::{self, RewrapReport},
        versions,
    },
};
use restroy_sdk::ids::{PipelineId, ScriptId, TeamId};
use serde_json::json;

use crate::support::{Home, Person, World, one_file, one_step};

const SECRET: &str = "s3cret-value-of-ann";

fn at(script: &str, key: &str) -> String {
    format!("/v1/scripts/{script}/configuration/{key}")
}

#[tokio::test]
async fn values_are_set_listed_and_removed() {
    let world = World::new().await;
    let ann = world.person("ann").await;
    let Home { script, .. } = Home::of(&ann).await;
    let first = ann.put(&at(&script, "URL"), json!({ "value": "one" })).await.expect(200).body;
    assert_eq!((&first["value"], &first["revision"]), (&json!("one"), &json!(1)));
    let second = ann.put(&at(&script, "URL"), json!({ "value": "two" })).await.expect(200).body;
    assert_eq!(second["revision"], 2);
    let list = ann.get(&format!("/v1/scripts/{script}/configuration")).await.expect(200);
    assert_eq!(list.items().len(), 1);
    assert_eq!(list.items()[0]["value"], "two");
    ann.delete(&at(&script, "URL")).await.expect(204);
    ann.delete(&at(&script, "URL")).await.problem("not_found");
    assert!(ann.get(&format!("/v1/scripts/{script}/configuration")).await.expect(200).items().is_empty());
    for (key, value, pointer) in [("a-b", "v", ""), ("1a", "v", ""), ("A", &"x".repeat(9000) as &str, "/value")] {
        let reply = ann.put(&at(&script, key), json!({ "value": value })).await.problem("invalid");
        assert_eq!(reply.pointers(), [pointer], "{key}");
    }
}

#[tokio::test]
async fn a_secret_never_comes_back() {
    let world = World::new().await;
    let ann = world.person("ann").await;
    let Home { pipeline, script, .. } = Home::of(&ann).await;
    let short = ann.put(&at(&script, "KEY"), json!({ "value": "1234567", "secret": true })).await;
    short.problem("invalid");
    let put = ann.put(&at(&script, "KEY"), json!({ "value": SECRET, "secret": true })).await.expect(200);
    let list = ann.get(&format!("/v1/scripts/{script}/configuration")).await.expect(200);
    assert_eq!(list.items()[0]["value"], json!(null));
    assert_eq!(list.items()[0]["secret"], true);
    let definition = ann.get(&format!("/v1/pipelines/{pipeline}/definition")).await.expect(200);
    for reply in [put, list, definition] {
        assert!(!reply.text.contains(SECRET), "{}", reply.text);
    }
    // Nor does it lie in the database: not in any column of any table.
    let mut tx = world.state.db.system_read().await.unwrap();
    let sealed: Vec<u8> = sql!(&mut tx, fetch_one, sqlx::query_scalar("SELECT sealed FROM configurations")).unwrap();
    assert!(!sealed.windows(SECRET.len()).any(|window| window == SECRET.as_bytes()));
    let texts: Vec<String> = sql!(
        &mut tx,
        fetch_all,
        sqlx::query_scalar("SELECT details || coalesce(state_before, '') || coalesce(state_after, '') FROM audit_log")
    )
    .unwrap();
    assert!(texts.iter().all(|text| !text.contains(SECRET)));
}

#[tokio::test]
async fn taking_a_secret_away_takes_its_permission() {
    let world = World::new().await;
    let ann = world.person("ann").await;
    let Home { team, script, .. } = Home::of(&ann).await;
    ann.put(&at(&script, "KEY"), json!({ "value": SECRET, "secret": true })).await.expect(200);
    let bob = world.person("bob").await;
    bob.join(&team, Role::Operator).await;
    bob.delete(&at(&script, "KEY")).await.problem("forbidden");
    bob.put(&at(&script, "KEY"), json!({ "value": "plain" })).await.problem("forbidden");
    ann.put(&at(&script, "KEY"), json!({ "value": "plain" })).await.expect(200);
    assert_eq!(world.count("configurations WHERE sealed IS NOT NULL").await, 0, "old secrets are forgotten");
}

/// What a run of the published version that starts at `config_revision` gets for step `a`.
async fn settings(person: &Person<'_>, home: &Home, config_revision: i64) -> (serde_json::Value, Vec<i64>) {
    let (settings, reads) = settings_at(person, home, [config_revision, 0, 0]).await;
    (settings, reads.into_iter().map(|read| read.revision).collect())
}

/// The same at the revisions of pipeline, board and team.
pub(crate) async fn settings_at(
    person: &Person<'_>,
    home: &Home,
    [revision, board_revision, team_revision]: [i64; 3],
) -> (serde_json::Value, Vec<SecretRead>) {
    let state = &person.world.state;
    let scope_team: TeamId = home.team.parse().unwrap();
    let caller =
        restroy_control_plane::auth::Caller::from_session(person.id.parse().unwrap(), state.ambient.id(), None);
    let permission = restroy_control_plane::auth::Permission::PipelineRead;
    let pipeline: PipelineId = home.pipeline.parse().unwrap();
    let scope = caller.pipeline(state, pipeline, permission).await.unwrap();
    assert_eq!(scope.team(), scope_team);
    let mut tx: TeamTx = state.db.team_write(scope_team).await.unwrap();
    let newest = versions::list(&mut tx, pipeline, AgeOrder::Newest, None, 1).await.unwrap().remove(0);
    let (document, _) = versions::load(&mut tx, newest.id).await.unwrap();
    let keys = team_keys::load_for_team(&mut tx, &state.keys).await.unwrap();
    let board = home.board.parse().unwrap();
    let pinned = RunPins { version: newest.id, board, revision, board_revision, team_revision };
    let (steps, reads) = configuration::for_run(&mut tx, &keys, pinned, &document).await.unwrap();
    (serde_json::to_value(&steps["a"]).unwrap(), reads)
}

#[tokio::test]
async fn a_run_reads_values_as_it_started_and_secrets_as_they_are() {
    let world = World::new().await;
    let ann = world.person("ann").await;
    let home = Home::of(&ann).await;
    let mut document = one_step();
    document["steps"]["a"]["config"] = json!({ "URL": "default", "MODE": "calm" });
    document["steps"]["a"]["secrets"] = json!(["KEY", "OTHER"]);
    ann.publish(&home.pipeline, document, one_file()).await.expect(200);
    let (script, put) = (home.script.clone(), |value: &str, secret| json!({ "value": value, "secret": secret }));
    ann.put(&at(&script, "URL"), put("first", false)).await.expect(200); // 1
    ann.put(&at(&script, "KEY"), put("old-secret", true)).await.expect(200); // 2
    ann.put(&at(&script, "URL"), put("second", false)).await.expect(200); // 3
    ann.put(&at(&script, "KEY"), put("new-secret", true)).await.expect(200); // 4
    ann.put(&at(&script, "NOT_DECLARED"), put("hidden-secret", true)).await.expect(200); // 5
    ann.put(&at(&script, "OTHER"), put("plain, not a secret", false)).await.expect(200); // 6
    let expected = |url: &str| {
        json!({
            "config": { "MODE": "calm", "URL": url },
            "secrets": { "KEY": "new-secret" },
            "missing": ["OTHER"],
        })
    };
    assert_eq!(settings(&ann, &home, 0).await, (expected("default"), vec![2]));
    assert_eq!(settings(&ann, &home, 2).await.0, expected("first"));
    assert_eq!(settings(&ann, &home, 6).await.0, expected("second"));
    ann.delete(&at(&script, "URL")).await.expect(204); // 7
    ann.delete(&at(&script, "KEY")).await.expect(204); // 8
    let (after, reads) = settings(&ann, &home, 8).await;
    assert_eq!((&after["config"]["URL"], &after["missing"]), (&json!("default"), &json!(["KEY", "OTHER"])));
    assert!(reads.is_empty());
    assert_eq!(settings(&ann, &home, 6).await.0["config"]["URL"], "second");
}

#[tokio::test]
async fn a_sealed_value_opens_in_its_place_only() {
    let world = World::new().await;
    let ambient = &world.state.ambient;
    let (team, other): (TeamId, TeamId) = (ambient.id(), ambient.id());
    let script: ScriptId = ambient.id();
    let (old, new) = (MasterKey::generate(ambient, "old"), MasterKey::generate(ambient, "new"));
    let parse = |text: &str| MasterKey::parse(text).unwrap();
    let ring = KeyRing::new(vec![parse(&old)]).unwrap();
    let (wrapped, id) = ring.new_team_key(ambient, team).unwrap();
    assert_eq!(id, "old");
    let key = ring.open_team_key(team, &wrapped, &id).unwrap();
    let place = SealContext::Configuration { script, key: "KEY", revision: 1 };
    let sealed = key.seal(ambient, place, b"value").unwrap();
    assert_eq!(&**key.open(place, &sealed).unwrap(), b"value");
    let elsewhere = [
        SealContext::Configuration { script: ambient.id(), key: "KEY", revision: 1 },
        SealContext::Configuration { script, key: "KEY2", revision: 1 },
        SealContext::Configuration { script, key: "KEY", revision: 2 },
    ];
    for place in elsewhere {
        assert_eq!(key.open(place, &sealed).unwrap_err(), SecretsError::Broken);
    }
    let mut changed = sealed.clone();
    *changed.last_mut().unwrap() ^= 1;
    assert_eq!(key.open(place, &changed).unwrap_err(), SecretsError::Broken);
    assert_eq!(key.open(place, &[]).unwrap_err(), SecretsError::Broken);
    assert_eq!(ring.open_team_key(other, &wrapped, &id).unwrap_err(), SecretsError::Broken);

    // A new master key: old team keys still open, and move over.
    let both = KeyRing::new(vec![parse(&new), parse(&old)]).unwrap();
    let reopened = both.open_team_key(team, &wrapped, &id).unwrap();
    assert_eq!(&**reopened.open(place, &sealed).unwrap(), b"value");
    let (rewrapped, id) = both.rewrap(ambient, team, &wrapped, &id).unwrap().unwrap();
    assert_eq!(id, "new");
    assert!(both.rewrap(ambient, team, &rewrapped, &id).unwrap().is_none());
    let only_new = KeyRing::new(vec![parse(&new)]).unwrap();
    let key = only_new.open_team_key(team, &rewrapped, &id).unwrap();
    assert_eq!(&**key.open(place, &sealed).unwrap(), b"value");
    assert_eq!(only_new.open_team_key(team, &wrapped, "old").unwrap_err(), SecretsError::UnknownKey("old".into()));
    for text in ["", "id", "id:", "ID:00", ":00", "id:zz", &format!("id:{}", "0".repeat(66))] {
        assert!(MasterKey::parse(text).is_err(), "{text}");
    }
}

#[tokio::test]
async fn every_teams_key_moves_to_a_new_master_key() {
    let world = World::new().await;
    let ann = world.person("ann").await;
    let home = Home::of(&ann).await;
    ann.put(&at(&home.script, "KEY"), json!({ "value": SECRET, "secret": true })).await.expect(200);
    let state = &world.state;
    let second = MasterKey::parse(&MasterKey::generate(&state.ambient, "k2")).unwrap();
    let ring = KeyRing::new(vec![second, MasterKey::parse(&world.master).unwrap()]).unwrap();
    let mut told = Vec::new();
    let rewrapped = team_keys::rewrap(&state.db, &ring, &state.ambient, |done| told.push(done)).await.unwrap();
    assert_eq!((rewrapped, told), (RewrapReport { done: 1, ..RewrapReport::default() }, vec![1]));
    let again = team_keys::rewrap(&state.db, &ring, &state.ambient, |_| panic!("nothing to do")).await.unwrap();
    assert_eq!(again, RewrapReport::default());
    assert_eq!(team_keys::key_uses(&state.db).await.unwrap(), [("k2".to_owned(), 1)]);
    // What was sealed before opens with the team's key, sealed anew.
    let mut tx = state.db.system_read().await.unwrap();
    let (team, sealed, key_id): (TeamId, Vec<u8>, String) =
        sql!(&mut tx, fetch_one, sqlx::query_as("SELECT id, data_key, key_id FROM teams")).unwrap();
    let key = ring.open_team_key(team, &sealed, &key_id).unwrap();
    let secret: Vec<u8> = sql!(&mut tx, fetch_one, sqlx::query_scalar("SELECT sealed FROM configurations")).unwrap();
    let place = SealContext::Configuration { script: home.script.parse().unwrap(), key: "KEY", revision: 1 };
    assert_eq!(&**key.open(place, &secret).unwrap(), SECRET.as_bytes());
    drop(tx);
    let audit = ann.get(&format!("/v1/teams/{}/audit?action=team.rewrap", home.team)).await.expect(200);
    assert_eq!(
        (&audit.items()[0]["before"], &audit.items()[0]["after"]),
        (&json!({ "key_id": "k1" }), &json!({ "key_id": "k2" }))
    );
    assert_eq!(audit.items()[0]["user_id"], json!(null));
}

#[tokio::test]
async fn teams_under_a_key_that_is_gone_stand_in_nobodys_way() {
    let world = World::new().await;
    let ann = world.person("ann").await;
    let mut teams_made = Vec::new();
    for number in 0..3 {
        teams_made.push(ann.team(&format!("Team {number}")).await);
    }
    let state = &world.state;
    let mut tx = state.db.system_write().await.unwrap();
    let team: TeamId = teams_made[1].parse().unwrap();
    sql!(&mut tx, execute, sqlx::query("UPDATE teams SET key_id = 'gone' WHERE id = $1").bind(team)).unwrap();
    tx.commit().await.unwrap();
    let new = MasterKey::parse(&MasterKey::generate(&state.ambient, "k2")).unwrap();
    let ring = KeyRing::new(vec![new, MasterKey::parse(&world.master).unwrap()]).unwrap();
    let rewrapped = team_keys::rewrap(&state.db, &ring, &state.ambient, |_| {}).await.unwrap();
    assert_eq!((rewrapped.done, rewrapped.unknown), (2, [("gone".to_owned(), 1)].into()));
    assert_eq!(team_keys::key_uses(&state.db).await.unwrap(), [("gone".to_owned(), 1), ("k2".to_owned(), 2)]);
}

/// A replica that still has the old ring continues with what it has sealed, and one that has both keys, in whatever
/// order, with everything.
#[tokio::test]
async fn every_order_of_the_ring_reads_what_any_sealed() {
    let world = World::new().await;
    let ann = world.person("ann").await;
    let home = Home::of(&ann).await;
    let state = &world.state;
    let (new, old) = (MasterKey::generate(&state.ambient, "k2"), world.master.clone());
    let ring = |keys: &[&str]| KeyRing::new(keys.iter().map(|key| MasterKey::parse(key).unwrap()).collect()).unwrap();
    // First the new key is known everywhere, but seals nothing; then it is put first, and rotated to.
    let (both, rotating) = (ring(&[&old, &new]), ring(&[&new, &old]));
    team_keys::rewrap(&state.db, &rotating, &state.ambient, |_| {}).await.unwrap();
    let mut tx = state.db.team_write(home.team.parse().unwrap()).await.unwrap();
    team_keys::load_for_team(&mut tx, &both).await.unwrap();
    team_keys::load_for_team(&mut tx, &rotating).await.unwrap();
    team_keys::load_for_team(&mut tx, &ring(&[&new])).await.unwrap();
    assert!(team_keys::load_for_team(&mut tx, &ring(&[&old])).await.is_err(), "whoever was not told of the new key");
}
