//! What steps do not wait for.

use std::sync::Arc;

use serde_json::json;
use tokio::sync::Semaphore;

use crate::support::{Api, Running};

#[tokio::test(flavor = "multi_thread")]
async fn a_chain_does_not_wait_for_the_network_between_steps() {
    let mut steps = serde_json::Map::new();
    for n in 1..10 {
        let needs = if n == 1 { json!([]) } else { json!([format!("s{}", n - 1)]) };
        steps.insert(format!("s{n}"), json!({"script": "s.lua", "needs": needs}));
    }
    steps.insert("s10".to_owned(), json!({"script": "last.lua", "needs": ["s9"], "allow": {"kv": true}}));
    let api = Api::start(
        json!({"restroy": 1, "steps": steps}),
        &[("s.lua", "print(run.step) return 1"), ("last.lua", "kv.get('here') return 1")],
    )
    .await;
    let batches = Arc::new(Semaphore::new(0));
    api.knobs(|knobs| knobs.batches = Some(Arc::clone(&batches)));
    let scratch = tempfile::tempdir().unwrap();
    let executor = Running::start(&api, scratch.path(), 1).await;
    executor.push(api.task_id()).await;
    // The tenth step runs although not one batch was answered.
    api.until("the last step runs", |api| !api.calls().is_empty()).await;
    assert!(api.events().is_empty());
    batches.add_permits(1000);
    api.finished().await;
    executor.stop().await;
    // What happened meanwhile travelled together: one batch held back, one with the rest, and at
    // most one more for an end that came later.
    assert!(api.batches() <= 4, "{} batches", api.batches());
}
