//! The engine: compiles the guest once, then makes sandboxes.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use sha2::{Digest, Sha256};
use tokio::sync::Semaphore;
use wasmtime::{InstancePre, Linker, Module, Store};

use crate::dispatch::Dispatcher;
use crate::host::Host;
use crate::invocation::GuestRecords;
use crate::meter::{RunAllowance, StopReason, WallClock, run_metered};
use crate::sandbox::{RunResult, SandboxResult, SandboxState};
use crate::shares::ProcessorShares;
use crate::{
    CompileError, ErrorCode, HostContext, Invocation, Isolation, IsolationReport, Limits, Outcome, Source, StepError,
    Usage, compile, sandbox, wasi,
};

/// The Lua guest: built from `guest/` by its build script, which also checks that it is.
static GUEST: &[u8] = include_bytes!("../guest.wasm");

/// Changes when settings change that can change a result or its fuel.
const SETTINGS: &str = "wasmtime 48, settings 2";

/// For compiling one source, where nobody says how much: one of the largest size takes a small part.
const CHECK_FUEL: u64 = 10 * Limits::DEFAULT.fuel;

/// Fuel between two returns to the executor: about a millisecond.
pub(crate) const YIELD_FUEL: u64 = 1_000_000;

/// WebAssembly instructions to one unit of fuel. Most instructions of a compiled interpreter are
/// free (they name locals and constants), so this many take about a nanosecond.
pub(crate) const INSTRUCTIONS_PER_FUEL: u64 = 16;

/// How an engine is made.
#[derive(Debug, Clone)]
pub struct EngineConfig {
    /// Sandboxes alive at once; a further [`Engine::run`] waits for a place. Costs address space
    /// (8 GiB each), not memory.
    pub max_sandboxes: u32,
    /// Where compiled code is kept between processes: a folder that only this user can write to,
    /// made if absent. None, or a folder that cannot be used: the guest is compiled at every start (half a second).
    pub cache_dir: Option<PathBuf>,
    /// Where sandboxes run.
    pub isolation: Isolation,
}

impl Default for EngineConfig {
    fn default() -> Self {
        Self { max_sandboxes: 256, cache_dir: None, isolation: Isolation::Thread }
    }
}

/// An engine that could not be made, or a sandbox that could not be run.
#[derive(Debug, thiserror::Error)]
#[error("{context}: {reason}")]
pub struct EngineError {
    context: &'static str,
    reason: String,
}

impl EngineError {
    pub(crate) fn new(context: &'static str, reason: impl fmt::Display) -> Self {
        Self { context, reason: reason.to_string() }
    }
}

/// What a result depends on besides sources, inputs and answers: a hash of the guest, the version
/// of wasmtime and the settings that change fuel.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, serde::Serialize)]
pub struct EngineId(Arc<str>);

impl EngineId {
    /// 16 hexadecimal digits.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    fn new() -> Self {
        use std::fmt::Write as _;
        let mut hash = Sha256::new();
        hash.update(GUEST);
        hash.update(SETTINGS);
        let mut text = String::new();
        for byte in hash.finalize().iter().take(8) {
            let _ = write!(text, "{byte:02x}");
        }
        Self(text.into())
    }
}

impl fmt::Display for EngineId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Makes sandboxes. Cheap to clone; clones share everything.
#[derive(Clone)]
pub struct Engine(Arc<EngineShared>);

struct EngineShared {
    id: EngineId,
    backend: Backend,
    places: Semaphore,
    shares: ProcessorShares,
}

/// Where sandboxes run.
enum Backend {
    /// On whatever thread polls them.
    Here { engine: wasmtime::Engine, guest: InstancePre<SandboxState> },
    /// In worker processes.
    #[cfg(target_os = "linux")]
    Processes(crate::process::Workers),
}

impl fmt::Debug for Engine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Engine").field("id", &self.0.id).finish_non_exhaustive()
    }
}

/// What compiling one source said.
#[derive(Debug, Clone)]
pub struct CheckReport {
    /// Why it does not compile.
    pub error: Option<CompileError>,
    /// The fuel that it took; all that there was, where it ended for want of it.
    pub fuel: u64,
}

impl Engine {
    /// Compiles the guest, or loads it from the cache. Takes up to a second: not for an async
    /// thread.
    pub fn new(config: EngineConfig) -> Result<Self, EngineError> {
        let EngineConfig { max_sandboxes, cache_dir, isolation } = config;
        let id = EngineId::new();
        let backend = match isolation {
            Isolation::Thread => {
                let (engine, module) = compiled(max_sandboxes, cache_dir.as_deref())?;
                let guest = link(&engine, &module).map_err(|error| EngineError::new("linking the guest", error))?;
                Backend::Here { engine, guest }
            }
            #[cfg(target_os = "linux")]
            Isolation::Process(process) => {
                let code = Self::machine_code(cache_dir.as_deref())?;
                Backend::Processes(crate::process::Workers::start(&process, &code)?)
            }
            #[cfg(not(target_os = "linux"))]
            Isolation::Process(_) => {
                return Err(EngineError::new("keeping sandboxes in processes of their own", "that takes Linux"));
            }
        };
        let processors = std::thread::available_parallelism().map_or(2, usize::from);
        let places = Semaphore::new(max_sandboxes as usize);
        Ok(Self(Arc::new(EngineShared { id, backend, places, shares: ProcessorShares::new(processors - 1) })))
    }

    /// The guest's machine code, for another process on this machine.
    #[cfg(target_os = "linux")]
    pub(crate) fn machine_code(cache_dir: Option<&Path>) -> Result<Vec<u8>, EngineError> {
        // The engine makes no sandbox here: one place costs the least address space.
        let (_, module) = compiled(1, cache_dir)?;
        module.serialize().map_err(|error| EngineError::new("copying the guest's code", error))
    }

    /// What keeps worker processes in; nothing where sandboxes run on threads.
    pub fn isolation(&self) -> Option<&IsolationReport> {
        match &self.0.backend {
            Backend::Here { .. } => None,
            #[cfg(target_os = "linux")]
            Backend::Processes(workers) => Some(workers.report()),
        }
    }

    /// What results depend on besides the invocation and the answers.
    pub fn id(&self) -> &EngineId {
        &self.0.id
    }

    /// Runs a script or expression in a fresh sandbox. Dropping the future ends the sandbox.
    pub async fn run(&self, invocation: Invocation, host_context: HostContext) -> Outcome {
        let limits = invocation.limits.clamped();
        if let Err(code) = check_bounds(&invocation, &limits) {
            return Outcome { result: Err(StepError::limit(code, &limits)), usage: Usage::default() };
        }
        let records = GuestRecords::for_run(&invocation, &limits);
        let (ended, usage) = self.sandbox(records, limits, host_context).await;
        let result = match ended {
            RunResult::Value(json) => Ok(json),
            RunResult::Error(error) => Err(error),
            RunResult::Compile(error) => {
                let details = serde_json::json!({ "file": error.file, "line": error.line, "column": error.column });
                Err(StepError {
                    details: Some(Box::new(details)),
                    ..StepError::new(ErrorCode::SyntaxError, error.to_string())
                })
            }
        };
        Outcome { result, usage }
    }

    /// Compiles scripts without running them. The inner error lists the sources that do not
    /// compile, one error each.
    pub async fn check(&self, sources: &[Source]) -> Result<Result<(), Vec<CompileError>>, EngineError> {
        let mut errors = Vec::new();
        for source in sources {
            errors.extend(self.check_within(source, false, CHECK_FUEL).await?.error);
        }
        Ok(if errors.is_empty() { Ok(()) } else { Err(errors) })
    }

    /// The same for one expression (`if`, `for_each`).
    pub async fn check_expression(&self, expression: &Source) -> Result<Result<(), CompileError>, EngineError> {
        Ok(self.check_within(expression, true, CHECK_FUEL).await?.error.map_or(Ok(()), Err))
    }

    /// The same for one script or expression with at most so much fuel, and how much it took.
    pub async fn check_within(&self, source: &Source, expression: bool, fuel: u64) -> Result<CheckReport, EngineError> {
        let limits = Limits { fuel, memory_bytes: Limits::HARD_MAX.memory_bytes, ..Limits::DEFAULT };
        let too_long = source.text.len() as u64 > Limits::HARD_MAX.source_bytes;
        let at_start = |error: StepError| CompileError {
            file: source.name.to_string(),
            line: 1,
            column: 1,
            message: error.message,
        };
        if too_long {
            let error = StepError::limit(ErrorCode::SourceLimit, &Limits::HARD_MAX);
            return Ok(CheckReport { error: Some(at_start(error)), fuel: 0 });
        }
        let records = GuestRecords::for_check(source, expression, &limits);
        let (ended, usage) = self.sandbox(records, limits, compile::compile_only_context()).await;
        let error = match ended {
            RunResult::Value(_) => None,
            RunResult::Compile(error) => Some(error),
            RunResult::Error(error) if error.code == ErrorCode::Internal => {
                return Err(EngineError::new("compiling a script", error));
            }
            RunResult::Error(error) => Some(at_start(error)),
        };
        Ok(CheckReport { error, fuel: usage.fuel })
    }

    async fn sandbox(&self, records: GuestRecords, limits: Limits, host_context: HostContext) -> (RunResult, Usage) {
        let failed = |reason: &dyn fmt::Display| {
            tracing::error!(%reason, "a sandbox could not be made");
            RunResult::Error(StepError::new(ErrorCode::Internal, "the sandbox could not be made"))
        };
        let cancel = host_context.cancel.clone();
        let place = cancel.run_until_cancelled(self.0.places.acquire()).await;
        let _place = match place {
            Some(Ok(place)) => place,
            Some(Err(error)) => return (failed(&error), Usage::default()),
            None => return (RunResult::Error(StepError::limit(ErrorCode::Cancelled, &limits)), Usage::default()),
        };
        let start = tokio::time::Instant::now();
        let clock = WallClock::default();
        let (shares, owner) = (&self.0.shares, host_context.owner);
        let allowed = RunAllowance { cpu: limits.cpu_time, wall: limits.wall_time, shares, owner };
        let (records, modules) = records.into_parts();
        let mut dispatcher = Dispatcher::new(host_context, limits.clone(), clock.clone()).with_modules(modules);
        let (came, spent, cpu, calls) = match &self.0.backend {
            Backend::Here { engine, guest } => {
                let host = Host::Here(Box::new(dispatcher));
                let mut store = match new_store(engine, SandboxState::new(host, limits.clone(), records)) {
                    Ok(store) => store,
                    Err(error) => return (failed(&error), Usage::default()),
                };
                let (driven, cpu) = run_metered(call_guest(guest, &mut store), allowed, &clock, &cancel).await;
                let came = match driven {
                    Ok(called) => {
                        SandboxResult::Ended(sandbox::guest_end(&mut store, called), store.data_mut().take_stopped())
                    }
                    Err(stop) => SandboxResult::Stopped(stop),
                };
                (came, sandbox::usage(&store), cpu, store.data().host().calls())
            }
            #[cfg(target_os = "linux")]
            Backend::Processes(workers) => {
                let ran = crate::process::run_in_worker(workers, &mut dispatcher, &records, &clock, allowed, &cancel);
                let (came, spent, cpu) = ran.await;
                (came, spent, cpu, dispatcher.calls())
            }
        };
        let ended = match came {
            SandboxResult::Ended(end, stopped) => sandbox::classify(end, stopped, &limits),
            SandboxResult::Stopped(stop) => RunResult::Error(StepError::limit(
                match stop {
                    StopReason::CpuTime => ErrorCode::CpuTimeLimit,
                    StopReason::WallTime => ErrorCode::WallTimeLimit,
                    StopReason::Cancelled => ErrorCode::Cancelled,
                },
                &limits,
            )),
            SandboxResult::Lost(reason) => {
                tracing::error!(reason, "a sandbox was lost");
                let message = "the process of the sandbox ended before the script did: this is not the script's fault";
                let code = ErrorCode::Host("sandbox_lost".into());
                RunResult::Error(StepError { retryable: true, ..StepError::new(code, message) })
            }
        };
        let usage = Usage {
            fuel: spent.fuel,
            cpu_ms: milliseconds(cpu),
            wall_ms: milliseconds(start.elapsed()),
            memory_peak: spent.memory_peak,
            host_calls: calls,
            bytes_in: spent.bytes_in,
            bytes_out: spent.bytes_out,
        };
        (ended, usage)
    }
}

/// An engine with so many places, and the guest compiled for it.
fn compiled(max_sandboxes: u32, cache_dir: Option<&Path>) -> Result<(wasmtime::Engine, Module), EngineError> {
    let engine = compile::engine(max_sandboxes, compile::MEMORY_KEPT)
        .map_err(|error| EngineError::new("making the engine", error))?;
    let module = compile::guest(&engine, GUEST, EngineId::new().as_str(), cache_dir)?;
    Ok((engine, module))
}

/// The guest with all that it imports.
pub(crate) fn link(engine: &wasmtime::Engine, module: &Module) -> wasmtime::Result<InstancePre<SandboxState>> {
    let mut linker = Linker::new(engine);
    wasi::define(&mut linker, module)?;
    sandbox::define_host_imports(&mut linker)?;
    linker.instantiate_pre(module)
}

/// The store of one sandbox, with its fuel.
pub(crate) fn new_store(engine: &wasmtime::Engine, state: SandboxState) -> wasmtime::Result<Store<SandboxState>> {
    let fuel = state.fuel_limit();
    let mut store = Store::new(engine, state);
    store.limiter(SandboxState::limiter);
    store.set_fuel(fuel.saturating_mul(INSTRUCTIONS_PER_FUEL))?;
    store.fuel_async_yield_interval(Some(YIELD_FUEL * INSTRUCTIONS_PER_FUEL))?;
    Ok(store)
}

/// Makes the instance and calls its `run`.
pub(crate) async fn call_guest(
    guest: &InstancePre<SandboxState>,
    store: &mut Store<SandboxState>,
) -> wasmtime::Result<()> {
    let instance = guest.instantiate_async(&mut *store).await?;
    let memory = instance
        .get_memory(&mut *store, "memory")
        .ok_or_else(|| wasmtime::Error::msg("the guest exports no memory"))?;
    store.data_mut().set_memory(memory);
    instance.get_typed_func::<(), ()>(&mut *store, "run")?.call_async(store, ()).await
}

/// What is bounded before anything is copied.
fn check_bounds(invocation: &Invocation, limits: &Limits) -> Result<(), ErrorCode> {
    let long = |source: &Source| source.text.len() as u64 > limits.source_bytes;
    if long(&invocation.entry) || invocation.modules.iter().any(long) {
        return Err(ErrorCode::SourceLimit);
    }
    if invocation.globals.bytes() > limits.input_bytes {
        return Err(ErrorCode::InputLimit);
    }
    Ok(())
}

fn milliseconds(time: std::time::Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}
