//! Whose secrets a run is handed: whatever was set, published, restored and moved before, those of its own
//! script, of the board it lies on and of its team that its published version declares, and no others.

use std::{collections::BTreeMap, sync::Arc};

use proptest::{collection::vec, prelude::*, test_runner::TestRunner};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::runs_support::*;

const KEYS: [&str; 3] = ["ONE", "TWO", "THREE"];

/// What somebody does in a team, the first or the second.
#[derive(Debug, Clone)]
enum Act {
    /// Sets a secret, or takes it away: of the team (0), a board (1, 2) or a pipeline's script (3, 4).
    Set { place: usize, key: usize, away: bool },
    /// Moves a pipeline to a board of the team.
    Move { pipeline: usize, board: usize },
    /// Tries to move it to a board of the other team.
    Flee { pipeline: usize, board: usize },
    /// Publishes a version that declares the keys of the bits, or leaves it unpublished.
    Define { pipeline: usize, keys: usize, publish: bool },
    /// Publishes the first version again.
    Restore { pipeline: usize },
}

fn acts() -> impl Strategy<Value = Vec<(usize, Act)>> {
    let act = prop_oneof![
        5 => (0..5_usize, 0..3_usize, prop::bool::weighted(0.2))
            .prop_map(|(place, key, away)| Act::Set { place, key, away }),
        3 => (0..2_usize, 0..2_usize).prop_map(|(pipeline, board)| Act::Move { pipeline, board }),
        1 => (0..2_usize, 0..2_usize).prop_map(|(pipeline, board)| Act::Flee { pipeline, board }),
        3 => (0..2_usize, 0..8_usize, any::<bool>())
            .prop_map(|(pipeline, keys, publish)| Act::Define { pipeline, keys, publish }),
        1 => (0..2_usize).prop_map(|pipeline| Act::Restore { pipeline }),
    ];
    vec((0..2_usize, act), 4..28)
}

/// A team with two boards, the second private, and two pipelines, and what its model says of them.
struct Team {
    owner: Person,
    id: String,
    boards: [String; 2],
    pipelines: [String; 2],
    scripts: [String; 2],
    /// On which board each pipeline lies.
    lies_on: [usize; 2],
    /// What each declares, published and in its first version.
    declares: [usize; 2],
    first: [usize; 2],
    /// By place and key.
    secrets: BTreeMap<(usize, usize), String>,
}

fn document(keys: usize) -> Value {
    let declared: Vec<_> = (0..3).filter(|key| keys >> key & 1 == 1).map(|key| KEYS[key]).collect();
    let mut document = steps(json!({ "a": { "script": "a.lua", "secrets": declared } }));
    document["library"] = json!({ "shared": 1 });
    document
}

fn definition(keys: usize, publish: bool) -> Value {
    // A module of the team's library is no way around what the step declares.
    let files = json!({ "a.lua": "return require 'lib.shared'" });
    json!({ "definition": document(keys), "files": files, "publish": publish })
}

impl Team {
    async fn new(owner: Person) -> Self {
        let created = StatusCode::CREATED;
        let team = owner.expect(created, Method::POST, "/v1/teams", Some(json!({ "name": "Team" }))).await;
        let id = text(&team["id"]);
        let module = json!({ "name": "shared", "source": "return config" });
        owner.expect(created, Method::POST, &format!("/v1/teams/{id}/library"), Some(module)).await;
        let (mut boards, mut pipelines, mut scripts) = (Vec::new(), Vec::new(), Vec::new());
        for name in ["Open", "Private"] {
            let path = format!("/v1/teams/{id}/boards");
            let board = owner.expect(created, Method::POST, &path, Some(json!({ "name": name }))).await;
            let board = text(&board["id"]);
            if name == "Private" {
                let private = Some(json!({ "private": true }));
                owner.expect(StatusCode::OK, Method::PATCH, &format!("/v1/boards/{board}"), private).await;
            }
            let pipeline = owner.pipeline_on(&board, name).await;
            let path = format!("/v1/pipelines/{pipeline}/definition");
            owner.expect(StatusCode::OK, Method::PUT, &path, Some(definition(1, true))).await;
            let found = owner.get(&format!("/v1/pipelines/{pipeline}/scripts")).await;
            scripts.push(text(&found["items"][0]["id"]));
            boards.push(board);
            pipelines.push(pipeline);
        }
        let (boards, pipelines) = (boards.try_into().unwrap(), pipelines.try_into().unwrap());
        let scripts = scripts.try_into().unwrap();
        let secrets = BTreeMap::new();
        Self { owner, id, boards, pipelines, scripts, lies_on: [0, 1], declares: [1, 1], first: [1, 1], secrets }
    }

    async fn act(&mut self, act: &Act, others: &[String; 2], value: String) {
        let ok = StatusCode::OK;
        match *act {
            Act::Set { place, key, away } => {
                let of = match place {
                    0 => format!("teams/{}", self.id),
                    1 | 2 => format!("boards/{}", self.boards[place - 1]),
                    _ => format!("scripts/{}", self.scripts[place - 3]),
                };
                let path = format!("/v1/{of}/configuration/{}", KEYS[key]);
                if !away {
                    let secret = json!({ "value": value, "secret": true });
                    self.owner.expect(ok, Method::PUT, &path, Some(secret)).await;
                    self.secrets.insert((place, key), value);
                } else if self.secrets.remove(&(place, key)).is_some() {
                    self.owner.expect(StatusCode::NO_CONTENT, Method::DELETE, &path, None).await;
                }
            }
            Act::Move { pipeline, board } => {
                let path = format!("/v1/pipelines/{}/move", self.pipelines[pipeline]);
                self.owner.expect(ok, Method::POST, &path, Some(json!({ "board": self.boards[board] }))).await;
                self.lies_on[pipeline] = board;
            }
            Act::Flee { pipeline, board } => {
                let path = format!("/v1/pipelines/{}/move", self.pipelines[pipeline]);
                let there = Some(json!({ "board": others[board] }));
                self.owner.expect(StatusCode::NOT_FOUND, Method::POST, &path, there).await;
            }
            Act::Define { pipeline, keys, publish } => {
                let path = format!("/v1/pipelines/{}/definition", self.pipelines[pipeline]);
                self.owner.expect(ok, Method::PUT, &path, Some(definition(keys, publish))).await;
                if publish {
                    self.declares[pipeline] = keys;
                }
            }
            Act::Restore { pipeline } => {
                let path = format!("/v1/pipelines/{}/versions/1/restore", self.pipelines[pipeline]);
                let publish = Some(json!({ "publish": true }));
                self.owner.expect(StatusCode::CREATED, Method::POST, &path, publish).await;
                self.declares[pipeline] = self.first[pipeline];
            }
        }
    }

    /// What a run of the pipeline is to be handed.
    fn expected(&self, pipeline: usize) -> BTreeMap<String, String> {
        let places = [3 + pipeline, 1 + self.lies_on[pipeline], 0];
        let declared = (0..3).filter(|key| self.declares[pipeline] >> key & 1 == 1);
        declared
            .filter_map(|key| {
                let value = places.iter().find_map(|place| self.secrets.get(&(*place, key)))?;
                Some((KEYS[key].to_owned(), value.clone()))
            })
            .collect()
    }
}

#[test]
fn a_run_gets_the_secrets_of_its_own_places_and_no_others() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let it = runtime.block_on(Installation::start());
    let executor = runtime.block_on(it.executor());
    let number = std::cell::Cell::new(0);
    let mut runner = TestRunner::new(ProptestConfig::with_cases(10));
    runner
        .run(&acts(), |acts| {
            runtime.block_on(async {
                number.set(number.get() + 1);
                let mut teams = Vec::new();
                for name in ["ann", "eve"] {
                    // A person owns so many teams and no more.
                    teams.push(Team::new(it.person(&format!("{name}{}", number.get())).await).await);
                }
                let boards = [teams[1].boards.clone(), teams[0].boards.clone()];
                for (step, (team, act)) in acts.iter().enumerate() {
                    let value = format!("of team {team} after {step} steps");
                    teams[*team].act(act, &boards[*team], value).await;
                }
                for team in &teams {
                    for pipeline in 0..2 {
                        let path = format!("/v1/pipelines/{}/runs", team.pipelines[pipeline]);
                        team.owner.expect(StatusCode::ACCEPTED, Method::POST, &path, Some(json!({}))).await;
                        let held = executor.claim(&it.admitted().await).await.unwrap();
                        let handed = held.plan["steps"]["a"]["secrets"].clone();
                        let handed: BTreeMap<String, String> = serde_json::from_value(handed).unwrap_or_default();
                        assert_eq!(handed, team.expected(pipeline), "{acts:?}");
                        let whole = held.plan.to_string();
                        let foreign = teams.iter().flat_map(|team| team.secrets.values());
                        let told: Vec<_> = foreign
                            .filter(|value| whole.contains(*value) && !handed.values().any(|own| own == *value))
                            .collect();
                        assert!(told.is_empty(), "{told:?} {acts:?}");
                        held.reported(1, json!([started("a"), finished("a"), run_finished("succeeded")])).await;
                    }
                }
            });
            Ok(())
        })
        .unwrap();
    drop(executor);
    runtime.block_on(async { drop::<Arc<Installation>>(it) });
}
