//! Attacks on slots: what waits, what is cancelled, what queues, and one owner's many teams.

use futures_util::future::join_all;
use restroy_client::Paging;
use restroy_sdk::{
    api::{board::NewBoard, run::NewRun, team::NewTeam},
    event::EventKind,
    ids::{PipelineId, RunId},
};
use serde_json::{Value, json};

use super::Neighbours;
use crate::world::Tenant;

/// More than an installation has slots.
const MANY: usize = 24;

impl Tenant {
    /// Publishes a pipeline of one script, with more of its document.
    async fn push_with(&self, name: &str, source: &str, step: Value, document: Value) -> PipelineId {
        let mut definition = json!({"restroy": 1, "steps": {"only": {"script": "only.lua"}}});
        let merge = |into: &mut Value, from: Value| {
            into.as_object_mut().unwrap().extend(from.as_object().unwrap().clone());
        };
        merge(&mut definition["steps"]["only"], step);
        merge(&mut definition, document);
        self.push(name, definition, &[("only.lua", source)]).await
    }

    /// Starts a run, if it is let.
    async fn try_start(&self, pipeline: PipelineId) -> Option<RunId> {
        self.client.start_run(pipeline, &NewRun::default()).await.ok().map(|run| run.id)
    }

    /// Follows a run until it waits.
    async fn until_it_waits(&self, run: RunId) {
        let events = self.follow(run, |event| matches!(event, EventKind::StepWaiting { .. })).await;
        assert!(!matches!(events.last().unwrap().kind, EventKind::RunFinished { .. }));
    }

    /// Cancels what is left of some runs.
    async fn cancel_all(&self, runs: &[RunId]) {
        join_all(runs.iter().map(async |run| self.client.cancel(*run).await)).await;
    }
}

#[tokio::test]
async fn slots_are_not_held_by_what_waits_or_is_cancelled() {
    let mut neighbours = Neighbours::new(&[]).await;
    // Retries that wait for an hour, more of them than there are slots.
    neighbours
        .during(async |attacker| {
            let retry = json!({"retry": {"max_attempts": 10, "backoff": "constant", "initial": "1h", "max": "1h"}});
            let pipeline = attacker.push_with("waits", "error('not yet')", retry, json!({})).await;
            let mut runs = Vec::new();
            for _ in 0..MANY {
                runs.extend(attacker.try_start(pipeline).await);
            }
            // The last of them is at its pause too: none held a slot that another needed.
            for run in &runs {
                attacker.until_it_waits(*run).await;
            }
            attacker.cancel_all(&runs).await;
        })
        .await;
    // A `for_each` whose items all wait.
    neighbours
        .during(async |attacker| {
            let step = json!({"for_each": "(function() local t = {} for i = 1, 200 do t[i] = i end return t end)()",
                "max_parallel": 50, "retry": {"max_attempts": 2, "backoff": "constant", "initial": "1h", "max": "1h"}});
            let pipeline = attacker.push_with("items-wait", "error('not yet')", step, json!({})).await;
            let run = attacker.start(pipeline, json!({})).await;
            attacker.until_it_waits(run).await;
            attacker.cancel_all(&[run]).await;
        })
        .await;
    // Starts and cancels of scripts that would sleep, or spin, for long.
    let sources = ["sleep(25)", "while true do end", "while true do pcall(error, 'x') end"];
    for (n, source) in sources.into_iter().enumerate() {
        neighbours
            .during(async |attacker| {
                let pipeline = attacker.push_with(&format!("cancelled-{n}"), source, json!({}), json!({})).await;
                for _ in 0..5 {
                    let runs = join_all((0..4).map(|_| attacker.try_start(pipeline))).await;
                    let runs: Vec<RunId> = runs.into_iter().flatten().collect();
                    attacker.cancel_all(&runs).await;
                }
            })
            .await;
    }
    // Runs that take each other's place.
    neighbours
        .during(async |attacker| {
            let one = json!({"concurrency": {"limit": 1, "on_conflict": "cancel_running"}});
            let pipeline = attacker.push_with("replaced", "sleep(25)", json!({}), one).await;
            let mut last = None;
            for _ in 0..30 {
                last = attacker.try_start(pipeline).await.or(last);
            }
            attacker.cancel_all(last.as_slice()).await;
        })
        .await;
}

#[tokio::test]
async fn a_flood_of_runs_and_of_teams_leaves_the_victim_its_turn() {
    let mut neighbours = Neighbours::new(&[]).await;
    // Many runs of one team.
    neighbours
        .during(async |attacker| {
            let pipeline = attacker.push_with("flood", "sleep(0.05)", json!({}), json!({})).await;
            let runs = join_all((0..100).map(|_| attacker.try_start(pipeline))).await;
            let runs: Vec<RunId> = runs.into_iter().flatten().collect();
            attacker.cancel_all(&runs).await;
        })
        .await;
    // Many teams of one person, each with as much as a team may have.
    neighbours
        .during(async |attacker| {
            let mut runs = Vec::new();
            for n in 0..12 {
                let Ok(team) = attacker.client.create_team(&NewTeam { name: format!("Team {n}") }).await else { break };
                let board = NewBoard { name: "Board".into(), ..NewBoard::default() };
                let board = attacker.client.create_board(team.id, &board).await.unwrap().id;
                let tenant = Tenant { client: attacker.client.clone(), team: team.id, board };
                let pipeline = tenant.push_with("holds", "sleep(1)", json!({}), json!({})).await;
                for _ in 0..5 {
                    runs.extend(tenant.try_start(pipeline).await);
                }
            }
            attacker.cancel_all(&runs).await;
        })
        .await;
    let teams = neighbours.attacker.client.teams(&Paging::longest()).await.unwrap().items;
    assert!(teams.len() > 10);
}
