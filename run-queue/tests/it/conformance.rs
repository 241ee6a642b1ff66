//! What holds of every queue, whatever carries it.

use std::{collections::BTreeSet, sync::Arc, sync::atomic::Ordering};

use restroy_run_queue::queue::Handler;
use tokio::sync::mpsc;

use crate::support::{Consumer, World, gated, message, number, telling, within};

/// Enough for all that the tests push.
const ROOMY: usize = 1_000;

/// Each test below, for each kind of queue.
macro_rules! conformance {
    ($($test:ident($capacity:expr);)*) => {
        mod memory {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $test() {
                super::$test(super::World::memory($capacity)).await;
            })*
        }
        mod redis {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $test() {
                super::$test(super::World::redis($capacity)).await;
            })*
        }
    };
}

conformance! {
    delivers_what_was_pushed_before_and_after_the_start(super::ROOMY);
    delivers_in_the_order_of_the_pushes(super::ROOMY);
    runs_at_most_as_many_at_once_as_there_are_slots(super::ROOMY);
    uses_all_its_slots(super::ROOMY);
    stopping_takes_no_more_work_and_waits_for_the_running(super::ROOMY);
    what_a_stopped_consumer_did_not_begin_another_handles(super::ROOMY);
    one_that_drains_keeps_nothing_from_the_others(super::ROOMY);
    each_message_reaches_one_of_several_consumers(super::ROOMY);
    a_handler_that_panics_costs_neither_the_queue_nor_its_slot(super::ROOMY);
    a_full_queue_refuses_until_there_is_room(2);
}

async fn delivers_what_was_pushed_before_and_after_the_start(world: World) {
    let (pusher, queue) = (world.end().await, world.end().await);
    pusher.push(message(1)).await.unwrap();
    let (handler, mut arrivals) = telling();
    let consumer = Consumer::start(&queue, 2, handler);
    assert_eq!(within(arrivals.recv()).await, Some(1));
    // One after the other: each is delivered by its own push, not by a later one.
    for n in 2..50 {
        pusher.push(message(n)).await.unwrap();
        assert_eq!(within(arrivals.recv()).await, Some(n));
    }
    consumer.stopped().await;
}

async fn delivers_in_the_order_of_the_pushes(world: World) {
    let queue = world.end().await;
    let order: Vec<u128> = (0..30).map(|n| (n * 7) % 30 + 1).collect();
    for n in &order {
        queue.push(message(*n)).await.unwrap();
    }
    let mut work = gated();
    let consumer = Consumer::start(&queue, 1, work.handler.clone());
    for n in order {
        assert_eq!(within(work.arrivals.recv()).await, Some(n));
        work.gate.add_permits(1);
    }
    consumer.stopped().await;
}

async fn runs_at_most_as_many_at_once_as_there_are_slots(world: World) {
    let queue = world.end().await;
    let mut work = gated();
    let consumer = Consumer::start(&queue, 3, work.handler.clone());
    for n in 0..20 {
        queue.push(message(n)).await.unwrap();
    }
    for _ in 0..20 {
        within(work.arrivals.recv()).await.unwrap();
        work.gate.add_permits(1);
    }
    consumer.stopped().await;
    assert!(work.most.load(Ordering::SeqCst) <= 3);
    assert_eq!(work.running.load(Ordering::SeqCst), 0);
}

async fn uses_all_its_slots(world: World) {
    let queue = world.end().await;
    let mut work = gated();
    let consumer = Consumer::start(&queue, 20, work.handler.clone());
    for n in 0..20 {
        queue.push(message(n)).await.unwrap();
    }
    // None of them ends before all have begun.
    for _ in 0..20 {
        within(work.arrivals.recv()).await.unwrap();
    }
    work.gate.add_permits(20);
    consumer.stopped().await;
}

async fn stopping_takes_no_more_work_and_waits_for_the_running(world: World) {
    let queue = world.end().await;
    let mut work = gated();
    let mut consumer = Consumer::start(&queue, 1, work.handler.clone());
    queue.push(message(1)).await.unwrap();
    queue.push(message(2)).await.unwrap();
    assert_eq!(within(work.arrivals.recv()).await, Some(1));
    consumer.stop();
    assert!(!consumer.end.is_finished());
    work.gate.add_permits(2);
    within(consumer.end).await.unwrap();
    assert_eq!(work.running.load(Ordering::SeqCst), 0);
    // Whatever had begun has ended.
    let mut finished = vec![work.finished.try_recv().unwrap()];
    while let Ok(n) = work.arrivals.try_recv() {
        assert_eq!(work.finished.try_recv(), Ok(n));
        finished.push(n);
    }
    assert!(finished == [1] || finished == [1, 2], "{finished:?}");
}

async fn what_a_stopped_consumer_did_not_begin_another_handles(world: World) {
    const ALL: u128 = 300;
    let (first, second) = (world.end().await, world.end().await);
    for n in 0..ALL {
        first.push(message(n)).await.unwrap();
    }
    let (handler, mut arrivals) = telling();
    let consumer = Consumer::start(&first, 4, handler.clone());
    let mut seen = vec![within(arrivals.recv()).await.unwrap()];
    consumer.stopped().await;
    let consumer = Consumer::start(&second, 4, handler);
    while seen.len() < usize::try_from(ALL).unwrap() {
        seen.push(within(arrivals.recv()).await.unwrap());
    }
    consumer.stopped().await;
    assert_eq!(arrivals.try_recv().ok(), None);
    seen.sort_unstable();
    assert!(seen.into_iter().eq(0..ALL));
}

async fn one_that_drains_keeps_nothing_from_the_others(world: World) {
    let (first, second) = (world.end().await, world.end().await);
    let mut work = gated();
    let mut draining = Consumer::start(&first, 2, work.handler.clone());
    first.push(message(1)).await.unwrap();
    assert_eq!(within(work.arrivals.recv()).await, Some(1));
    draining.stop();
    let (handler, mut arrivals) = telling();
    let consumer = Consumer::start(&second, 2, handler);
    for n in 2..20 {
        second.push(message(n)).await.unwrap();
        // The first one may not have heard yet that it is to stop.
        let taker = async {
            tokio::select! {
                n = arrivals.recv() => n,
                n = work.arrivals.recv() => {
                    work.gate.add_permits(1);
                    n
                }
            }
        };
        assert_eq!(within(taker).await, Some(n));
    }
    assert!(!draining.end.is_finished());
    work.gate.add_permits(1);
    within(draining.end).await.unwrap();
    consumer.stopped().await;
}

async fn each_message_reaches_one_of_several_consumers(world: World) {
    const ALL: u128 = 500;
    let pusher = world.end().await;
    let (seen, mut arrivals) = mpsc::unbounded_channel();
    let mut consumers = Vec::new();
    for consumer in 0..3 {
        let seen = seen.clone();
        let handler: Handler = Arc::new(move |message| {
            let seen = seen.clone();
            Box::pin(async move {
                let _ = seen.send((consumer, number(message)));
            })
        });
        consumers.push(Consumer::start(&world.end().await, 2, handler));
    }
    for n in 0..ALL {
        pusher.push(message(n)).await.unwrap();
    }
    let mut numbers = BTreeSet::new();
    for _ in 0..ALL {
        let (_, n) = within(arrivals.recv()).await.unwrap();
        assert!(numbers.insert(n), "{n} came twice");
    }
    for consumer in consumers {
        consumer.stopped().await;
    }
    assert!(arrivals.try_recv().is_err());
}

async fn a_handler_that_panics_costs_neither_the_queue_nor_its_slot(world: World) {
    let queue = world.end().await;
    let (seen, mut arrivals) = mpsc::unbounded_channel();
    let handler: Handler = Arc::new(move |message| {
        let seen = seen.clone();
        Box::pin(async move {
            let _ = seen.send(number(message));
            assert_ne!(number(message), 1, "this handler breaks down");
        })
    });
    let consumer = Consumer::start(&queue, 1, handler);
    for n in 1..4 {
        queue.push(message(n)).await.unwrap();
        assert_eq!(within(arrivals.recv()).await, Some(n));
    }
    consumer.stopped().await;
}

async fn a_full_queue_refuses_until_there_is_room(world: World) {
    let queue = world.end().await;
    queue.push(message(1)).await.unwrap();
    queue.push(message(2)).await.unwrap();
    let refused = queue.push(message(3)).await.unwrap_err();
    assert!(refused.to_string().contains("full"), "{refused}");
    let (handler, mut arrivals) = telling();
    let consumer = Consumer::start(&queue, 1, handler);
    assert_eq!(within(arrivals.recv()).await, Some(1));
    assert_eq!(within(arrivals.recv()).await, Some(2));
    queue.push(message(3)).await.unwrap();
    assert_eq!(within(arrivals.recv()).await, Some(3));
    consumer.stopped().await;
}
