//! What holds of the queue on Redis alone.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use restroy_run_queue::{
    queue::{Queue, QueueUnavailable},
    redis::{RedisOptions, RedisQueue},
};

use crate::support::{Consumer, PrivateRedis, connection, keys, message, prefix, shared_url, telling, within};

/// A queue of its own on the shared Redis; its prefix.
async fn queue(capacity: usize) -> (Arc<RedisQueue>, String) {
    let prefix = prefix();
    let queue = RedisQueue::with_capacity(&RedisOptions::new(&shared_url(), &prefix).unwrap(), capacity);
    within(queue.until_connected()).await;
    (Arc::new(queue), prefix)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_waits_already_is_not_doubled_and_keeps_its_place() {
    let (queue, _) = queue(2).await;
    for n in [1, 2, 1, 2, 1] {
        queue.push(message(n)).await.unwrap();
    }
    assert_eq!(queue.waiting(), 2);
    assert_eq!(queue.count().await.unwrap(), 2);
    let (handler, mut arrivals) = telling();
    let consumer = Consumer::start(&(Arc::clone(&queue) as _), 1, handler);
    assert_eq!(within(arrivals.recv()).await, Some(1));
    assert_eq!(within(arrivals.recv()).await, Some(2));
    consumer.stopped().await;
    assert!(arrivals.try_recv().is_err());
    assert_eq!(queue.count().await.unwrap(), 0);
    // What was taken may be pushed again.
    queue.push(message(1)).await.unwrap();
    assert_eq!(queue.waiting(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_stays_behind_however_much_went_through() {
    const ROUNDS: u128 = 20;
    const ROUND: u128 = 200;
    let (queue, prefix) = queue(1_000).await;
    let mut redis = connection(&shared_url()).await;
    for round in 0..ROUNDS {
        // A new consumer each time, as executors come and go; every other one is cut off rather than stopped.
        let (handler, mut arrivals) = telling();
        let consumer = Consumer::start(&(Arc::clone(&queue) as _), 8, handler);
        for n in 0..ROUND {
            queue.push(message(round * ROUND + n)).await.unwrap();
        }
        let waiting = keys(&mut redis, &prefix).await;
        assert!(waiting.iter().all(|key| *key == format!("{prefix}:queue")), "{waiting:?}");
        let mut seen = BTreeSet::new();
        for _ in 0..ROUND {
            seen.insert(within(arrivals.recv()).await.unwrap());
        }
        assert!(seen.into_iter().eq(round * ROUND..(round + 1) * ROUND));
        if round % 2 == 0 {
            consumer.stopped().await;
        } else {
            consumer.end.abort();
            assert!(consumer.end.await.unwrap_err().is_cancelled());
        }
    }
    assert_eq!(keys(&mut redis, &prefix).await, Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_somebody_else_wrote_there_is_passed_over() {
    let (queue, prefix) = queue(10).await;
    let mut redis = connection(&shared_url()).await;
    redis::cmd("ZADD").arg(format!("{prefix}:queue")).arg(0).arg("rubbish").exec_async(&mut redis).await.unwrap();
    queue.push(message(1)).await.unwrap();
    let (handler, mut arrivals) = telling();
    let consumer = Consumer::start(&(Arc::clone(&queue) as _), 1, handler);
    assert_eq!(within(arrivals.recv()).await, Some(1));
    consumer.stopped().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn prefixes_keep_installations_apart() {
    let ((one, _), (other, _)) = (queue(10).await, queue(10).await);
    one.push(message(1)).await.unwrap();
    other.push(message(2)).await.unwrap();
    let (handler, mut arrivals) = telling();
    let consumer = Consumer::start(&(Arc::clone(&other) as _), 2, handler);
    assert_eq!(within(arrivals.recv()).await, Some(2));
    consumer.stopped().await;
    assert!(arrivals.try_recv().is_err());
    assert_eq!(one.count().await.unwrap(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_password_is_used() {
    let redis = PrivateRedis::with_password(Some("hunter2")).await;
    let queue = RedisQueue::start(&redis.options());
    within(queue.until_connected()).await;
    queue.push(message(1)).await.unwrap();
    assert_eq!(queue.count().await.unwrap(), 1);
}

/// Waits until the check says so: its answer holds for a moment.
async fn until_checked(queue: &RedisQueue, wanted: Result<(), QueueUnavailable>) {
    within(async {
        while queue.check().await != wanted {
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_read_only_redis_is_reported() {
    let redis = PrivateRedis::start().await;
    let options = redis.options();
    let queue = RedisQueue::start(&options);
    within(queue.until_connected()).await;
    assert_eq!(queue.check().await, Ok(()));
    let mut operator = redis.connection().await;
    let mut set = async |name: &str, value: &str| {
        redis::cmd("CONFIG").arg("SET").arg(name).arg(value).exec_async(&mut operator).await.unwrap();
    };
    set("maxmemory-policy", "noeviction").await;
    set("maxmemory", "1").await;
    until_checked(&queue, Err(QueueUnavailable::OutOfMemory)).await;
    assert!(queue.push(message(1)).await.is_err());
    set("maxmemory", "0").await;
    until_checked(&queue, Ok(())).await;
    queue.push(message(1)).await.unwrap();
    // Whatever key the queue has here.
    let mut operator = redis.connection().await;
    let keys = keys(&mut operator, "").await;
    let key = keys.iter().find(|key| key.ends_with(":queue")).unwrap();
    redis::cmd("SET").arg(key).arg("something else").exec_async(&mut operator).await.unwrap();
    until_checked(&queue, Err(QueueUnavailable::WrongType)).await;
    redis::cmd("DEL").arg(key).exec_async(&mut operator).await.unwrap();
    until_checked(&queue, Ok(())).await;
}

#[test]
fn a_url_that_cannot_work_is_refused_at_once_and_not_repeated() {
    let error = RedisOptions::new("postgres://user:hunter2@localhost", "restroy").unwrap_err().to_string();
    assert!(error.contains("redis://") && error.contains("rediss://"), "{error}");
    assert!(!error.contains("hunter2"), "{error}");
}
