//! Wake-ups, within a process and between processes.

use restroy_run_queue::{
    redis::RedisOptions,
    wake::{Wake, WakeUps},
};
use restroy_sdk::{ids::RunId, time::Ambient};
use tokio::sync::broadcast::Receiver;
use uuid::Uuid;

use crate::support::{PrivateRedis, eventually, prefix, shared_url, within};

fn run(n: u128) -> Wake {
    Wake::Run { run_id: RunId(Uuid::from_u128(n)) }
}

/// A process' wake-ups, connected, and somebody who listens to them.
async fn process(options: &RedisOptions) -> (WakeUps, Receiver<Wake>) {
    let wake_ups = WakeUps::over_redis(options, &Ambient::system());
    within(wake_ups.until_connected()).await;
    // Whoever listens from here on misses nothing.
    let listener = wake_ups.listen();
    (wake_ups, listener)
}

async fn next(listener: &mut Receiver<Wake>) -> Wake {
    within(listener.recv()).await.unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn early_listeners_resync_once_connected() {
    let mut redis = PrivateRedis::start().await;
    redis.kill().await;
    let wake_ups = WakeUps::over_redis(&redis.options(), &Ambient::system());
    let mut listener = wake_ups.listen();
    assert!(!wake_ups.connected());
    redis.again().await;
    assert_eq!(next(&mut listener).await, Wake::Missed);
}

#[tokio::test]
async fn one_process_hears_itself() {
    let wake_ups = WakeUps::default();
    assert!(wake_ups.connected());
    wake_ups.send(Wake::Admit);
    let mut listener = wake_ups.listen();
    wake_ups.clone().send(run(1));
    assert_eq!(next(&mut listener).await, run(1));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn processes_hear_one_another_and_themselves_once() {
    let options = RedisOptions::new(&shared_url(), &prefix()).unwrap();
    let (one, mut at_one) = process(&options).await;
    let (other, mut at_other) = process(&options).await;
    for n in 0..50 {
        one.send(run(n));
        assert_eq!(next(&mut at_one).await, run(n));
        assert_eq!(next(&mut at_other).await, run(n));
        // Had the first heard itself a second time, it would be before this.
        other.send(Wake::Admit);
        assert_eq!(next(&mut at_other).await, Wake::Admit);
        assert_eq!(next(&mut at_one).await, Wake::Admit);
    }
    one.send(Wake::Missed);
    assert_eq!(next(&mut at_other).await, Wake::Missed);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn prefixes_keep_installations_apart() {
    let (one, _) = process(&RedisOptions::new(&shared_url(), &prefix()).unwrap()).await;
    let options = RedisOptions::new(&shared_url(), &prefix()).unwrap();
    let ((neighbour, _), (_other, mut at_other)) = (process(&options).await, process(&options).await);
    one.send(run(1));
    neighbour.send(run(2));
    assert_eq!(next(&mut at_other).await, run(2));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_at_once_are_coalesced_by_run() {
    const RUNS: u128 = 600;
    const EACH: usize = 20;
    let options = RedisOptions::new(&shared_url(), &prefix()).unwrap();
    let (one, _at_one) = process(&options).await;
    let (_other, mut at_other) = process(&options).await;
    let sending = async {
        for _ in 0..EACH {
            for n in 0..RUNS {
                one.send(run(n));
            }
            tokio::task::yield_now().await;
        }
    };
    let mut heard = std::collections::HashSet::new();
    let hearing = async {
        while heard.len() < usize::try_from(RUNS).unwrap() {
            match at_other.recv().await {
                Ok(Wake::Run { run_id }) => {
                    heard.insert(run_id);
                }
                Ok(wake) => panic!("{wake:?} was not said"),
                Err(lagged) => panic!("{lagged}: they should have been coalesced"),
            }
        }
    };
    within(async { tokio::join!(sending, hearing) }).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn after_an_outage_listeners_resync_and_wake_ups_resume() {
    let mut redis = PrivateRedis::start().await;
    let options = redis.options();
    let (one, mut at_one) = process(&options).await;
    let (other, mut at_other) = process(&options).await;
    redis.kill().await;
    eventually(|| !one.connected() && !other.connected()).await;
    // Nothing blocks meanwhile, and one's own listeners hear.
    for _ in 0..1_000 {
        one.send(run(1));
        assert_eq!(next(&mut at_one).await, run(1));
    }
    redis.again().await;
    assert_eq!(next(&mut at_one).await, Wake::Missed);
    // What was kept is said once it can be: the other may hear it too, before or after.
    let mut missed = false;
    while !missed {
        match next(&mut at_other).await {
            Wake::Missed => missed = true,
            wake => assert_eq!(wake, run(1)),
        }
    }
    within(other.until_connected()).await;
    one.send(run(2));
    loop {
        match next(&mut at_other).await {
            wake if wake == run(2) => break,
            wake => assert_eq!(wake, run(1)),
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_cannot_be_read_means_look_at_everything() {
    let (prefix, url) = (prefix(), shared_url());
    let (_one, mut at_one) = process(&RedisOptions::new(&url, &prefix).unwrap()).await;
    let mut redis = crate::support::connection(&url).await;
    for said in ["", "{", r#"{"protocol": 9, "origin": "00000000-0000-0000-0000-000000000000", "more": [1]}"#] {
        redis::cmd("PUBLISH").arg(format!("{prefix}:wake")).arg(said).exec_async(&mut redis).await.unwrap();
        assert_eq!(next(&mut at_one).await, Wake::Missed);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_connection_ends_with_the_last_clone() {
    let redis = PrivateRedis::start().await;
    let mut operator = redis.connection().await;
    let (one, listener) = process(&redis.options()).await;
    let clone = one.clone();
    drop((one, listener));
    assert!(clone.connected());
    drop(clone);
    within(async {
        loop {
            let clients: String = redis::cmd("CLIENT").arg("LIST").query_async(&mut operator).await.unwrap();
            if clients.lines().count() == 1 {
                break;
            }
        }
    })
    .await;
}
