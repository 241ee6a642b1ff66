//! What surrounds every attempt: the clock, where its lines go, when its effects may happen.

use std::sync::atomic::{AtomicU64, Ordering};

use async_trait::async_trait;
use lua_wasm_host::{CallContext, CallRecord, CallResult, EffectGate, Journal, Level, Sink, StepError};
use restroy_sdk::{event, time::Ambient};

use super::attempt::AttemptContext;
use crate::metrics::CallOutcome;

/// The clock that scripts read.
pub(crate) struct ScriptClock(pub(crate) Ambient);

impl lua_wasm_host::Clock for ScriptClock {
    fn now_micros(&self) -> i64 {
        self.0.now().micros()
    }
}

/// Takes lines and progress of one attempt: masked, numbered, reported.
pub(crate) struct LineSink {
    pub(crate) attempt: std::sync::Arc<AttemptContext>,
    pub(crate) printed: AtomicU64,
}

impl Sink for LineSink {
    fn line(&self, level: Level, text: &str) -> Result<(), StepError> {
        let level = match level {
            Level::Debug => event::Level::Debug,
            Level::Info => event::Level::Info,
            Level::Warn => event::Level::Warn,
            Level::Error => event::Level::Error,
        };
        let task = &self.attempt.task;
        self.attempt.ensure_masking_budget()?;
        let text = task.masker.mask_counting(text, &self.attempt.masking);
        let number = self.printed.fetch_add(1, Ordering::Relaxed) + 1;
        task.reporter.line(&self.attempt.step, number, event::Line { level, text });
        task.progress.record_progress();
        Ok(())
    }

    fn progress(&self, fraction: f64, message: Option<&str>) {
        let task = &self.attempt.task;
        // The limit on log lines, which these count as, is what bounds them.
        let message = message.map(|message| task.masker.mask_counting(message, &self.attempt.masking));
        task.reporter.progress(&self.attempt.step, fraction, message);
        task.progress.record_progress();
    }
}

#[async_trait]
impl EffectGate for AttemptContext {
    /// An effect waits until all that its step builds on is recorded: a crash can then only repeat
    /// what nobody has seen.
    async fn ready(&self, _call: &CallContext) -> CallResult<()> {
        tokio::select! {
            () = self.task.reporter.committed(self.builds_on) => Ok(()),
            () = self.task.api.lost.cancelled() => Err(super::attempt::lease_lost()),
        }
    }
}

impl Journal for AttemptContext {
    fn record(&self, record: CallRecord) {
        self.task.progress.record_progress();
        let called = if record.error.is_some() { CallOutcome::Error } else { CallOutcome::Ok };
        self.task.tools.metrics.host_call(record.call.kind.as_str(), called);
        // Targets may carry secrets in a query or a key; they stay out of the trace.
        tracing::debug!(
            run_id = %self.task.run_id,
            step = self.step.step,
            index = self.step.index,
            call = record.call.number,
            kind = record.call.kind.as_str(),
            error = record.error,
            status = record.http_status,
            took_us = u64::try_from(record.took.as_micros()).unwrap_or(u64::MAX),
            "host call"
        );
    }
}
