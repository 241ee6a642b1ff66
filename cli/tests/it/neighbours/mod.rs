//! Two teams on one installation: while an attacker does its worst, the victim notices nothing.
//!
//! A test makes [`Neighbours`] and has them go through an attack with [`Neighbours::during`], or through several, one
//! after the other. Meanwhile the victim lives its life: its runs succeed, none of them loses a lease, its requests are
//! answered. At the end every process must be the one that was started, and must have stayed within its memory budget.
//! How much slower the victim gets is measured by `bench neighbours`, not asserted here.

mod answers;
mod disk;
mod door;
mod json;
mod masking;
mod memory;
mod processor;
mod schemas;
mod waiting;

use std::{cell::Cell, fs};

use restroy_client::Paging;
use restroy_sdk::{event::EventKind, ids::PipelineId, status::RunStatus};
use serde_json::json;

use crate::{server::Server, world::Tenant};

const MIB: u64 = 1024 * 1024;

/// The most memory that a process may have had in use at once (its peak resident set), in bytes; `docs/operations.md`
/// states the budgets.
fn budget(process: &str) -> u64 {
    match process {
        "control-plane" => 768 * MIB,
        "executor" => 1024 * MIB,
        // Both of them in one.
        "dev" => 1536 * MIB,
        // One sandbox worker.
        _ => 256 * MIB,
    }
}

/// An installation with an attacker and a victim.
pub struct Neighbours {
    pub server: Server,
    pub attacker: Tenant,
    victim: Tenant,
    /// Two steps, one of which holds its lease for a while.
    errand: PipelineId,
}

impl Neighbours {
    /// Starts an installation.
    pub async fn new(arguments: &[&str]) -> Self {
        let server = Server::start(arguments);
        let victim = Tenant::new(&server, "victim").await;
        let attacker = Tenant::new(&server, "attacker").await;
        let definition = json!({"restroy": 1, "steps": {
            "wait": {"script": "scripts/wait.lua", "allow": {"kv": true}},
            "count": {"script": "scripts/count.lua", "needs": ["wait"], "allow": {"kv": true, "files": true}},
        }});
        let files = [
            ("scripts/wait.lua", "print('waiting') sleep(0.3) return kv.incr('errands')"),
            (
                "scripts/count.lua",
                "files.write('note.txt', 'kept') return {count = inputs.wait, note = files.read('note.txt')}",
            ),
        ];
        let errand = victim.push("errand", definition, &files).await;
        let neighbours = Self { server, attacker, victim, errand };
        neighbours.errand().await;
        neighbours
    }

    /// Goes through an attack, during which the victim's life continues: at least one errand begins after the attack
    /// does and one after its end.
    pub async fn during<T>(&mut self, attack: impl AsyncFnOnce(&Tenant) -> T) -> T {
        let over = Cell::new(false);
        let attacking = async {
            let done = attack(&self.attacker).await;
            over.set(true);
            done
        };
        let living = async {
            while !over.get() {
                self.errand().await;
            }
        };
        let (done, ()) = futures_util::future::join(attacking, living).await;
        self.errand().await;
        self.is_unharmed();
        done
    }

    /// The victim does what people do, and all of it succeeds.
    async fn errand(&self) {
        let victim = &self.victim;
        let run = victim.start(self.errand, json!({})).await;
        let boards =
            victim.client.boards(victim.team, &Paging::longest()).await.expect("the victim's request is answered");
        assert!(!boards.items.is_empty());
        let finished = victim.finish(run).await;
        assert_eq!(finished.run.status, RunStatus::Succeeded, "the victim's run: {:#?}", finished.run.error);
        let lost = finished.events.iter().find(|event| matches!(event.kind, EventKind::StepLost { .. }));
        assert!(lost.is_none(), "the victim's run lost its lease: {lost:?}");
        assert_eq!(finished.output("count")["note"], json!("kept"));
    }

    /// Every process still runs and stayed within its budget.
    fn is_unharmed(&mut self) {
        assert!(self.server.is_alive(), "a process ended");
        for (name, id) in self.server.processes() {
            stayed_within(name, id);
            for worker in children(id) {
                stayed_within("sandbox-worker", worker);
            }
        }
    }
}

fn stayed_within(name: &str, id: u32) {
    // A worker may be gone by the time that it is looked at.
    let Some(peak) = peak_memory(id) else { return };
    let budget = budget(name);
    assert!(peak <= budget, "{name} had {} MiB in use, its budget is {} MiB", peak / MIB, budget / MIB);
}

/// The largest resident set that a process had, bytes.
fn peak_memory(id: u32) -> Option<u64> {
    let status = fs::read_to_string(format!("/proc/{id}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    let kibibytes: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kibibytes * 1024)
}

/// All processes that descend from one.
fn children(of: u32) -> Vec<u32> {
    let mut found = Vec::new();
    let mut open = vec![of];
    while let Some(parent) = open.pop() {
        // Each thread has those that it started.
        let threads = fs::read_dir(format!("/proc/{parent}/task")).into_iter().flatten().flatten();
        let listed = threads.map(|thread| fs::read_to_string(thread.path().join("children")).unwrap_or_default());
        let listed = listed.collect::<Vec<_>>().join(" ");
        let children: Vec<u32> = listed.split_whitespace().filter_map(|id| id.parse().ok()).collect();
        open.extend(&children);
        found.extend(children);
    }
    found
}

impl Tenant {
    /// Runs scripts, all at once as far as the team's limits go, each to whatever end it comes to.
    pub async fn run_all(&self, name: &str, source: &str, allow: serde_json::Value, times: usize) {
        let pipeline = self.push_script(name, source, allow).await;
        let runs = (0..times).map(|_| async { self.run(pipeline, json!({})).await });
        futures_util::future::join_all(runs).await;
    }

    /// Runs a step for each of so many items, to whatever end it comes to; gives the run's status.
    pub async fn fan_out(&self, name: &str, source: &str, items: usize) -> RunStatus {
        let definition = json!({"restroy": 1, "steps": {"each": {
            "script": "scripts/each.lua",
            "for_each": format!("(function() local t = json.array {{}} for i = 1, {items} do t[i] = i end return t end)()"),
        }}});
        let pipeline = self.push(name, definition, &[("scripts/each.lua", source)]).await;
        self.run(pipeline, json!({})).await.run.status
    }
}
