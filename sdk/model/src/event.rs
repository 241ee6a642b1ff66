//! What happens in a run, as its watchers see it: one numbered sequence per run.

use serde::{Deserialize, Serialize};

use crate::{
    status::{RunStatus, StepStatus},
    time::Timestamp,
};

/// One event of a run. `seq` counts from 1 within the run, without gaps.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Event {
    /// Its place in the run's sequence.
    pub seq: i64,
    /// When the control-plane recorded it.
    pub at: Timestamp,
    /// What happened.
    #[serde(flatten)]
    pub kind: EventKind,
}

/// Which step, which item of it and which attempt an event speaks of.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct StepRef {
    /// The step's name in the document.
    pub step: String,
    /// The item of a `for_each`, from 1; absent for the step itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub index: Option<u32>,
    /// The attempt, from 1.
    pub attempt: u32,
}

/// What happened.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(tag = "type")]
pub enum EventKind {
    /// The run was recorded and waits for an executor.
    #[serde(rename = "run.queued")]
    RunQueued {},
    /// An executor took the run on for the first time.
    #[serde(rename = "run.started")]
    RunStarted {},
    /// A script starts.
    #[serde(rename = "step.started")]
    StepStarted {
        /// The step, its item and its attempt.
        #[serde(flatten)]
        step: StepRef,
        /// For a `for_each` step itself (no `index`): how many items it has.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        items: Option<u32>,
    },
    /// Lines that a script printed: whole lines, at most 32 KiB together.
    #[serde(rename = "step.output")]
    StepOutput {
        /// The step, its item and its attempt.
        #[serde(flatten)]
        step: StepRef,
        /// The number of the first of these lines within the attempt, from 1.
        first_line: u64,
        /// The lines.
        lines: Vec<Line>,
    },
    /// A script moved its progress bar.
    #[serde(rename = "step.progress")]
    StepProgress {
        /// The step, its item and its attempt.
        #[serde(flatten)]
        step: StepRef,
        /// From 0 to 1.
        fraction: f64,
        /// What the script says about it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        message: Option<String>,
    },
    /// An attempt failed and another follows.
    #[serde(rename = "step.retrying")]
    StepRetrying {
        /// The attempt that failed.
        #[serde(flatten)]
        step: StepRef,
        /// The error that caused it.
        error: StepError,
        /// How long until the next attempt, in milliseconds.
        delay_ms: u64,
        /// What the failed attempt used.
        #[serde(default)]
        usage: Usage,
    },
    /// The executor was lost: the attempt is repeated and its output so far is discarded.
    #[serde(rename = "step.lost")]
    StepLost {
        /// The step, its item and its attempt.
        #[serde(flatten)]
        step: StepRef,
    },
    /// The step waits for a moment or for somebody.
    #[serde(rename = "step.waiting")]
    StepWaiting {
        /// The step, its item and its attempt.
        #[serde(flatten)]
        step: StepRef,
        /// Until when, where it is known.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        until: Option<Timestamp>,
        /// How long in all, in milliseconds, where waiting is what the step does; absent where it waits for another
        /// attempt.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        delay_ms: Option<u64>,
    },
    /// The step ended.
    #[serde(rename = "step.finished")]
    StepFinished {
        /// The step, its item and its attempt.
        #[serde(flatten)]
        step: StepRef,
        /// How; always a terminal status.
        status: StepStatus,
        /// What the script returned, as JSON; absent unless it succeeded.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        #[cfg_attr(feature = "openapi", schema(value_type = Option<serde_json::Value>))]
        output: Option<serde_json::Value>,
        /// Why it did not succeed; for a skipped step, why it was skipped.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        error: Option<StepError>,
        /// What it used.
        #[serde(default)]
        usage: Usage,
    },
    /// The run ended; nothing follows.
    #[serde(rename = "run.finished")]
    RunFinished {
        /// How; always a terminal status.
        status: RunStatus,
        /// Why it did not succeed.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        error: Option<StepError>,
    },
}

/// A line that a script printed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Line {
    /// How it was printed.
    pub level: Level,
    /// The line without its end.
    pub text: String,
}

/// How a line was printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum Level {
    /// By `log.debug`.
    Debug,
    /// By `print` or `log.info`.
    Info,
    /// By `log.warn`.
    Warn,
    /// By `log.error`.
    Error,
}

/// Why a step or a run did not succeed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct StepError {
    /// A stable code, such as `script_error` or `fuel_exhausted`.
    pub code: String,
    /// For people; names the limit and its value where one was exceeded.
    pub message: String,
    /// What the script passed to `error{…}`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<Object>))]
    pub details: Option<serde_json::Value>,
    /// Where in the script's files.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub traceback: Option<String>,
}

impl StepError {
    /// An error of the platform's own, with nothing but a code and a message.
    pub fn new(code: impl Into<String>, message: impl Into<String>) -> Self {
        Self { code: code.into(), message: message.into(), details: None, traceback: None }
    }
}

/// What an attempt used.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(default)]
pub struct Usage {
    /// Fuel: a unit is 16 WebAssembly instructions, about a nanosecond.
    pub fuel: u64,
    /// Processor time in milliseconds.
    pub cpu_ms: u64,
    /// Wall time in milliseconds, without the time spent waiting on our own services.
    pub wall_ms: u64,
    /// The largest linear memory, in bytes.
    pub memory_peak: u64,
    /// Host calls.
    pub host_calls: u64,
    /// Bytes received by host calls.
    pub bytes_in: u64,
    /// Bytes sent by host calls.
    pub bytes_out: u64,
}
