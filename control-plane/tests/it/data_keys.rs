//! The teams' data keys are replaced while the service continues, wherever it is broken off.

use std::sync::Arc;

use reqwest::{Method, StatusCode};
use restroy_control_plane::{
    secrets::SealContext,
    sql,
    store::team_keys::{self, ReplaceReport, replace},
};
use restroy_sdk::ids::{RunId, TeamId};
use serde_json::{Value, json};

use crate::runs_support::*;

const LEVELS: [&str; 3] = ["OF_SCRIPT", "OF_BOARD", "OF_TEAM"];

/// A run in somebody's hands, and secrets at every place that it reads.
struct Kept {
    it: Arc<Installation>,
    scene: Scene,
    /// Where the configurations of script, board and team are.
    places: [String; 3],
}

impl Kept {
    async fn new() -> Self {
        let it = Installation::start().await;
        let document = steps(json!({ "a": { "script": "a.lua", "secrets": LEVELS, "allow": { "kv": true } } }));
        let scene = it.claimed(Some(document)).await;
        let scripts = scene.ann.get(&format!("/v1/pipelines/{}/scripts", scene.place.pipeline)).await;
        let places = [
            format!("/v1/scripts/{}/configuration", text(&scripts["items"][0]["id"])),
            format!("/v1/boards/{}/configuration", scene.place.board),
            format!("/v1/teams/{}/configuration", scene.place.team),
        ];
        let kept = Self { it, scene, places };
        kept.set("first").await;
        kept
    }

    /// Sets every secret.
    async fn set(&self, value: &str) {
        for (place, key) in self.places.iter().zip(LEVELS) {
            let secret = json!({ "value": format!("{value} {key}"), "secret": true });
            self.scene.ann.expect(StatusCode::OK, Method::PUT, &format!("{place}/{key}"), Some(secret)).await;
        }
    }

    /// What a run gets that is handed out now.
    async fn handed_out(&self) -> Value {
        let run = self.scene.ann.run(&self.scene.place, json!({})).await;
        let held = self.scene.executor.claim(&self.it.admitted().await).await.unwrap();
        held.reported(1, json!([started("a"), finished("a"), run_finished("succeeded")])).await;
        assert_eq!(self.scene.ann.status(&run).await, "succeeded");
        held.plan["steps"]["a"]["secrets"].clone()
    }

    async fn replace(&self, progress: impl FnMut(&ReplaceReport)) -> ReplaceReport {
        let state = &self.it.state;
        replace(&state.db, &state.keys, &state.ambient, progress).await.unwrap()
    }

    /// How many values that are still read are sealed with another than the team's newest key.
    async fn left(&self) -> i64 {
        self.it
            .count(
                "SELECT (SELECT count(*) FROM configurations c JOIN teams t ON t.id = c.team_id
                         WHERE c.sealed IS NOT NULL AND c.data_key_no <> t.data_key_no)
                      + (SELECT count(*) FROM host_calls h JOIN teams t ON t.id = h.team_id
                         JOIN runs r ON r.id = h.run_id AND r.status = 'running'
                         WHERE h.data_key_no <> t.data_key_no)
                      + (SELECT count(*) FROM teams WHERE old_data_key IS NOT NULL OR old_key_id IS NOT NULL)",
            )
            .await
    }
}

fn all(value: &str) -> Value {
    LEVELS
        .iter()
        .map(|key| ((*key).to_owned(), json!(format!("{value} {key}"))))
        .collect::<serde_json::Map<_, _>>()
        .into()
}

fn incr() -> Value {
    json!({ "method": "kv_incr", "key": "n", "by": 1 })
}

#[tokio::test]
async fn what_the_old_key_sealed_is_sealed_anew_and_the_old_key_goes() {
    let kept = Kept::new().await;
    let (state, held) = (&kept.it.state, &kept.scene.held);
    assert_eq!(held.called("one", incr()).await["value"], 1);
    let team: TeamId = kept.scene.place.team.parse().unwrap();
    let mut tx = state.db.system_read().await.unwrap();
    let (sealed, key_id): (Vec<u8>, String) =
        sql!(&mut tx, fetch_one, sqlx::query_as("SELECT data_key, key_id FROM teams")).unwrap();
    let old = state.keys.open_team_key(team, &sealed, &key_id).unwrap();
    let run: RunId = kept.scene.run.parse().unwrap();
    let context = SealContext::HostCall { run, key: "one" };
    let answer = "SELECT answer FROM host_calls WHERE key = 'one'";
    let before: Vec<u8> = sql!(&mut tx, fetch_one, sqlx::query_scalar(answer)).unwrap();
    old.open(context, &before).unwrap();
    drop(tx);

    let replaced = kept.replace(|_| {}).await;
    assert_eq!(replaced, ReplaceReport { teams: 1, secrets: 3, answers: 1, ..ReplaceReport::default() });
    assert_eq!(kept.left().await, 0);
    let mut tx = state.db.system_read().await.unwrap();
    let after: Vec<u8> = sql!(&mut tx, fetch_one, sqlx::query_scalar(answer)).unwrap();
    old.open(context, &after).unwrap_err();
    drop(tx);
    assert_eq!(held.called("one", incr()).await["value"], 1, "a repeat gets the answer that was stored");
    assert_eq!(held.called("two", incr()).await["value"], 2);
    assert_eq!(kept.handed_out().await, all("first"));
    kept.set("second").await;
    assert_eq!(kept.handed_out().await, all("second"));

    // Whoever fears for the new ones does it again.
    let replaced = kept.replace(|_| {}).await;
    assert_eq!(replaced, ReplaceReport { teams: 1, secrets: 3, answers: 2, ..ReplaceReport::default() });
    assert_eq!(kept.handed_out().await, all("second"));
    let audit = kept.scene.ann.get(&format!("/v1/teams/{team}/audit?action=team.data_key")).await;
    let told: Vec<_> = audit["items"]
        .as_array()
        .unwrap()
        .iter()
        .map(|entry| json!([entry["action"], entry["before"], entry["after"], entry["user_id"]]))
        .collect();
    let (removed, begun) = ("team.data_key_removed", "team.data_key");
    let no = |number: i64| json!({ "data_key_no": number });
    let expected = [
        json!([removed, null, null, null]),
        json!([begun, no(2), no(3), null]),
        json!([removed, null, null, null]),
        json!([begun, no(1), no(2), null]),
    ];
    assert_eq!(told, expected);
}

#[tokio::test]
async fn wherever_it_is_interrupted_everything_opens_and_another_call_resumes() {
    let kept = Kept::new().await;
    // More than one transaction seals anew.
    for number in 0..15 {
        kept.scene.held.called(&format!("call {number}"), incr()).await;
    }
    kept.scene.ann.place(None).await; // another team
    let (mut broken_off, mut rotations) = (0, 0);
    for steps in 1.. {
        let under_way = kept.it.count("SELECT count(*) FROM teams WHERE old_key_id IS NOT NULL").await > 0;
        rotations += i64::from(!under_way);
        let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
        let (mut stop, mut left) = (Some(stop), steps);
        let progress = |_: &ReplaceReport| {
            left -= 1;
            if left == 0 {
                drop(stop.take());
            }
        };
        // What is dropped in the middle of a transaction is what a killed process leaves.
        let done = tokio::select! {
            biased;
            _ = stopped => None,
            done = kept.replace(progress) => Some(done),
        };
        for number in [0, 7, 14] {
            let stored = kept.scene.held.called(&format!("call {number}"), incr()).await;
            assert_eq!(stored["value"], number + 1, "a repeat gets the answer that was stored, after {steps} steps");
        }
        let value = format!("while {steps}");
        kept.set(&value).await;
        assert_eq!(kept.handed_out().await, all(&value));
        let Some(done) = done else {
            broken_off += 1;
            continue;
        };
        assert_eq!(done.goes_on, under_way);
        break;
    }
    assert!(broken_off > 1, "{broken_off} times");
    assert_eq!(kept.left().await, 0);
    let newest = kept.it.count("SELECT max(data_key_no) FROM teams").await;
    assert_eq!(newest, 1 + rotations, "who goes on gives nobody a second one");
}

#[tokio::test]
async fn nobody_who_works_meanwhile_notices() {
    let kept = Arc::new(Kept::new().await);
    let (writes, calls) = (Arc::clone(&kept), Arc::clone(&kept));
    let writes = tokio::spawn(async move {
        for number in 0..20 {
            writes.set(&format!("value {number}")).await;
        }
    });
    let calls = tokio::spawn(async move {
        for number in 0..40 {
            for _ in 0..2 {
                let key = format!("call {number}");
                assert_eq!(calls.scene.held.called(&key, incr()).await["value"], number + 1);
            }
        }
    });
    let mut replaced = 0;
    while replaced < 5 || !writes.is_finished() || !calls.is_finished() {
        kept.replace(|_| {}).await;
        replaced += 1;
    }
    writes.await.unwrap();
    calls.await.unwrap();
    assert_eq!(kept.left().await, 0);
    assert_eq!(kept.handed_out().await, all("value 19"));
}

#[tokio::test]
async fn what_does_not_open_stands_in_nobodys_way() {
    let kept = Kept::new().await;
    // Moved from elsewhere: it does not open where it is.
    let moved = "UPDATE configurations SET sealed = (SELECT o.sealed FROM configurations o WHERE o.key = 'OF_TEAM')
                 WHERE key = 'OF_BOARD'";
    kept.it.sql(moved).await;
    let replaced = kept.replace(|_| {}).await;
    assert_eq!((replaced.secrets, replaced.broken, replaced.teams), (2, 1, 1));
    assert_eq!(kept.left().await, 0);
    // A team whose key nobody can open stays as it is, and the others do not wait for it.
    kept.scene.ann.place(None).await;
    kept.scene.ann.place(None).await;
    kept.it.sql("UPDATE teams SET key_id = 'gone' WHERE data_key_no > 1").await;
    let anothers = "UPDATE teams SET data_key = (SELECT o.data_key FROM teams o WHERE o.data_key_no > 1)
                    WHERE id = (SELECT n.id FROM teams n ORDER BY n.id DESC LIMIT 1)";
    kept.it.sql(anothers).await;
    let replaced = kept.replace(|_| {}).await;
    assert_eq!((replaced.teams, replaced.unreadable, replaced.unknown), (1, 1, [("gone".to_owned(), 1)].into()));
    assert_eq!(team_keys::key_uses(&kept.it.state.db).await.unwrap().len(), 2);
}
