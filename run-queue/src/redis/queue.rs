//! The queue on Redis: a sorted set of task ids.
//!
//! **Push** is one script: at most [`CAPACITY`] ids wait, an id that waits already stays where it
//! is, and a push to an empty queue is said aloud. **Take** is one `ZPOPMIN` of as many ids as there
//! are free slots. An executor that has slots to spare takes when a slot gets free, when it hears of
//! a push, when its connection comes to stand, and once a [`LOOK`]. That hearing of the pushes to an
//! *empty* queue is enough: whoever has a free slot has emptied the queue, so the next push is one of
//! those.
//!
//! A message is gone from Redis with its taking. What an executor took and could not begin because it was asked to
//! stop it puts back; what it took and lost with its own life nobody claims, and the dispatcher pushes it again
//! after a few seconds.

use std::{
    future::Future,
    pin::Pin,
    sync::{
        Arc, LazyLock,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use redis::{RedisError, RedisResult, Script};
use restroy_sdk::ids::TaskId;
use tokio::{
    sync::{Notify, OwnedSemaphorePermit, Semaphore, mpsc},
    time::sleep,
};
use tokio_util::sync::CancellationToken;

use super::{
    RedisOptions,
    link::{ConnectionObserver, Link, LinkPurpose, NoopObserver, RETRY},
    probe::{CachedProbe, unavailable},
};
use crate::{
    queue::{Handler, Message, Queue, QueueError, QueueUnavailable},
    work::{Delivery, TaskSource},
};

/// How many messages may wait. The dispatcher admits at most 1,000; the rest is room for those whose
/// tasks ended meanwhile, which nobody takes out before an executor does.
const CAPACITY: usize = 4_000;
/// How often an executor with free slots looks, whether it heard of a push or not.
const LOOK: Duration = Duration::from_secs(1);
/// How many messages are taken at once. Few, so that what was pushed in one go spreads over all the
/// executors that have free slots.
const BATCH: usize = 8;

/// KEYS: the queue. ARGV: capacity, channel, id. Gives 1, or 0 when it is full, and how many wait.
static PUSH: LazyLock<Script> = LazyLock::new(|| {
    Script::new(
        r"
        local waiting = redis.call('ZCARD', KEYS[1])
        if not redis.call('ZSCORE', KEYS[1], ARGV[3]) then
            if waiting >= tonumber(ARGV[1]) then
                return {0, waiting}
            end
            local place = 1
            if waiting > 0 then
                place = tonumber(redis.call('ZRANGE', KEYS[1], -1, -1, 'WITHSCORES')[2]) + 1
            end
            redis.call('ZADD', KEYS[1], place, ARGV[3])
            waiting = waiting + 1
            if waiting > 1 then
                return {1, waiting}
            end
        end
        redis.call('PUBLISH', ARGV[2], '')
        return {1, waiting}
        ",
    )
});

/// A queue on Redis. Of any number of processes that push and that consume, each message reaches one.
#[derive(Debug)]
pub struct RedisQueue {
    options: RedisOptions,
    key: String,
    channel: String,
    capacity: usize,
    link: Link,
    /// How many wait, as of the newest push.
    waiting: AtomicU64,
    probe: CachedProbe,
}

impl RedisQueue {
    /// The queue under the options' prefix. Must be called within a tokio runtime; returns at once,
    /// whether Redis answers or not.
    pub fn start(options: &RedisOptions) -> Self {
        Self::with_capacity(options, CAPACITY)
    }

    /// The same, refusing pushes when so many messages wait, at least one.
    pub fn with_capacity(options: &RedisOptions, capacity: usize) -> Self {
        let purpose = LinkPurpose { what: "the queue", channels: Vec::new(), ear: Arc::new(NoopObserver) };
        Self {
            key: options.name("queue"),
            channel: options.name("pushed"),
            capacity: capacity.max(1),
            link: Link::start(options.client(), purpose),
            waiting: AtomicU64::new(0),
            probe: CachedProbe::default(),
            options: options.clone(),
        }
    }

    /// Whether Redis answers at present. Costs no call.
    pub fn connected(&self) -> bool {
        self.link.connected()
    }

    /// Waits until [`RedisQueue::connected`].
    pub async fn until_connected(&self) {
        self.link.standing().await;
    }

    /// How many messages wait, as of this process's newest push. Costs no call.
    pub fn waiting(&self) -> u64 {
        self.waiting.load(Ordering::Relaxed)
    }

    /// How many messages wait, asked of Redis.
    pub async fn count(&self) -> Result<u64, QueueError> {
        let mut connection = self.link.connection().ok_or_else(disconnected)?;
        let count = redis::cmd("ZCARD").arg(&self.key).query_async(&mut connection).await;
        let count = count.map_err(|error| self.failed(&error))?;
        self.waiting.store(count, Ordering::Relaxed);
        Ok(count)
    }

    fn failed(&self, error: &RedisError) -> QueueError {
        self.link.failed(error);
        QueueError(error.to_string())
    }
}

fn disconnected() -> QueueError {
    QueueError("Redis does not answer".to_owned())
}

#[async_trait]
impl Queue for RedisQueue {
    async fn push(&self, message: Message) -> Result<(), QueueError> {
        let mut connection = self.link.connection().ok_or_else(disconnected)?;
        let mut push = PUSH.key(&self.key);
        push.arg(self.capacity).arg(&self.channel).arg(message.task_id.to_string());
        let (taken, waiting): (bool, u64) =
            push.invoke_async(&mut connection).await.map_err(|error| self.failed(&error))?;
        self.waiting.store(waiting, Ordering::Relaxed);
        if taken { Ok(()) } else { Err(QueueError("it is full".to_owned())) }
    }

    async fn check(&self) -> Result<(), QueueUnavailable> {
        self.probe.check(&self.link, &self.key).await
    }

    async fn consume(&self, slots: usize, handler: Handler, stop: Pin<Box<dyn Future<Output = ()> + Send>>) {
        let slots = slots.max(1);
        let pushed = Arc::new(PushObserver(Notify::new()));
        let purpose =
            LinkPurpose { what: "the consumer", channels: vec![self.channel.clone()], ear: Arc::clone(&pushed) as _ };
        let (sender, taken) = TaskSource::channel(slots);
        let stopped = CancellationToken::new();
        // Whoever drops this future stops taking; what was begun continues.
        let _dropped = stopped.clone().drop_guard();
        let feeder = QueueConsumer {
            link: Link::start(self.options.client(), purpose),
            key: self.key.clone(),
            channel: self.channel.clone(),
            pushed,
            slots: Arc::new(Semaphore::new(slots)),
            taken: sender,
            stopped: stopped.clone(),
        };
        // A task of its own: a reply of Redis that is under way is never dropped.
        let feeder = tokio::spawn(feeder.feed());
        let stopping = async {
            // Nothing can come any more: the same as being stopped, and the caller hears of it.
            tokio::select! {
                () = stop => {}
                () = stopped.cancelled() => {}
            }
            stopped.cancel();
            match feeder.await {
                Ok(feeder) => feeder.return_messages(&taken.drain()).await,
                Err(error) => tracing::error!(%error, "the queue's consumer failed"),
            }
        };
        let working = async {
            taken.run_workers(&handler, &stopped).await;
            stopped.cancel();
        };
        tokio::join!(working, stopping);
    }
}

/// Hears of pushes.
struct PushObserver(Notify);

impl ConnectionObserver for PushObserver {
    fn on_message(&self, _: &[u8]) {
        self.0.notify_one();
    }

    fn on_connected(&self) {
        self.0.notify_one();
    }
}

/// Takes messages as slots get free.
struct QueueConsumer {
    link: Link,
    key: String,
    channel: String,
    pushed: Arc<PushObserver>,
    slots: Arc<Semaphore>,
    /// As long as there are slots: a send never waits.
    taken: mpsc::Sender<Delivery<f64>>,
    stopped: CancellationToken,
}

impl QueueConsumer {
    /// Until it is stopped; gives itself back, to put back what was not begun.
    async fn feed(self) -> Self {
        let stopped = self.stopped.clone();
        let mut refused = None;
        while let Some(Ok(slot)) = stopped.run_until_cancelled(Arc::clone(&self.slots).acquire_owned()).await {
            let mut slots = vec![slot];
            while slots.len() < BATCH
                && let Ok(slot) = Arc::clone(&self.slots).try_acquire_owned()
            {
                slots.push(slot);
            }
            let wanted = slots.len();
            let wait = match self.take(wanted).await {
                Ok(messages) => {
                    refused = None;
                    let emptied = messages.len() < wanted;
                    self.hand_over(messages, slots).await;
                    emptied.then_some(LOOK)
                }
                Err(error) => {
                    drop(slots);
                    self.link.failed(&error);
                    match unavailable(&error) {
                        // Said once: the link says when Redis does not answer.
                        why if why != QueueUnavailable::Away && refused != Some(why) => {
                            tracing::error!(key = self.key, "nothing can be taken from the queue: {why}");
                            refused = Some(why);
                        }
                        _ => tracing::debug!(%error, "nothing can be taken from the queue"),
                    }
                    Some(RETRY)
                }
            };
            if let Some(wait) = wait {
                tokio::select! {
                    () = stopped.cancelled() => {}
                    () = self.pushed.0.notified() => {}
                    () = sleep(wait) => {}
                }
            }
        }
        self
    }

    /// At most so many, the first first.
    async fn take(&self, most: usize) -> RedisResult<Vec<(String, f64)>> {
        let Some(Some(mut connection)) = self.stopped.run_until_cancelled(self.link.standing()).await else {
            return Ok(Vec::new());
        };
        redis::cmd("ZPOPMIN").arg(&self.key).arg(most).query_async(&mut connection).await
    }

    async fn hand_over(&self, messages: Vec<(String, f64)>, slots: Vec<OwnedSemaphorePermit>) {
        let mut back = Vec::new();
        for ((id, place), slot) in messages.into_iter().zip(slots) {
            let Ok(task_id) = id.parse::<TaskId>() else {
                tracing::warn!("the queue held something other than a task's id");
                continue;
            };
            let delivery = Delivery { message: Message { task_id }, place, slot };
            if self.stopped.is_cancelled() {
                back.push(delivery);
            } else if let Err(refused) = self.taken.try_send(delivery) {
                back.push(refused.into_inner());
            }
        }
        self.return_messages(&back).await;
    }

    /// Puts messages back to where they stood, for others to take.
    async fn return_messages(&self, deliveries: &[Delivery<f64>]) {
        let Some(mut connection) = self.link.connection().filter(|_| !deliveries.is_empty()) else { return };
        let mut pipeline = redis::pipe();
        pipeline.atomic().cmd("ZADD").arg(&self.key).arg("NX");
        for delivery in deliveries {
            pipeline.arg(delivery.place).arg(delivery.message.task_id.to_string());
        }
        pipeline.ignore().cmd("PUBLISH").arg(&self.channel).arg("").ignore();
        if let Err(error) = pipeline.query_async::<()>(&mut connection).await {
            tracing::debug!(%error, "messages cannot be returned to the queue; their tasks are pushed again");
        }
    }
}
