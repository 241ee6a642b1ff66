//! Secrets, errors and results made to cost memory, time or an operator's night.

use restroy_sdk::{api::script::PutConfiguration, event::EventKind, status::RunStatus};
use serde_json::json;

use super::Neighbours;
use crate::world::Tenant;

/// The largest secret, unless the team has another limit.
const SECRET: usize = 8 * 1024;

/// A secret of so many bytes.
type Shape = fn(usize) -> String;

/// Secrets whose lines nest in one another, in several shapes.
const NESTED: &[(&str, Shape)] = &[
    ("runs of one letter", |number| "a".repeat(number)),
    ("runs with an end", |number| format!("{}b", "a".repeat(number))),
    ("runs with a beginning", |number| format!("b{}", "a".repeat(number))),
    ("pairs", |number| "ab".repeat(number)),
    ("escapes", |number| "é\"/".repeat(number)),
    ("hexadecimal", |number| "6161".repeat(number)),
];

/// What a step with such secrets does with them.
const SHOWN: &str = "for i = 1, 30 do print(('a'):rep(8000)) end
    for i = 1, 5 do kv.set('k', ('\\\\%+61YWFh'):rep(5000)) end
    error(('a'):rep(65000))";

/// Sets secrets on the attacker's board and publishes a pipeline that names them all.
async fn with_secrets(attacker: &Tenant, name: &str, secrets: &[String], source: &str) -> restroy_sdk::ids::PipelineId {
    let keys: Vec<String> = (0..secrets.len()).map(|number| format!("S{number}")).collect();
    for (key, value) in keys.iter().zip(secrets) {
        let put = PutConfiguration { value: value.clone(), secret: true, usable_only: false };
        attacker.client.put_configuration(attacker.board, key, &put).await.unwrap();
    }
    let definition = json!({"restroy": 1, "steps": {"only": {
        "script": "scripts/only.lua", "secrets": keys, "allow": {"kv": true},
    }}});
    attacker.push(name, definition, &[("scripts/only.lua", source)]).await
}

#[tokio::test]
async fn no_secrets_take_another_teams_memory_or_time() {
    let mut neighbours = Neighbours::new(&[]).await;
    for (name, line) in NESTED {
        let attack = async |attacker: &Tenant| {
            let secret = |number: usize| {
                let lines = (8..).map(|number| format!("{}\n", line(number)));
                let mut secret = format!("{number}-");
                lines.take_while(|line| line.len() < 600).for_each(|line| {
                    if secret.len() + line.len() < SECRET {
                        secret.push_str(&line);
                    }
                });
                secret
            };
            let secrets: Vec<String> = (0..50).map(secret).collect();
            let pipeline = with_secrets(attacker, name, &secrets, SHOWN).await;
            let runs = (0..3).map(|_| attacker.run(pipeline, json!({})));
            for run in futures_util::future::join_all(runs).await {
                assert_eq!(run.error_code("only"), "script_error", "{name}");
                let lost = run.events.iter().any(|event| matches!(event.kind, EventKind::StepLost { .. }));
                assert!(!lost, "{name}: the masker was built without holding anything up");
            }
        };
        neighbours.during(attack).await;
    }
}

/// Each result is searched to its end in every encoding: the secret stands there as base64, which is undone last.
const LARGE_RESULT: &str = "return ('\\\\%+61YWFh'):rep(20000) .. ' U0VDUkVULTAxMjM0NTY3ODk='";

#[tokio::test]
async fn large_results_leave_others_their_turn() {
    let mut neighbours = Neighbours::new(&[]).await;
    let put = PutConfiguration { value: "SECRET-0123456789".into(), secret: true, usable_only: false };
    let attacker = &neighbours.attacker;
    attacker.client.put_configuration(attacker.board, "S", &put).await.unwrap();
    let definition = json!({"restroy": 1, "steps": {"each": {
        "script": "scripts/each.lua", "secrets": ["S"], "max_parallel": 50,
        "for_each": "(function() local t = json.array {} for i = 1, 60 do t[i] = i end return t end)()",
    }}});
    let pipeline = attacker.push("large results", definition, &[("scripts/each.lua", LARGE_RESULT)]).await;
    let attack = async |attacker: &Tenant| {
        let runs = (0..2).map(|_| attacker.run(pipeline, json!({})));
        for run in futures_util::future::join_all(runs).await {
            let found = run.events.iter().filter(|event| {
                matches!(&event.kind, EventKind::StepFinished { error: Some(error), .. } if error.code == "secret_in_output")
            });
            assert_eq!(found.count(), 60, "each of them was searched");
        }
    };
    neighbours.during(attack).await;
}

#[tokio::test]
async fn a_secret_is_not_shown_by_what_a_long_error_is_cut_to() {
    let mut neighbours = Neighbours::new(&[]).await;
    let key: String = (0..6_000_u32).map(|n| char::from(b'a' + u8::try_from(n * n % 23).unwrap())).collect();
    let secrets = [key.clone()];
    let source = "error(('token ' .. config.S0 .. ' '):rep(20), 0)";
    let run = neighbours
        .during(async |attacker| {
            let pipeline = with_secrets(attacker, "cut", &secrets, source).await;
            attacker.run(pipeline, json!({})).await
        })
        .await;
    let shown = serde_json::to_string(&run.events).unwrap();
    assert!(shown.contains("token ••••••••"), "{shown}");
    assert!((0..key.len() - 8).step_by(4).all(|at| !shown.contains(&key[at..at + 8])), "{shown}");
}

/// What used to end as a fault of the platform, which is tried again and wakes an operator.
const BLAMING: &[(&str, &str, &str)] = &[
    ("a long way to a function", "return {[('k'):rep(3000000)] = print}", "result_not_json"),
    ("many values", "local t = {} for i = 1, 100000 do t[i] = i end return table.unpack(t)", "nothing"),
    ("a size that wraps", "return pcall(string.rep, 'x', (1 << 31) - 1000)", "memory_limit"),
    ("a size that wraps, of two", "return ('xy'):rep(1073741500)", "memory_limit"),
    ("a separator that wraps", "return string.rep('', 2147483500, 'y')", "memory_limit"),
    ("many fields", "local t = {} for i = 1, 110000 do t['k' .. i] = i end return t", "memory_limit"),
    ("many values in little text", "return json.decode('[' .. ('0,'):rep(120000) .. '0]')", "output_limit"),
    ("many objects", "local t = json.array {} for i = 1, 60000 do t[i] = {[''] = 0} end return t", "output_limit"),
];

#[tokio::test]
async fn no_script_can_blame_the_platform() {
    let mut neighbours = Neighbours::new(&[]).await;
    for (name, source, code) in BLAMING {
        let attack = async |attacker: &Tenant| {
            let pipeline = attacker.push_script(name, source, json!({})).await;
            let run = attacker.run(pipeline, json!({})).await;
            if *code == "nothing" {
                assert_eq!(run.run.status, RunStatus::Succeeded, "{name}");
            } else {
                let found = run.error_code("only");
                assert!(found == *code || found.ends_with("_limit"), "{name}: {found}");
            }
        };
        neighbours.during(attack).await;
    }
}

#[tokio::test]
async fn a_takeover_of_a_run_with_large_outputs_takes_nobodys_memory() {
    let mut neighbours = Neighbours::new(&[]).await;
    let items = 120;
    let definition = json!({"restroy": 1, "steps": {"each": {
        "script": "scripts/each.lua",
        "max_parallel": 4,
        "for_each": format!("(function() local t = json.array {{}} for i = 1, {items} do t[i] = i end return t end)()"),
    }}});
    let source = "if item == 1 then sleep(3) end local t = json.array {} for i = 1, 90000 do t[i] = 1 end return t";
    let files = [("scripts/each.lua", source)];
    let attacker = &neighbours.attacker;
    let pipeline = attacker.push("takeover", definition, &files).await;
    let run = attacker.start(pipeline, json!({})).await;
    let mut ended = 0;
    attacker
        .follow(run, |event| {
            ended += i32::from(matches!(event, EventKind::StepFinished { step, .. } if step.index.is_some()));
            ended == items - 1
        })
        .await;
    neighbours.server.kill();
    neighbours.server.start_again();
    // Within the memory of each process, of which each had to read what was left of the run.
    let finished = neighbours.during(async |attacker| attacker.finish(run).await).await;
    assert!(finished.run.status.is_terminal());
    assert!(!finished.events.iter().any(|event| {
        matches!(&event.kind, EventKind::StepFinished { error: Some(error), .. } if error.code == "internal")
    }));
}
