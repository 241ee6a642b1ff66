//! Nothing is lost when the process dies, and nothing that was committed is done twice.

use restroy_client::Paging;
use restroy_sdk::{api::run::NewRun, event::EventKind, status::RunStatus};
use serde_json::{Value, json};

use crate::world::{World, assert_gapless};

#[tokio::test]
async fn a_run_resumes_after_kill_9() {
    let mut world = World::new(&[]).await;
    let definition = json!({"restroy": 1, "steps": {
        "first": {"script": "scripts/count.lua", "allow": {"kv": true}},
        "second": {"script": "scripts/slow.lua", "needs": ["first"], "allow": {"kv": true}, "timeout": "2m"},
        "third": {"script": "scripts/count.lua", "needs": ["second"], "allow": {"kv": true}},
    }});
    let files = [
        ("scripts/count.lua", "return kv.incr('count:' .. run.step)"),
        // Says that its effect is done, then lingers long enough to be killed; not so the second time.
        (
            "scripts/slow.lua",
            "local n = kv.incr('count:' .. run.step)
             print('counted ' .. n)
             local seen = kv.get('killed')
             if not seen then sleep(60) end
             return n",
        ),
    ];
    let pipeline = world.push("slow", definition, &files).await;
    let run = world.start(pipeline, json!({})).await;
    let before =
        world.follow(run, |kind| matches!(kind, EventKind::StepOutput { step, .. } if step.step == "second")).await;
    world.server.kill();

    // What another run of the board leaves behind reports the script not to linger again.
    world.server.start_again();
    let signal = world.push_script("signal", "kv.set('killed', true)", json!({"kv": true})).await;
    world.run(signal, json!({})).await.succeeded();
    world.server.kill();
    world.server.start_again();

    let finished = world.finish(run).await.succeeded();
    assert_gapless(&finished.events);
    assert_eq!(
        serde_json::to_value(&finished.events[..before.len()]).unwrap(),
        serde_json::to_value(&before).unwrap(),
        "what watchers saw stays as it was"
    );
    assert!(
        finished
            .events
            .iter()
            .any(|event| matches!(&event.kind, EventKind::StepLost { step } if step.step == "second"))
    );
    for step in ["first", "second", "third"] {
        assert_eq!(finished.output(step), json!(1), "the effect of {step} was done once");
        let ends = finished
            .events
            .iter()
            .filter(|event| matches!(&event.kind, EventKind::StepFinished { step: of, .. } if of.step == step))
            .count();
        assert_eq!(ends, 1, "{step} ended once");
    }
    let kv = world.client.kv(world.board, &Paging::longest()).await.unwrap().items;
    let counts: Vec<_> = kv.iter().filter(|entry| entry.key.starts_with("count:")).map(|entry| &entry.value).collect();
    assert_eq!(counts, vec![&json!(1); 3]);
}

#[tokio::test]
async fn runs_that_wait_for_a_slot_survive_too() {
    let mut world = World::new(&["--slots", "1"]).await;
    let pipeline = world.push_script("quick", "return params.n", json!({})).await;
    let mut runs = Vec::new();
    for n in 0..20 {
        let params = json!({"n": n}).as_object().unwrap().clone();
        runs.push((n, world.client.start_run(pipeline, &NewRun { params }).await.unwrap().id));
    }
    world.server.kill();
    world.server.start_again();
    for (n, run) in runs {
        let finished = world.finish(run).await.succeeded();
        assert_eq!(finished.output("only"), json!(n));
        assert_gapless(&finished.events);
    }
}

#[tokio::test]
async fn a_cancelled_run_ends_at_once_and_stays_cancelled() {
    let world = World::new(&[]).await;
    let pipeline = world.push_script("endless", "print('begun') sleep(25) return 1", json!({})).await;
    let run = world.start(pipeline, json!({})).await;
    world.follow(run, |kind| matches!(kind, EventKind::StepOutput { .. })).await;
    let cancelled = world.client.cancel(run).await.unwrap();
    assert_eq!(cancelled.status, RunStatus::Cancelled);
    let finished = world.finish(run).await;
    assert_gapless(&finished.events);
    assert!(matches!(
        finished.events.last().unwrap().kind,
        EventKind::RunFinished { status: RunStatus::Cancelled, .. }
    ));
    assert_eq!(
        world.client.cancel(run).await.unwrap().status,
        RunStatus::Cancelled,
        "cancelling twice changes nothing"
    );
    // The slot is free again: more runs than slots go through.
    let quick = world.push_script("quick", "return 1", json!({})).await;
    for _ in 0..8 {
        world.run(quick, json!({})).await.succeeded();
    }
}

#[tokio::test]
async fn a_step_is_tried_again_as_its_document_says() {
    let world = World::new(&[]).await;
    let definition = json!({"restroy": 1, "steps": {
        "flaky": {
            "script": "scripts/flaky.lua", "allow": {"kv": true},
            "retry": {"max_attempts": 3, "initial": "10ms", "max": "20ms"}
        },
        "hopeless": {
            "script": "scripts/hopeless.lua", "retry": {"max_attempts": 2, "initial": "10ms", "max": "10ms"},
            "continue_on_failure": true
        },
        "after": {"script": "scripts/after.lua", "needs": ["hopeless"]},
        "rescue": {"script": "scripts/after.lua", "needs": ["hopeless"], "when": "any_failed"},
    }});
    let files = [
        ("scripts/flaky.lua", "local n = kv.incr('tries') if n < 3 then error('not yet') end return n"),
        ("scripts/hopeless.lua", "error{code = 'never', message = 'no way', attempt = run.retry}"),
        ("scripts/after.lua", "return true"),
    ];
    let pipeline = world.push("retries", definition, &files).await;
    let finished = world.run(pipeline, json!({})).await.succeeded();
    assert_eq!(finished.output("flaky"), json!(3));
    assert_eq!(finished.steps.iter().filter(|run| run.step.step == "flaky").count(), 3, "one step run an attempt");
    let retries = finished.events.iter().filter(|event| matches!(event.kind, EventKind::StepRetrying { .. })).count();
    assert_eq!(retries, 3);
    let skipped = finished.steps.iter().find(|run| run.step.step == "after").unwrap();
    assert_eq!(skipped.status.as_str(), "skipped");
    assert_eq!(finished.output("rescue"), Value::Bool(true));
}
