//! How a run ended and what it used.

use std::borrow::Cow;
use std::fmt;

use serde::{Deserialize, Serialize};

use crate::Limits;

/// The end of one run.
#[derive(Debug, Clone)]
pub struct Outcome {
    /// The value the script returned, as JSON text (`null` when it returned nothing).
    pub result: Result<String, StepError>,
    /// What it used, whether it succeeded or not.
    pub usage: Usage,
}

/// What one run used.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Usage {
    /// Fuel, host calls included. The limit itself when it ran out.
    pub fuel: u64,
    /// Processor time, milliseconds.
    pub cpu_ms: u64,
    /// From start to end, milliseconds, time that does not count to the limit included.
    pub wall_ms: u64,
    /// Largest linear memory, bytes.
    pub memory_peak: u64,
    /// Counted host calls (see [`Limits::host_calls`]).
    pub host_calls: u64,
    /// Bytes that entered the sandbox: globals and answers to calls.
    pub bytes_in: u64,
    /// Bytes that left it: the result, log lines and calls.
    pub bytes_out: u64,
}

/// Why a run failed. Stable: the strings ([`ErrorCode::as_str`]) are stored and shown.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorCode {
    /// The script raised an error and nobody caught it.
    ScriptError,
    /// A source does not compile.
    SyntaxError,
    /// The returned value has no JSON form (a function, a cycle, NaN, text that is not UTF-8).
    ResultNotJson,
    /// A global is not JSON that a script can have: a number beyond a double's range, half of a surrogate pair, more
    /// than 127 levels.
    InputNotJson,
    /// [`Limits::fuel`].
    FuelExhausted,
    /// [`Limits::memory_bytes`].
    MemoryLimit,
    /// [`Limits::cpu_time`].
    CpuTimeLimit,
    /// [`Limits::wall_time`].
    WallTimeLimit,
    /// [`Limits::source_bytes`].
    SourceLimit,
    /// [`Limits::input_bytes`].
    InputLimit,
    /// [`Limits::output_bytes`].
    OutputLimit,
    /// [`Limits::log_bytes`].
    LogLimit,
    /// [`Limits::log_line_bytes`].
    LogLineLimit,
    /// [`Limits::host_calls`].
    HostCallLimit,
    /// [`Limits::http_requests`].
    HttpRequestLimit,
    /// [`Door::cancel`](crate::Door::cancel) was triggered.
    Cancelled,
    /// An error of the host or of the guest, not of the script.
    Internal,
    /// Ended by the embedder with a code of its own
    /// ([`CallFailure::EndStep`](crate::CallFailure::EndStep)).
    Host(Cow<'static, str>),
}

impl ErrorCode {
    /// The stable name.
    pub fn as_str(&self) -> &str {
        match self {
            Self::ScriptError => "script_error",
            Self::SyntaxError => "syntax_error",
            Self::ResultNotJson => "result_not_json",
            Self::InputNotJson => "input_not_json",
            Self::FuelExhausted => "fuel_exhausted",
            Self::MemoryLimit => "memory_limit",
            Self::CpuTimeLimit => "cpu_time_limit",
            Self::WallTimeLimit => "wall_time_limit",
            Self::SourceLimit => "source_limit",
            Self::InputLimit => "input_limit",
            Self::OutputLimit => "output_limit",
            Self::LogLimit => "log_limit",
            Self::LogLineLimit => "log_line_limit",
            Self::HostCallLimit => "host_call_limit",
            Self::HttpRequestLimit => "http_request_limit",
            Self::Cancelled => "cancelled",
            Self::Internal => "internal",
            Self::Host(code) => code,
        }
    }

    /// Whether trying again may help when the error itself does not say: not where the same run
    /// would end the same way.
    pub fn retryable(&self) -> bool {
        matches!(self, Self::ScriptError | Self::CpuTimeLimit | Self::WallTimeLimit | Self::Internal)
    }
}

impl fmt::Display for ErrorCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl Serialize for ErrorCode {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

/// The error a run ended with.
#[derive(Debug, Clone, PartialEq, Serialize, thiserror::Error)]
#[error("{code}: {message}")]
pub struct StepError {
    /// The kind.
    pub code: ErrorCode,
    /// For people. Names the limit and its value when a limit was hit.
    pub message: String,
    /// What the script passed to `error{…}`, or the table a failed host call raised, as JSON.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub details: Option<Box<serde_json::Value>>,
    /// Lua frames, innermost first, one a line (`scripts/a.lua:3: in function 'f'`). Names only the
    /// invocation's own sources.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub traceback: Option<String>,
    /// Whether trying again may help: what the script said (`error{retryable = …}`), or
    /// [`ErrorCode::retryable`].
    pub retryable: bool,
}

impl StepError {
    /// The guest cuts the message of an error to so many bytes, marked at its end. So one that is as long as this may
    /// have been cut anywhere: an embedder that masks messages must treat its end as the beginning of anything.
    pub const MESSAGE_BYTES: usize = 64 * 1024;

    /// An error of this code, with neither details nor traceback.
    pub fn new(code: ErrorCode, message: impl Into<String>) -> Self {
        let retryable = code.retryable();
        Self { code, message: message.into(), details: None, traceback: None, retryable }
    }

    /// The error of a limit that was hit, from the limits in force.
    pub(crate) fn limit(code: ErrorCode, limits: &Limits) -> Self {
        let message = match code {
            ErrorCode::FuelExhausted => {
                format!("the step used up its fuel (limit: {} units)", limits.fuel)
            }
            ErrorCode::MemoryLimit => {
                format!("the step ran out of memory (limit: {})", bytes(limits.memory_bytes))
            }
            ErrorCode::CpuTimeLimit => {
                format!("the step used up its processor time (limit: {:?})", limits.cpu_time)
            }
            ErrorCode::WallTimeLimit => {
                format!("the step took too long (limit: {:?})", limits.wall_time)
            }
            ErrorCode::SourceLimit => {
                format!("a script is too long (limit: {})", bytes(limits.source_bytes))
            }
            ErrorCode::InputLimit => {
                format!("the inputs are too large (limit: {})", bytes(limits.input_bytes))
            }
            ErrorCode::OutputLimit => {
                format!("the returned value is too large (limit: {})", bytes(limits.output_bytes))
            }
            ErrorCode::LogLimit => {
                format!("the step logged too much (limit: {})", bytes(limits.log_bytes))
            }
            ErrorCode::LogLineLimit => {
                format!("a log line is too long (limit: {})", bytes(limits.log_line_bytes))
            }
            ErrorCode::HostCallLimit => {
                format!("the step made too many host calls (limit: {})", limits.host_calls)
            }
            ErrorCode::HttpRequestLimit => {
                format!("the step made too many http requests (limit: {})", limits.http_requests)
            }
            ErrorCode::Cancelled => "the step was cancelled".to_owned(),
            _ => code.as_str().to_owned(),
        };
        Self::new(code, message)
    }
}

/// A source that does not compile.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, thiserror::Error)]
#[error("{file}:{line}:{column}: {message}")]
pub struct CompileError {
    /// [`Source::name`](crate::Source::name).
    pub file: String,
    /// From 1.
    pub line: u32,
    /// From 1, in bytes. The start of the token the compiler stopped at.
    pub column: u32,
    /// What the compiler said, without the place.
    pub message: String,
}

/// A size for people, exact.
pub(crate) fn bytes(n: u64) -> String {
    const KIB: u64 = 1024;
    const MIB: u64 = 1024 * KIB;
    match n {
        n if n >= MIB && n.is_multiple_of(MIB) => format!("{} MiB", n / MIB),
        n if n >= KIB && n.is_multiple_of(KIB) => format!("{} KiB", n / KIB),
        n => format!("{n} bytes"),
    }
}
