//! What an executor counts, as Prometheus reads it.

#![allow(clippy::float_cmp, reason = "counts are whole")]

#[path = "../../../control-plane/tests/it/exposition.rs"]
mod exposition;

use serde_json::json;

use self::exposition::{documented, exposed, label_values, value};
use crate::support::{Api, Running};

#[tokio::test(flavor = "multi_thread")]
async fn a_task_is_counted_and_the_document_lists_what_there_is() {
    let api = Api::start(
        json!({"restroy": 1, "steps": {
            "a": {"script": "a.lua", "allow": {"kv": true}},
            "b": {"script": "b.lua", "continue_on_failure": true},
        }}),
        &[("a.lua", "kv.set('x', 1) kv.get('x') pcall(kv.incr, 'x', 'one') return 1"), ("b.lua", "error('no')")],
    )
    .await;
    let scratch = tempfile::tempdir().unwrap();
    let executor = Running::start(&api, scratch.path(), 3).await;
    let metrics = executor.metrics.clone();
    executor.push(api.task_id()).await;
    api.finished().await;
    executor.stop().await;

    let text = metrics.text();
    assert_eq!(exposed(&text), documented("Executor"));
    assert_eq!(value(&text, "restroy_executor_slots", &[]), 3.0);
    assert_eq!(value(&text, "restroy_executor_busy_slots", &[]), 0.0);
    assert_eq!(value(&text, "restroy_executor_sandboxes", &[]), 0.0);
    assert_eq!(value(&text, "restroy_executor_claims_total", &[("outcome", "taken")]), 1.0);
    assert_eq!(value(&text, "restroy_executor_steps_total", &[("outcome", "succeeded")]), 1.0);
    assert_eq!(value(&text, "restroy_executor_steps_total", &[("outcome", "failed")]), 1.0);
    assert_eq!(value(&text, "restroy_executor_step_duration_seconds_count", &[]), 2.0);
    assert!(value(&text, "restroy_executor_fuel_total", &[]) > 0.0);
    let kv_set = [("method", "kv_set"), ("outcome", "ok")];
    assert_eq!(value(&text, "restroy_executor_host_calls_total", &kv_set), 1.0);
    assert!(value(&text, "restroy_executor_reports_total", &[]) >= 1.0);
    assert!(value(&text, "restroy_executor_heartbeats_total", &[("outcome", "heard")]) >= 1.0);
    assert!(label_values(&text).iter().all(|value| !value.contains(&api.task_id().to_string())));
}
