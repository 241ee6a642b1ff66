//! A control-plane that is far from its database is slow, and loses nothing.

use std::time::Duration;

use serde_json::json;

use super::{cluster::Cluster, member::Member};

/// Each way: a round trip takes 300 ms.
const ONE_WAY: Duration = Duration::from_millis(150);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_round_trip_of_300_ms_to_the_database_loses_no_lease() {
    let cluster = Cluster::new();
    let near = cluster.control_plane("near");
    let ada = Member::new(&cluster, &near.url, "ada").await;
    let definition = json!({"restroy": 1, "steps": {
        "each": {"script": "each.lua", "for_each": "(function() local t = {} for i = 1, 10 do t[i] = i end return t end)()"},
        "effect": {"script": "effect.lua", "needs": ["each"], "allow": {"kv": true}},
    }});
    let files = [("each.lua", "print(item) return item"), ("effect.lua", "return kv.incr('n', #inputs.each)")];
    let pipeline = ada.push("far", definition, &files).await;
    let run = ada.start(pipeline).await;
    drop(near);

    let far = cluster.control_plane_far_away("far", ONE_WAY).await;
    let _executor = cluster.executor("executor", &far.run_api);
    cluster.until_sql(&format!("SELECT status FROM runs WHERE id = '{run}'"), &["succeeded"]).await;
    assert_eq!(cluster.sql("SELECT count(*)::text FROM run_events WHERE events LIKE '%step.lost%'").await, ["0"]);
    assert_eq!(cluster.sql("SELECT value::text FROM kv_entries").await, ["10"]);
}
