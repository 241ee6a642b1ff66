//! One sandbox: its store, its memory, its end. Its guest's calls are in [`call`].

mod call;

use std::time::Instant;

use wasmtime::{Memory, ResourceLimiter, Store, Trap};

pub(crate) use self::call::define_host_imports;
use crate::engine::INSTRUCTIONS_PER_FUEL;
use crate::host::{Host, StopError};
use crate::meter::StopReason;
use crate::wire::Failure;
use crate::{CompileError, ErrorCode, Limits, StepError};

/// The longest text of an error that a guest may hand over: message, traceback and details.
pub(crate) const MAX_FAILURE: u32 = 1024 * 1024;

/// The longest a panic message is kept.
const MAX_NOTE: usize = 2_048;

/// What the host knows of one sandbox.
pub(crate) struct SandboxState {
    host: Host,
    limits: Limits,
    memory: Option<Memory>,
    limiter: MemoryLimiter,
    /// The invocation, until the guest has taken it.
    invocation: Vec<u8>,
    /// An answer that did not fit into the guest's buffer.
    waiting: Vec<u8>,
    /// How it ended, if the guest said so or a limit did.
    end: Option<GuestEnd>,
    /// Why the host ended it.
    stopped: StopError,
    note: Vec<u8>,
    pace: YieldClock,
    bytes_in: u64,
    bytes_out: u64,
}

/// How a sandbox ended, as far as can be known where it ran. What it means is for [`classify`] to say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum GuestEnd {
    /// The value, as JSON text.
    Value(Vec<u8>),
    /// The failure that the guest reports, as JSON text ([`Failure`]).
    Failure(Vec<u8>),
    /// A limit that is kept beside the guest: fuel, memory, output, log.
    Limit(ErrorCode),
    /// Lua recursed too deeply.
    StackOverflow,
    /// The host wanted it.
    ByHost,
    /// An error of the host or the guest; what is known of it, for the log.
    Broken(String),
}

/// What became of a sandbox.
pub(crate) enum SandboxResult {
    /// It ended; and why the host ended it, if it did.
    Ended(GuestEnd, StopError),
    /// A limit that is kept from outside, or a cancel.
    Stopped(StopReason),
    /// The process that it was in is gone, or none could be had.
    Lost(String),
}

/// What a sandbox used, as far as can be known where it ran.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct SandboxUsage {
    pub(crate) fuel: u64,
    pub(crate) memory_peak: u64,
    pub(crate) bytes_in: u64,
    pub(crate) bytes_out: u64,
}

/// When the sandbox last returned to its executor, as far as its calls know.
///
/// wasmtime yields by itself after an interval of fuel. But charging fuel ([`call`]) sets the fuel
/// anew, and with it that interval: a script that makes calls often enough would never yield. So the
/// calls themselves yield when an interval has gone by.
struct YieldClock {
    /// Fuel left then.
    fuel: u64,
    time: Instant,
}

impl SandboxState {
    pub(crate) fn new(host: Host, limits: Limits, invocation: Vec<u8>) -> Self {
        Self {
            host,
            memory: None,
            limiter: MemoryLimiter { limit: limits.memory_bytes, peak: 0, hit: false },
            invocation,
            waiting: Vec::new(),
            end: None,
            stopped: None,
            note: Vec::new(),
            pace: YieldClock { fuel: limits.fuel.saturating_mul(INSTRUCTIONS_PER_FUEL), time: Instant::now() },
            bytes_in: 0,
            bytes_out: 0,
            limits,
        }
    }

    /// Who answered its calls.
    pub(crate) fn host(&self) -> &Host {
        &self.host
    }

    /// What it may use up.
    pub(crate) fn fuel_limit(&self) -> u64 {
        self.limits.fuel
    }

    /// Why the host ended it.
    pub(crate) fn take_stopped(&mut self) -> StopError {
        self.stopped.take()
    }

    pub(crate) fn limiter(&mut self) -> &mut dyn ResourceLimiter {
        &mut self.limiter
    }

    pub(crate) fn set_memory(&mut self, memory: Memory) {
        self.memory = Some(memory);
    }

    pub(crate) fn memory(&self) -> wasmtime::Result<Memory> {
        self.memory.ok_or_else(|| wasmtime::Error::msg("the guest has no memory yet"))
    }

    /// Keeps what the guest wrote to its standard error, bounded.
    pub(crate) fn append_stderr(&mut self, text: &[u8]) {
        let room = MAX_NOTE.saturating_sub(self.note.len());
        self.note.extend_from_slice(&text[..text.len().min(room)]);
    }

    /// Ends the sandbox because the host wants it: the guest cannot catch it.
    fn stop(&mut self, why: StopError) -> wasmtime::Error {
        self.stopped = why;
        self.end_with(GuestEnd::ByHost)
    }

    fn end_at_limit(&mut self, code: ErrorCode) -> wasmtime::Error {
        self.end_with(GuestEnd::Limit(code))
    }

    fn end_with(&mut self, end: GuestEnd) -> wasmtime::Error {
        self.end = Some(end);
        wasmtime::Error::msg("ended by the host")
    }
}

/// Counts and bounds the linear memory. Growth past the limit traps, so a script cannot catch it.
struct MemoryLimiter {
    limit: u64,
    peak: u64,
    hit: bool,
}

impl ResourceLimiter for MemoryLimiter {
    fn memory_growing(&mut self, _: usize, desired: usize, _: Option<usize>) -> wasmtime::Result<bool> {
        let desired = desired as u64;
        if desired > self.limit {
            self.hit = true;
            return Err(wasmtime::Error::msg("memory limit"));
        }
        self.peak = self.peak.max(desired);
        Ok(true)
    }

    fn table_growing(&mut self, _: usize, desired: usize, _: Option<usize>) -> wasmtime::Result<bool> {
        Ok(desired <= 10_000)
    }
}

/// What a call of the guest's `run` came to.
pub(crate) enum RunResult {
    /// The value, as JSON text.
    Value(String),
    /// A source does not compile.
    Compile(CompileError),
    /// Anything else.
    Error(StepError),
}

/// Reads the end of a run out of its store.
pub(crate) fn guest_end(store: &mut Store<SandboxState>, called: wasmtime::Result<()>) -> GuestEnd {
    let state = store.data_mut();
    if state.limiter.hit {
        return GuestEnd::Limit(ErrorCode::MemoryLimit);
    }
    match (called, state.end.take()) {
        (Ok(()), Some(end)) | (Err(_), Some(end @ (GuestEnd::ByHost | GuestEnd::Limit(_)))) => end,
        (Ok(()), None) => GuestEnd::Broken("it gave no result".to_owned()),
        (Err(error), _) => match error.downcast_ref::<Trap>() {
            Some(Trap::OutOfFuel) => GuestEnd::Limit(ErrorCode::FuelExhausted),
            Some(Trap::StackOverflow) => GuestEnd::StackOverflow,
            _ => {
                // Of a panic the place alone: its message may quote what the script holds.
                let note = String::from_utf8_lossy(&state.note);
                GuestEnd::Broken(format!("{error}; {}", note.lines().next().unwrap_or_default()))
            }
        },
    }
}

/// What the sandbox of this store used.
pub(crate) fn usage(store: &Store<SandboxState>) -> SandboxUsage {
    let state = store.data();
    SandboxUsage {
        fuel: state.limits.fuel.saturating_sub(store.get_fuel().unwrap_or_default() / INSTRUCTIONS_PER_FUEL),
        memory_peak: state.limiter.peak,
        bytes_in: state.bytes_in,
        bytes_out: state.bytes_out,
    }
}

/// What an end means. `stopped` is why the host ended it, if it did.
pub(crate) fn classify(end: GuestEnd, stopped: StopError, limits: &Limits) -> RunResult {
    let internal = |message: &str| RunResult::Error(StepError::new(ErrorCode::Internal, message));
    match end {
        GuestEnd::Value(json) => match String::from_utf8(json) {
            Ok(json) => RunResult::Value(json),
            Err(_) => internal("the sandbox gave a malformed result"),
        },
        GuestEnd::Failure(json) => match serde_json::from_slice(&json) {
            Ok(failure) => failed(failure),
            Err(_) => internal("the sandbox gave a malformed error"),
        },
        GuestEnd::Limit(code) => RunResult::Error(StepError::limit(code, limits)),
        GuestEnd::StackOverflow => RunResult::Error(StepError::new(ErrorCode::ScriptError, "stack overflow")),
        GuestEnd::ByHost => match stopped {
            Some(error) => RunResult::Error(*error),
            None => internal("the sandbox ended by itself"),
        },
        GuestEnd::Broken(note) => {
            tracing::error!(note, "a sandbox failed");
            internal("the sandbox failed")
        }
    }
}

fn failed(failure: Failure) -> RunResult {
    let details: Option<Box<serde_json::Value>> =
        failure.details.as_deref().and_then(|details| serde_json::from_str(details).ok());
    let code = match failure.kind.as_str() {
        "script_error" => ErrorCode::ScriptError,
        "syntax_error" => {
            let place = details.unwrap_or_default();
            let number = |name: &str| place[name].as_u64().and_then(|n| u32::try_from(n).ok()).unwrap_or(1);
            return RunResult::Compile(CompileError {
                file: place["file"].as_str().unwrap_or_default().to_owned(),
                line: number("line"),
                column: number("column"),
                message: failure.message,
            });
        }
        "result_not_json" => ErrorCode::ResultNotJson,
        "input_not_json" => ErrorCode::InputNotJson,
        _ => {
            // Not its message, which may quote what the script holds.
            tracing::error!(message_bytes = failure.message.len(), "a guest failed");
            return RunResult::Error(StepError::new(ErrorCode::Internal, "the sandbox failed"));
        }
    };
    let retryable = failure.retryable.unwrap_or_else(|| code.retryable());
    RunResult::Error(StepError { code, message: failure.message, details, traceback: failure.traceback, retryable })
}
