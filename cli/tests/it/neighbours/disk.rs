//! Disk: what fills the database of everybody, or the scratch space of an executor.

use restroy_client::Paging;
use restroy_sdk::{
    api::{board::PutKv, run::NewRun, script::PutConfiguration},
    event::EventKind,
    problem::ProblemCode,
    status::RunStatus,
};
use serde_json::{Value, json};

use super::Neighbours;
use crate::world::{Tenant, problem};

/// Scripts that leave as much as they can, and what they may use.
const LITTERING: &[(&str, &str)] = &[
    ("large events", "for i = 1, 30 do print(('x'):rep(8000)) end error(('y'):rep(60000))"),
    ("large outputs", "return ('x'):rep(250000)"),
    ("full store", "for i = 1, 300 do kv.set('k' .. i, ('v'):rep(60000)) end"),
    ("tiny keys", "for i = 1, 1500 do kv.set('tiny' .. i, 1) end"),
    ("artifacts", "files.write('f', ('x'):rep(1000000)) for i = 1, 101 do files.artifact('f', {name = 'f' .. i}) end"),
    ("e-mails", "for i = 1, 60 do email.send {to = 'a@example.com', subject = 's', text = ('x'):rep(100000)} end"),
    ("many files", "for i = 1, 2000 do files.write('f' .. i, '') end"),
    ("endless file", "while true do files.append('f', ('x'):rep(1000000)) end"),
];

#[tokio::test]
async fn what_scripts_leave_is_their_own_teams_trouble() {
    let mut neighbours = Neighbours::new(&[]).await;
    for (name, source) in LITTERING {
        let allow = json!({"kv": true, "files": true, "email": true});
        neighbours.during(async |attacker| attacker.run_all(name, source, allow, 2).await).await;
    }
    // Each of them once for every item.
    let source = "print(('x'):rep(8000)) return ('x'):rep(200000)";
    neighbours.during(async |attacker| attacker.fan_out("items", source, 60).await).await;
    let attacker = &neighbours.attacker;
    let usage = attacker.client.usage(attacker.team, None, None, &Paging::longest()).await.unwrap();
    assert!(usage.storage.bytes > 20_000_000, "it is counted: {:?}", usage.storage);
}

/// Scratch folders go with their runs: a team that fills one after the other, and cancels, fills no executor.
#[tokio::test]
async fn cancelled_runs_leave_no_scratch_behind() {
    let mut neighbours = Neighbours::new(&[]).await;
    neighbours.during(async |attacker| {
        let source = "local mib = ('x'):rep(1000000) for i = 1, 45 do files.write('f' .. i, mib) end print('full') sleep(20)";
        let pipeline = attacker.push_script("scratch", source, json!({"files": true})).await;
        for _ in 0..12 {
            let run = attacker.start(pipeline, json!({})).await;
            let full = |kind: &EventKind| matches!(kind, EventKind::StepOutput { .. } | EventKind::RunFinished { .. });
            let events = attacker.follow(run, full).await;
            let refused = events.iter().any(|event| matches!(event.kind, EventKind::RunFinished { .. }));
            assert!(!refused, "its own next run finds the space free again: {events:?}");
            attacker.client.cancel(run).await.unwrap();
            attacker.finish(run).await;
        }
    })
    .await;
}

/// Starts that are skipped, refused or repeated leave little.
#[tokio::test]
async fn starts_that_come_to_nothing_leave_nothing_large() {
    let mut neighbours = Neighbours::new(&[]).await;
    let large = json!({"p": "x".repeat(500_000)});
    let stored = async |attacker: &Tenant| {
        attacker.client.usage(attacker.team, None, None, &Paging::longest()).await.unwrap().storage.bytes
    };
    neighbours
        .during(async |attacker| {
            let definition = json!({
                "restroy": 1,
                "concurrency": {"limit": 1, "on_conflict": "skip"},
                "steps": {"only": {"script": "scripts/only.lua"}},
            });
            let pipeline = attacker.push("skipping", definition, &[("scripts/only.lua", "sleep(25)")]).await;
            let running = attacker.start(pipeline, json!({})).await;
            let before = stored(attacker).await;
            for _ in 0..30 {
                let run = attacker.start(pipeline, large.clone()).await;
                assert_eq!(attacker.client.run(run).await.unwrap().status, RunStatus::Cancelled);
            }
            assert!(stored(attacker).await < before + 1_000_000, "skipped runs keep no parameters");
            attacker.client.cancel(running).await.unwrap();
        })
        .await;
    neighbours
        .during(async |attacker| {
            let definition = json!({
                "restroy": 1,
                "params": {"type": "object", "properties": {"p": {"type": "integer"}}},
                "steps": {"only": {"script": "scripts/only.lua"}},
            });
            let pipeline = attacker.push("refusing", definition, &[("scripts/only.lua", "return 1")]).await;
            let before = stored(attacker).await;
            for _ in 0..30 {
                let params = large.as_object().unwrap().clone();
                let refused = problem(attacker.client.start_run(pipeline, &NewRun { params }).await.unwrap_err());
                assert_eq!(refused.code, ProblemCode::InvalidParams);
            }
            assert_eq!(stored(attacker).await, before, "refused runs leave nothing");
        })
        .await;
}

/// What people write, again and again.
#[tokio::test]
async fn people_who_write_in_loops_fill_their_own_quota() {
    let mut neighbours = Neighbours::new(&[]).await;
    neighbours
        .during(async |attacker| {
            for n in 0..150 {
                let value = format!("{n:08}").repeat(1_000);
                let put = PutConfiguration { value, secret: false, usable_only: false };
                attacker.client.put_configuration(attacker.board, "KEY", &put).await.unwrap();
            }
        })
        .await;
    neighbours
        .during(async |attacker| {
            for n in 0..60 {
                let put = PutKv { value: Value::from("v".repeat(60_000)), ttl_ms: None };
                attacker.client.put_kv(attacker.board, &format!("k{n}"), &put).await.unwrap();
            }
        })
        .await;
    let attacker = &neighbours.attacker;
    let storage = attacker.client.usage(attacker.team, None, None, &Paging::longest()).await.unwrap().storage;
    assert!(storage.configuration_bytes > 1_000_000 && storage.kv_bytes > 3_000_000, "{storage:?}");
}
