//! Redis goes away and comes back, empty or not: work that was begun ends, and the queue continues by itself.

use std::sync::Arc;

use restroy_run_queue::{queue::Queue, redis::RedisQueue};

use crate::support::{Consumer, PrivateRedis, eventually, gated, message, telling, within};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn begun_work_ends_without_redis_and_the_queue_resumes() {
    let mut redis = PrivateRedis::start().await;
    let queue = Arc::new(RedisQueue::start(&redis.options()));
    within(queue.until_connected()).await;
    let mut work = gated();
    let consumer = Consumer::start(&(Arc::clone(&queue) as _), 2, work.handler.clone());
    for n in [1, 2, 3] {
        queue.push(message(n)).await.unwrap();
    }
    // They run beside one another: either may be the first to say so.
    let begun = [within(work.arrivals.recv()).await.unwrap(), within(work.arrivals.recv()).await.unwrap()];
    assert!(begun == [1, 2] || begun == [2, 1], "{begun:?}");

    redis.kill().await;
    eventually(|| !queue.connected()).await;
    let refused = queue.push(message(4)).await.unwrap_err();
    assert!(refused.to_string().contains("Redis"), "{refused}");
    assert!(queue.count().await.is_err());
    work.gate.add_permits(2);
    within(work.finished.recv()).await.unwrap();
    within(work.finished.recv()).await.unwrap();

    // It comes back empty: what waited is pushed again by whoever knows of it.
    redis.again().await;
    within(queue.until_connected()).await;
    work.gate.add_permits(2);
    for n in [3, 4] {
        queue.push(message(n)).await.unwrap();
        assert_eq!(within(work.arrivals.recv()).await, Some(n));
    }
    consumer.stopped().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_redis_kept_over_a_restart_is_taken() {
    let mut redis = PrivateRedis::start().await;
    let queue = Arc::new(RedisQueue::start(&redis.options()));
    within(queue.until_connected()).await;
    let mut work = gated();
    let consumer = Consumer::start(&(Arc::clone(&queue) as _), 1, work.handler.clone());
    for n in [1, 2, 3] {
        queue.push(message(n)).await.unwrap();
    }
    assert_eq!(within(work.arrivals.recv()).await, Some(1));
    redis::cmd("SAVE").exec_async(&mut redis.connection().await).await.unwrap();
    redis.kill().await;
    eventually(|| !queue.connected()).await;
    redis.again().await;
    work.gate.add_permits(3);
    assert_eq!(within(work.arrivals.recv()).await, Some(2));
    assert_eq!(within(work.arrivals.recv()).await, Some(3));
    consumer.stopped().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_consumer_that_starts_before_redis_waits_for_it() {
    let mut redis = PrivateRedis::start().await;
    let options = redis.options();
    redis.kill().await;
    let queue = Arc::new(RedisQueue::start(&options));
    assert!(!queue.connected());
    let (handler, mut arrivals) = telling();
    let consumer = Consumer::start(&(Arc::clone(&queue) as _), 2, handler);
    redis.again().await;
    within(queue.until_connected()).await;
    queue.push(message(1)).await.unwrap();
    assert_eq!(within(arrivals.recv()).await, Some(1));
    consumer.stopped().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn stopping_ends_while_redis_is_away() {
    let mut redis = PrivateRedis::start().await;
    let queue = Arc::new(RedisQueue::start(&redis.options()));
    within(queue.until_connected()).await;
    let mut work = gated();
    let mut consumer = Consumer::start(&(Arc::clone(&queue) as _), 2, work.handler.clone());
    queue.push(message(1)).await.unwrap();
    within(work.arrivals.recv()).await.unwrap();
    redis.kill().await;
    eventually(|| !queue.connected()).await;
    consumer.stop();
    work.gate.add_permits(1);
    within(consumer.end).await.unwrap();
    assert_eq!(work.finished.try_recv(), Ok(1));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn flushing_everything_loses_what_waits_and_nothing_else() {
    let redis = PrivateRedis::start().await;
    let queue = Arc::new(RedisQueue::start(&redis.options()));
    within(queue.until_connected()).await;
    let mut work = gated();
    let consumer = Consumer::start(&(Arc::clone(&queue) as _), 1, work.handler.clone());
    for n in [1, 2] {
        queue.push(message(n)).await.unwrap();
    }
    assert_eq!(within(work.arrivals.recv()).await, Some(1));
    let mut operator = redis.connection().await;
    redis::cmd("FLUSHALL").exec_async(&mut operator).await.unwrap();
    redis::cmd("SCRIPT").arg("FLUSH").exec_async(&mut operator).await.unwrap();
    work.gate.add_permits(2);
    assert_eq!(within(work.finished.recv()).await, Some(1));
    queue.push(message(3)).await.unwrap();
    assert_eq!(within(work.arrivals.recv()).await, Some(3));
    consumer.stopped().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cut_connection_is_made_again() {
    let redis = PrivateRedis::start().await;
    let queue = Arc::new(RedisQueue::start(&redis.options()));
    within(queue.until_connected()).await;
    let (handler, mut arrivals) = telling();
    let consumer = Consumer::start(&(Arc::clone(&queue) as _), 2, handler);
    let mut operator = redis.connection().await;
    for n in 1..4 {
        let cut: u64 = redis::cmd("CLIENT").arg(&["KILL", "SKIPME", "yes"]).query_async(&mut operator).await.unwrap();
        assert!(cut > 0);
        // A push may still meet the connection that was cut.
        within(async {
            while queue.push(message(n)).await.is_err() {
                queue.until_connected().await;
                tokio::task::yield_now().await;
            }
        })
        .await;
        assert_eq!(within(arrivals.recv()).await, Some(n));
    }
    consumer.stopped().await;
}
