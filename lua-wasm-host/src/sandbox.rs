//! One sandbox: its store, its memory, its guest's calls.

use std::time::{Duration, Instant};

use wasmtime::{Caller, Linker, Memory, ResourceLimiter, Store, Trap};

use crate::dispatch::Answer;
use crate::engine::{INSTRUCTIONS_PER_FUEL, YIELD_FUEL};
use crate::host::{Host, StopError};
use crate::meter::StopReason;
use crate::wire::{GuestFailure, op};
use crate::{CompileError, ErrorCode, Limits, StepError};

/// Fuel that a host calls costs, besides one unit for each byte it carries.
const CALL_FUEL: u64 = 2_000;

/// Fuel that throwing an exception costs: about the time it takes the engine, in nanoseconds.
const THROW_FUEL: u64 = 3_000;

/// Fuel that a byte of randomness costs: an executor derives it with a hash.
const RANDOM_BYTE_FUEL: u64 = 5;

/// Fuel that a look into the time zone database costs.
const ZONE_FUEL: u64 = 3_000;

/// How long a sandbox runs between two returns to its executor if it makes calls meanwhile, whatever
/// fuel says of it: fuel is not quite time.
const POLL_TIME: Duration = Duration::from_millis(2);

/// The longest text of an error that a guest may hand over: message, traceback and details.
pub(crate) const MAX_FAILURE: u32 = 1024 * 1024;

/// The longest name of a module that is looked up.
const MAX_MODULE_NAME: u32 = 4 * 1024;

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
    /// The failure that the guest reports, as JSON text ([`GuestFailure`]).
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
/// wasmtime yields by itself after an interval of fuel. But charging fuel ([`charge`]) sets the fuel
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

/// Adds the host interface to what a guest can import.
pub(crate) fn define_host_imports(linker: &mut Linker<SandboxState>) -> wasmtime::Result<()> {
    linker.func_wrap_async(
        "restroy",
        "door",
        |caller: Caller<'_, SandboxState>,
         (op, head, head_len, body, body_len, answer, capacity): (u32, u32, u32, u32, u32, u32, u32)| {
            let call = GuestCall { op, head: (head, head_len), body: (body, body_len), answer: (answer, capacity) };
            Box::new(call.serve(caller))
        },
    )?;
    Ok(())
}

/// One call of the guest: places and lengths in its memory.
struct GuestCall {
    op: u32,
    head: (u32, u32),
    body: (u32, u32),
    answer: (u32, u32),
}

impl GuestCall {
    async fn serve(self, mut caller: Caller<'_, SandboxState>) -> wasmtime::Result<i64> {
        charge(&mut caller, if self.op == op::THROW { THROW_FUEL } else { CALL_FUEL })?;
        pause(&mut caller).await?;
        match self.op {
            op::THROW => return Ok(0),
            op::FUEL => {
                let used = caller.data().limits.fuel.saturating_sub(caller.get_fuel()? / INSTRUCTIONS_PER_FUEL);
                return Ok(i64::try_from(used)?);
            }
            op::TAKE => {
                let waiting = std::mem::take(&mut caller.data_mut().waiting);
                return self.answer(&mut caller, waiting);
            }
            op::INVOCATION => {
                let invocation = std::mem::take(&mut caller.data_mut().invocation);
                return self.answer(&mut caller, invocation);
            }
            op::MODULE => {
                let name = read(&mut caller, (self.head.0, self.head.1.min(MAX_MODULE_NAME)))?;
                return match caller.data_mut().host.call(op::MODULE, &name, Vec::new()).await {
                    Ok(mut answer) => {
                        // The guest takes the text alone.
                        answer.drain(..Answer::BODY.min(answer.len()));
                        charge(&mut caller, answer.len() as u64)?;
                        self.answer(&mut caller, answer)
                    }
                    Err(why) => Err(caller.data_mut().stop(why)),
                };
            }
            op::OUT_OF_MEMORY => return Err(caller.data_mut().end_at_limit(ErrorCode::MemoryLimit)),
            op::DONE => {
                if u64::from(self.body.1) > caller.data().limits.output_bytes {
                    return Err(caller.data_mut().end_at_limit(ErrorCode::OutputLimit));
                }
                charge(&mut caller, u64::from(self.body.1))?;
                let result = read(&mut caller, self.body)?;
                caller.data_mut().end = Some(GuestEnd::Value(result));
                return Ok(0);
            }
            op::FAILED => {
                if self.head.1 > MAX_FAILURE {
                    wasmtime::bail!("an error that is too long");
                }
                charge(&mut caller, u64::from(self.head.1))?;
                let failure = read(&mut caller, self.head)?;
                caller.data_mut().end = Some(GuestEnd::Failure(failure));
                return Ok(0);
            }
            _ => {}
        }
        let carried = u64::from(self.head.1) + u64::from(self.body.1);
        charge(&mut caller, carried)?;
        match self.op {
            op::NOW => caller.data().host.now().map_err(|why| caller.data_mut().stop(why)),
            op::RANDOM => self.random(&mut caller),
            op::LOG => {
                // Bounded before it is copied.
                if u64::from(self.body.1) > caller.data().limits.log_bytes {
                    return Err(caller.data_mut().end_at_limit(ErrorCode::LogLimit));
                }
                let level = read(&mut caller, (self.head.0, self.head.1.min(1)))?;
                let text = read(&mut caller, self.body)?;
                match caller.data_mut().host.log(level.first().copied(), &text) {
                    Ok(()) => Ok(0),
                    Err(why) => Err(caller.data_mut().stop(why)),
                }
            }
            _ => {
                if self.op == op::ZONE {
                    charge(&mut caller, ZONE_FUEL)?;
                }
                let bound = caller.data().limits.host_call_bytes;
                let answer = if carried > bound {
                    Ok(Answer::too_large(carried, bound).into_bytes())
                } else {
                    let head = read(&mut caller, self.head)?;
                    let body = read(&mut caller, self.body)?;
                    caller.data_mut().host.call(self.op, &head, body).await
                };
                match answer {
                    Ok(bytes) => {
                        charge(&mut caller, bytes.len() as u64)?;
                        self.answer(&mut caller, bytes)
                    }
                    Err(why) => Err(caller.data_mut().stop(why)),
                }
            }
        }
    }

    /// Writes the answer, or keeps it until it is taken. Gives its length.
    fn answer(&self, caller: &mut Caller<'_, SandboxState>, bytes: Vec<u8>) -> wasmtime::Result<i64> {
        let length = i64::try_from(bytes.len())?;
        if bytes.len() > self.answer.1 as usize {
            caller.data_mut().waiting = bytes;
            return Ok(length);
        }
        let state = caller.data_mut();
        state.bytes_in = state.bytes_in.saturating_add(bytes.len() as u64);
        let memory = state.memory()?;
        memory.write(caller, self.answer.0 as usize, &bytes)?;
        Ok(length)
    }

    fn random(&self, caller: &mut Caller<'_, SandboxState>) -> wasmtime::Result<i64> {
        let length = self.answer.1;
        if u64::from(length) > caller.data().limits.host_call_bytes {
            wasmtime::bail!("asked for too much randomness");
        }
        charge(caller, RANDOM_BYTE_FUEL * u64::from(length))?;
        let memory = caller.data().memory()?;
        let (data, state) = memory.data_and_store_mut(caller);
        let start = self.answer.0 as usize;
        let buffer = data
            .get_mut(start..start + length as usize)
            .ok_or_else(|| wasmtime::Error::msg("a call with a place outside the memory"))?;
        match state.host.random(buffer) {
            Ok(()) => Ok(i64::from(length)),
            Err(why) => Err(state.stop(why)),
        }
    }
}

/// Copies from the guest's memory. The caller has bounded the length.
fn read(caller: &mut Caller<'_, SandboxState>, (start, length): (u32, u32)) -> wasmtime::Result<Vec<u8>> {
    let memory = caller.data().memory()?;
    let (data, state) = memory.data_and_store_mut(caller);
    let start = start as usize;
    let bytes = data
        .get(start..start + length as usize)
        .ok_or_else(|| wasmtime::Error::msg("a call with a place outside the memory"))?
        .to_vec();
    state.bytes_out = state.bytes_out.saturating_add(u64::from(length));
    Ok(bytes)
}

/// Takes fuel for work of the host.
fn charge(caller: &mut Caller<'_, SandboxState>, fuel: u64) -> wasmtime::Result<()> {
    let left = caller.get_fuel()?;
    let fuel = fuel.saturating_mul(INSTRUCTIONS_PER_FUEL);
    caller.set_fuel(left.saturating_sub(fuel))?;
    if left < fuel { Err(Trap::OutOfFuel.into()) } else { Ok(()) }
}

/// Returns to the executor if the sandbox has run for long enough, or is cancelled: whoever polls it
/// then looks at its limits.
async fn pause(caller: &mut Caller<'_, SandboxState>) -> wasmtime::Result<()> {
    let left = caller.get_fuel()?;
    let state = caller.data_mut();
    let fuel = state.pace.fuel.saturating_sub(left);
    if fuel >= YIELD_FUEL * INSTRUCTIONS_PER_FUEL || state.pace.time.elapsed() >= POLL_TIME || state.host.is_cancelled()
    {
        caller.data().host.pause().await;
        caller.data_mut().pace = YieldClock { fuel: left, time: Instant::now() };
    }
    Ok(())
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

fn failed(failure: GuestFailure) -> RunResult {
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
