//! The queue within one process, seen from both its ends.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use restroy_run_queue::{
    memory::MemoryQueue,
    queue::{Handler, Message, Queue},
};
use restroy_sdk::ids::TaskId;
use tokio::sync::{Semaphore, mpsc, oneshot};
use uuid::Uuid;

/// Long enough for any machine; a test that gets here has failed.
const PATIENCE: Duration = Duration::from_secs(30);

fn message(n: u128) -> Message {
    Message { task_id: TaskId(Uuid::from_u128(n)) }
}

/// Starts a consumer; gives its stop and its end.
fn consumer(
    queue: &Arc<MemoryQueue>,
    slots: usize,
    handler: Handler,
) -> (oneshot::Sender<()>, tokio::task::JoinHandle<()>) {
    let (stop, stopped) = oneshot::channel();
    let queue = Arc::clone(queue);
    let task = tokio::spawn(async move {
        let stopped = Box::pin(async move {
            let _ = stopped.await;
        });
        queue.consume(slots, handler, stopped).await;
    });
    (stop, task)
}

async fn within<T>(what: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, what).await.expect("it does not happen")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn delivers_what_was_pushed_before_and_after_the_start() {
    let queue = Arc::new(MemoryQueue::new());
    queue.push(message(1)).await.unwrap();
    let (seen, mut arrivals) = mpsc::unbounded_channel();
    let handler: Handler = Arc::new(move |message| {
        let seen = seen.clone();
        Box::pin(async move {
            let _ = seen.send(message);
        })
    });
    let (stop, end) = consumer(&queue, 2, handler);
    assert_eq!(within(arrivals.recv()).await, Some(message(1)));
    // One after the other: each is delivered by its own push, not by a later one.
    for n in 2..50 {
        queue.push(message(n)).await.unwrap();
        assert_eq!(within(arrivals.recv()).await, Some(message(n)));
    }
    stop.send(()).unwrap();
    within(end).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn runs_at_most_as_many_at_once_as_there_are_slots() {
    let queue = Arc::new(MemoryQueue::new());
    let (running, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let gate = Arc::new(Semaphore::new(0));
    let (seen, mut arrivals) = mpsc::unbounded_channel();
    let handler: Handler = {
        let (running, most, gate) = (Arc::clone(&running), Arc::clone(&most), Arc::clone(&gate));
        Arc::new(move |message| {
            let (running, most, gate, seen) =
                (Arc::clone(&running), Arc::clone(&most), Arc::clone(&gate), seen.clone());
            Box::pin(async move {
                most.fetch_max(running.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                let _ = seen.send(message);
                gate.acquire().await.unwrap().forget();
                running.fetch_sub(1, Ordering::SeqCst);
            })
        })
    };
    let (stop, end) = consumer(&queue, 3, handler);
    for n in 0..20 {
        queue.push(message(n)).await.unwrap();
    }
    for _ in 0..20 {
        within(arrivals.recv()).await.unwrap();
        gate.add_permits(1);
    }
    stop.send(()).unwrap();
    within(end).await.unwrap();
    assert!(most.load(Ordering::SeqCst) <= 3);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn stopping_takes_nothing_more_and_waits_for_what_is_at_work() {
    let queue = Arc::new(MemoryQueue::new());
    let gate = Arc::new(Semaphore::new(0));
    let finished = Arc::new(AtomicUsize::new(0));
    let (seen, mut arrivals) = mpsc::unbounded_channel();
    let handler: Handler = {
        let (gate, finished) = (Arc::clone(&gate), Arc::clone(&finished));
        Arc::new(move |message| {
            let (gate, finished, seen) = (Arc::clone(&gate), Arc::clone(&finished), seen.clone());
            Box::pin(async move {
                let _ = seen.send(message);
                gate.acquire().await.unwrap().forget();
                finished.fetch_add(1, Ordering::SeqCst);
            })
        })
    };
    let (stop, end) = consumer(&queue, 1, handler);
    queue.push(message(1)).await.unwrap();
    queue.push(message(2)).await.unwrap();
    within(arrivals.recv()).await.unwrap();
    stop.send(()).unwrap();
    assert!(!end.is_finished());
    gate.add_permits(2);
    within(end).await.unwrap();
    // The one that was at work ended; if the second was taken before the stop arrived, it ended too.
    let begun = 1 + usize::from(arrivals.try_recv().is_ok());
    assert_eq!(finished.load(Ordering::SeqCst), begun);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_handler_that_panics_costs_neither_the_queue_nor_its_slot() {
    let queue = Arc::new(MemoryQueue::new());
    let (seen, mut arrivals) = mpsc::unbounded_channel();
    let handler: Handler = Arc::new(move |message| {
        let seen = seen.clone();
        Box::pin(async move {
            let _ = seen.send(message);
            assert_ne!(message, self::message(1), "this handler breaks down");
        })
    });
    let (stop, end) = consumer(&queue, 1, handler);
    for n in 1..4 {
        queue.push(message(n)).await.unwrap();
        assert_eq!(within(arrivals.recv()).await, Some(message(n)));
    }
    stop.send(()).unwrap();
    within(end).await.unwrap();
}

#[tokio::test]
async fn a_full_queue_refuses() {
    let queue = MemoryQueue::with_capacity(2);
    queue.push(message(1)).await.unwrap();
    queue.push(message(2)).await.unwrap();
    let refused = queue.push(message(3)).await.unwrap_err();
    assert!(refused.to_string().contains("full"), "{refused}");
}
