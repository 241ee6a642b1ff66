//! Whether Redis takes the queue's messages, found out by trying.

use std::time::Duration;

use redis::{RedisError, aio::MultiplexedConnection};
use tokio::{
    sync::Mutex,
    time::{Instant, timeout},
};

use super::link::Link;
use crate::queue::QueueUnavailable;

/// How long the probe's answer holds: whoever asks for it may ask often.
const INTERVAL: Duration = Duration::from_secs(2);
/// How long Redis has to answer.
const TIMEOUT: Duration = Duration::from_secs(3);

/// What the probe found when it was made last. One is made at a time.
#[derive(Debug, Default)]
pub(super) struct CachedProbe(Mutex<Option<(Instant, Result<(), QueueUnavailable>)>>);

impl CachedProbe {
    /// Whether the queue under this key can be written.
    pub(super) async fn check(&self, link: &Link, queue: &str) -> Result<(), QueueUnavailable> {
        let mut last = self.0.lock().await;
        if let Some((at, found)) = last.as_ref()
            && at.elapsed() < INTERVAL
        {
            return *found;
        }
        let found = match link.connection() {
            None => Err(QueueUnavailable::Away),
            Some(connection) => match timeout(TIMEOUT, probe(connection, queue)).await {
                Ok(Ok(())) => Ok(()),
                Ok(Err(error)) => {
                    link.failed(&error);
                    Err(unavailable(&error))
                }
                Err(_) => Err(QueueUnavailable::Away),
            },
        };
        let before = last.as_ref().map_or(Ok(()), |(_, found)| *found);
        match found {
            Err(unusable) if before != found => tracing::error!("{unusable}"),
            Ok(()) if before.is_err() => tracing::info!("Redis takes the queue's messages again"),
            _ => {}
        }
        *last = Some((Instant::now(), found));
        found
    }
}

/// A write that changes nothing: it would move a member that is never there. Redis refuses it as it would a push,
/// and an executor's rights suffice for it.
async fn probe(mut redis: MultiplexedConnection, queue: &str) -> Result<(), RedisError> {
    redis::cmd("ZADD").arg(queue).arg("XX").arg(0).arg("probe").exec_async(&mut redis).await
}

/// What a refusal of Redis means.
pub(super) fn unavailable(error: &RedisError) -> QueueUnavailable {
    match error.code() {
        Some("OOM") => QueueUnavailable::OutOfMemory,
        Some("WRONGTYPE") => QueueUnavailable::WrongType,
        // A replica, or one that cannot keep what it is given.
        Some("READONLY" | "MISCONF" | "NOREPLICAS") => QueueUnavailable::ReadOnly,
        _ => QueueUnavailable::Away,
    }
}
