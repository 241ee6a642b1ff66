//! What surrounds every run: clock, randomness, where its lines go, when effects may happen.

use async_trait::async_trait;

use super::{CallContext, CallRecord, CallResult};
use crate::StepError;

/// The clock scripts read.
pub trait Clock: Send + Sync {
    /// Microseconds since 1970-01-01T00:00:00Z.
    fn now_micros(&self) -> i64;
}

/// The randomness scripts read (`crypto.random_bytes`, `uuid`). `math.random` is seeded by
/// [`Invocation::seed`](crate::Invocation::seed) instead.
pub trait Entropy: Send + Sync {
    /// Fills `buffer`.
    fn fill(&self, buffer: &mut [u8]);
}

/// How important a line is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Level {
    /// `log.debug`
    Debug,
    /// `print`, `io.write` and `log.info`
    Info,
    /// `log.warn`
    Warn,
    /// `log.error`
    Error,
}

/// Where a run's lines and progress go. Called in order, from one run at a time; must not block.
pub trait Sink: Send + Sync {
    /// A whole line, without newline, within the limits. An error ends the step.
    fn line(&self, level: Level, text: &str) -> Result<(), StepError>;

    /// `progress(fraction, message)`: the fraction lies within 0 and 1, the message within
    /// [`Limits::log_line_bytes`](crate::Limits::log_line_bytes).
    fn progress(&self, fraction: f64, message: Option<&str>);
}

/// Holds effectful calls back until what they build on is recorded.
#[async_trait]
pub trait EffectGate: Send + Sync {
    /// Awaited before each effectful call. Time spent here does not count to the wall time.
    async fn ready(&self, call: &CallContext) -> CallResult<()>;
}

/// Learns of every counted call after its end.
pub trait Journal: Send + Sync {
    /// Must not block; an implementation that stores it queues it.
    fn record(&self, record: CallRecord);
}
