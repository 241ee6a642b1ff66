//! What the operator gives a team, and what scripts meet at a limit.

use std::process::Output;

use serde_json::{Value, json};

use crate::world::World;

fn limits(world: &World, arguments: &[&str]) -> Output {
    let team = world.team.to_string();
    let mut command = world.server.installation().unwrap().on_the_database();
    command.args(["admin", "team", "limits", &team, "--json"]).args(arguments).output().unwrap()
}

fn value(output: &Output, name: &str) -> i64 {
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let said: Value = serde_json::from_slice(&output.stdout).unwrap();
    let limits = said["limits"].as_array().unwrap();
    limits.iter().find(|limit| limit["name"] == name).unwrap()["value"].as_i64().unwrap()
}

#[tokio::test]
async fn the_operator_sets_limits_and_scripts_meet_them() {
    let world = World::new(&["--allow-loopback-http"]).await;
    let all = limits(&world, &[]);
    assert_eq!((value(&all, "runs_at_once"), value(&all, "egress_bytes_per_hour")), (5, 1 << 30));
    let set = limits(&world, &["--set", "runs_at_once=10", "--set", "egress_bytes_per_hour=150"]);
    assert_eq!((value(&set, "runs_at_once"), value(&set, "egress_bytes_per_hour")), (10, 150));
    let known = world.client.limits(world.team).await.unwrap();
    assert!(known.limits.iter().any(|limit| limit.name == "runs_at_once" && limit.value == 10));

    // Nobody listens there: what is refused by the limit does not even try.
    let source = "local url = 'http://127.0.0.1:9/'
        local _, small = pcall(http.get, url)
        local _, large = pcall(http.post, url, { body = string.rep('x', 200) })
        return { small = small.code, large = large.code, retryable = large.retryable }";
    let pipeline = world.push_script("sends", source, json!({ "http": ["http://127.0.0.1:9"] })).await;
    let finished = world.run(pipeline, json!({})).await.succeeded();
    assert_eq!(
        finished.steps[0].output,
        Some(json!({ "small": "http_connect", "large": "quota_exceeded", "retryable": true }))
    );

    for (wrong, why) in [
        ("runs_at_once=51", "from 0 to 50"),
        ("runs_at_once=-1", "from 0 to 50"),
        ("runs_at_once", "NAME=VALUE"),
        ("wishes=3", "there are runs_at_once, "),
    ] {
        let refused = limits(&world, &["--set", wrong]);
        assert_eq!(refused.status.code(), Some(2), "{wrong}");
        let said = String::from_utf8_lossy(&refused.stderr).into_owned();
        assert!(said.contains(why), "{wrong}: {said}");
    }
    let reset = limits(&world, &["--reset", "runs_at_once"]);
    assert_eq!((value(&reset, "runs_at_once"), value(&reset, "egress_bytes_per_hour")), (5, 150));
}
