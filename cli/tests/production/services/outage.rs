//! Postgres and Redis go away and come back: whatever was accepted is done, once, and nobody has to do
//! anything about it.

use std::time::Duration;

use super::{
    cluster::Cluster,
    load::Load,
    member::Member,
    servers::{Postgres, Redis},
};

/// How long Redis stays away.
const OUTAGE: Duration = Duration::from_secs(10);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_lost_while_redis_is_away() {
    let mut redis = Redis::start();
    let cluster = Cluster::with_redis(&redis);
    let (first, second, _one, _other) = cluster.two_of_each();
    let ada = Member::new(&cluster, &first.url, "ada").await;
    let load = Load::start(&ada, ada.push_counter().await, &[&first.url, &second.url]);
    load.more(20).await;
    redis.stop();
    // New runs are accepted all the while.
    tokio::join!(load.more(20), tokio::time::sleep(OUTAGE));
    redis.start_again();
    load.more(20).await;
    load.all_succeed_once(&cluster, &ada).await;
}

#[tokio::test]
async fn what_redis_forgets_is_done_all_the_same() {
    let redis = Redis::start();
    let cluster = Cluster::with_redis(&redis);
    let first = cluster.control_plane("control-plane-1");
    let ada = Member::new(&cluster, &first.url, "ada").await;
    let pipeline = ada.push_counter().await;
    let run = ada.start(pipeline).await;
    let queue = format!("{}:queue", cluster.installation.redis_prefix);
    super::service::eventually("the push", async || (redis.order(&["ZCARD", &queue]).await == ":1").then_some(()))
        .await;
    assert_eq!(redis.order(&["FLUSHALL"]).await, "+OK");
    let _executor = cluster.executor("executor-1", &first.run_api);
    ada.succeeded(run).await;
    assert_eq!(ada.kv("total").await, Some(1.into()));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_lost_when_postgres_restarts() {
    let (postgres, redis) = (Postgres::start(), Redis::start());
    let cluster = Cluster::with_servers(&postgres, &redis).await;
    let (first, second, _one, _other) = cluster.two_of_each();
    let ada = Member::new(&cluster, &first.url, "ada").await;
    let load = Load::start(&ada, ada.push_counter().await, &[&first.url, &second.url]);
    // In good order, and as a crash would have it.
    for mode in ["fast", "immediate"] {
        load.more(15).await;
        postgres.restart(mode);
    }
    load.more(15).await;
    load.all_succeed_once(&cluster, &ada).await;
}
