//! What services say of themselves while the servers under them come and go.

use serde_json::Value;

use super::{
    cluster::{Cluster, http, until_figure},
    servers::{Postgres, Redis},
    service::eventually,
};

/// Waits until a service says that it stands so, with the right status, and why.
async fn until_ready(base: &str, wanted: &str, reason: &str) {
    let status = if wanted == "unready" { 503 } else { 200 };
    eventually(&format!("{wanted} at {base}"), async || {
        let answer = http().get(format!("{base}/readyz")).send().await.unwrap();
        let found = answer.status();
        let said: Value = answer.json().await.unwrap();
        let as_wanted = found == status && said["status"] == wanted && said["reasons"].to_string().contains(reason);
        as_wanted.then_some(())
    })
    .await;
    let health = http().get(format!("{base}/healthz")).send().await.unwrap();
    assert_eq!(health.status(), 200, "it lives, however it stands");
}

#[tokio::test]
async fn services_tell_how_they_stand() {
    let (postgres, mut redis) = (Postgres::start(), Redis::start());
    let cluster = Cluster::with_servers(&postgres, &redis).await;
    let control_plane = cluster.control_plane("control-plane");
    let executor = cluster.executor("executor", &control_plane.run_api);
    let (api, operators) = (&control_plane.url, &control_plane.metrics);
    for base in [api, operators, &executor.metrics] {
        until_ready(base, "ready", "[]").await;
    }

    // A Redis that answers and takes no writes does not recover by itself.
    let queue = format!("{}:queue", cluster.installation.redis_prefix);
    let refusals: [(&[&str], &[&str], &str); 2] = [
        (&["CONFIG", "SET", "maxmemory", "1"], &["CONFIG", "SET", "maxmemory", "0"], "out of memory"),
        (&["SET", &queue, "x"], &["DEL", &queue], "another type"),
    ];
    for (refuse, undo, reason) in refusals {
        redis.order(refuse).await;
        for base in [api, operators, &executor.metrics] {
            until_ready(base, "unready", reason).await;
        }
        redis.order(undo).await;
        for base in [api, operators, &executor.metrics] {
            until_ready(base, "ready", "[]").await;
        }
    }

    redis.stop();
    for base in [api, operators] {
        until_ready(base, "degraded", "Redis").await;
    }
    until_figure(operators, "restroy_redis_connected", |up| up == 0).await;
    until_ready(&executor.metrics, "unready", "Redis").await;
    until_figure(&executor.metrics, "restroy_executor_redis_connected", |up| up == 0).await;
    redis.start_again();
    for base in [api, operators, &executor.metrics] {
        until_ready(base, "ready", "[]").await;
    }
    until_figure(operators, "restroy_redis_connected", |up| up == 1).await;

    postgres.stop();
    for base in [api, operators] {
        until_ready(base, "unready", "database").await;
    }
    until_figure(operators, "restroy_database_up", |up| up == 0).await;
    postgres.start_again();
    for base in [api, operators] {
        until_ready(base, "ready", "[]").await;
    }
    until_figure(operators, "restroy_database_up", |up| up == 1).await;
}
