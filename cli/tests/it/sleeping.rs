//! Steps that sleep: without a slot, through restarts, until they are due or cancelled.

use futures_util::future::join_all;
use restroy_sdk::{
    event::{Event, EventKind},
    ids::{PipelineId, RunId},
    status::{RunStatus, StepStatus},
    time::Timestamp,
};
use serde_json::json;

use crate::world::{Tenant, World, assert_gapless};

/// More than an installation has slots, and than a team has concurrent runs.
const MANY: usize = 12;

impl Tenant {
    /// Publishes a pipeline that sleeps between two scripts.
    async fn push_sleep(&self, duration: &str) -> PipelineId {
        let definition = json!({"restroy": 1, "steps": {
            "before": {"script": "before.lua"},
            "nap": {"sleep": duration, "needs": ["before"], "if": "inputs.before"},
            "after": {"script": "after.lua", "needs": ["before", "nap"]},
        }});
        let files = [("before.lua", "return true"), ("after.lua", "return {inputs.before, inputs.nap == json.null}")];
        self.push(&format!("sleeps {duration}"), definition, &files).await
    }

    /// Follows a run until it sleeps; gives until when.
    async fn until_it_sleeps(&self, run: RunId) -> Timestamp {
        let events = self.follow(run, |event| matches!(event, EventKind::StepWaiting { .. })).await;
        let Some(EventKind::StepWaiting { step, until, .. }) = events.last().map(|event| &event.kind) else {
            panic!("{events:?}");
        };
        assert_eq!(step.step, "nap");
        until.expect("a time")
    }
}

/// The ends of naps.
fn waking_times(events: &[Event]) -> Vec<Timestamp> {
    let ends = events.iter().filter(|event| {
        matches!(&event.kind, EventKind::StepFinished { step, status: StepStatus::Succeeded, .. } if step.step == "nap")
    });
    ends.map(|event| event.at).collect()
}

#[tokio::test]
async fn sleeping_runs_hold_no_slot_and_end_at_once_when_they_are_cancelled() {
    let world = World::new(&["--slots", "1"]).await;
    let pipeline = world.push_sleep("30d").await;
    let runs = join_all((0..MANY).map(|_| world.start(pipeline, json!({})))).await;
    // The last of them sleeps too: none holds the only slot.
    for run in &runs {
        world.until_it_sleeps(*run).await;
    }
    let quick = world.push_script("quick", "return 1", json!({})).await;
    world.run(quick, json!({})).await.succeeded();
    for run in runs {
        assert_eq!(world.client.cancel(run).await.unwrap().status, RunStatus::Cancelled);
        let finished = world.finish(run).await;
        assert_gapless(&finished.events);
        let nap = finished.steps.iter().find(|step| step.step.step == "nap").unwrap();
        assert_eq!((nap.status, nap.waiting_until), (StepStatus::Cancelled, None));
    }
}

#[tokio::test]
async fn a_sleep_survives_the_end_of_every_process() {
    let mut world = World::new(&[]).await;
    // Long enough to be suspended.
    let pipeline = world.push_sleep("8s").await;
    let run = world.start(pipeline, json!({})).await;
    let until = world.until_it_sleeps(run).await;
    world.server.kill();
    world.server.start_again();
    let finished = world.finish(run).await.succeeded();
    assert_gapless(&finished.events);
    let sleeps = finished.events.iter().filter(|event| matches!(event.kind, EventKind::StepWaiting { .. })).count();
    assert_eq!(sleeps, 1, "it began to sleep once: {:#?}", finished.events);
    assert!(waking_times(&finished.events).iter().all(|at| *at >= until), "it slept until it was due");
    assert_eq!(finished.output("after"), json!([true, true]));
}

#[tokio::test]
async fn a_short_sleep_stays_with_its_executor_and_a_step_may_be_skipped() {
    let world = World::new(&[]).await;
    let definition = json!({"restroy": 1, "steps": {
        "short": {"sleep": "20ms"},
        "unwanted": {"sleep": "1d", "if": "false"},
        "after": {"script": "after.lua", "needs": ["short", "unwanted"]},
        "failed": {"script": "failed.lua", "continue_on_failure": true},
        "rescue": {"sleep": "1ms", "needs": ["failed"], "when": "any_failed"},
        "needless": {"sleep": "1d", "needs": ["failed"]},
    }});
    let files = [("after.lua", "return 1"), ("failed.lua", "error('no')")];
    let pipeline = world.push("short", definition, &files).await;
    let finished = world.run(pipeline, json!({})).await.succeeded();
    let status = |name: &str| finished.steps.iter().find(|step| step.step.step == name).unwrap().status;
    for (step, wanted) in [
        ("short", StepStatus::Succeeded),
        ("unwanted", StepStatus::Skipped),
        ("rescue", StepStatus::Succeeded),
        ("needless", StepStatus::Skipped),
    ] {
        assert_eq!(status(step), wanted, "{step}");
    }
    assert_eq!(finished.output("after"), json!(1));
    let started = |event: &&Event| matches!(event.kind, EventKind::RunStarted {});
    assert_eq!(finished.events.iter().filter(started).count(), 1);
}
