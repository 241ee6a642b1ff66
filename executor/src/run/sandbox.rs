//! One sandbox: from what a script is given to what became of it.

use std::{
    panic::AssertUnwindSafe,
    sync::{Arc, atomic::AtomicU64},
    time::Duration,
};

use futures_util::FutureExt;
use lua_wasm_host::{ErrorCode, Globals, Grants, HostContext, Invocation, Level, Limits, Mode, Outcome, Sink, Source};
use restroy_sdk::{
    document::{Allow, Step},
    event::{StepError, Usage},
    origin::InvalidOrigin,
    status::StepStatus,
};
use restroy_tenant_executor::TenantError;
use tokio::time::Instant;
use tracing::Instrument as _;

use super::{seed::Seed, task::TaskContext};
use crate::{
    capability::{
        ambient::{LineSink, ScriptClock},
        attempt::{AttemptContext, secret_in_output},
        files::AttemptFiles,
        http::AttemptHttp,
    },
    json::{self, JsonProblem, MAX_VALUES},
    mask::{self, Budget, Masker},
    report::cut,
    tenant_work,
};

/// How long after its wall time a sandbox may still be ending, before it counts as stuck.
const GRACE: Duration = Duration::from_secs(10);
/// What a `for_each` expression may give: all its items.
const ITEMS_BYTES: u64 = 4 * 1024 * 1024;

/// What of an error is reported, in bytes. Larger details are left out.
const MESSAGE_BYTES: usize = 8 * 1024;
const TRACEBACK_BYTES: usize = 16 * 1024;
const DETAILS_BYTES: usize = 64 * 1024;

/// Why an attempt did not succeed.
#[derive(Debug)]
pub(super) struct AttemptFailure {
    pub(super) status: StepStatus,
    pub(super) error: Box<StepError>,
    pub(super) retryable: bool,
}

impl AttemptFailure {
    /// A failure of the platform's own, which trying again does not help.
    pub(super) fn new(code: &str, message: impl Into<String>) -> Self {
        Self { status: StepStatus::Failed, error: Box::new(StepError::new(code, message)), retryable: false }
    }

    /// Work of the step was not done.
    pub(super) fn not_in_turn(error: TenantError, what: &str) -> Self {
        let (code, message) = tenant_work::describe(error, what);
        Self { retryable: true, ..Self::new(code, message) }
    }
}

/// What became of a sandbox.
pub(super) struct SandboxResult {
    /// The returned value, as the JSON text that it is.
    pub(super) result: Result<Arc<str>, AttemptFailure>,
    pub(super) usage: Usage,
}

/// Executes a step's script once.
pub(super) async fn script(
    attempt: Arc<AttemptContext>,
    step: &Step,
    entry: &Source,
    inputs: Arc<str>,
    item: Option<Arc<str>>,
) -> SandboxResult {
    let task = Arc::clone(&attempt.task);
    let grants = match grants(&step.allow) {
        Ok(grants) => grants,
        Err(error) => return failed(AttemptFailure::new("invalid_origin", format!("`allow.http`: {error}"))),
    };
    let seed = Seed::new(&task.seed, &attempt.step, attempt.epoch);
    let mut limits = task.limits.clone();
    if let Some(timeout) = step.timeout {
        limits.wall_time = timeout.into();
    }
    let invocation = Invocation {
        entry: entry.clone(),
        modules: task.modules(&entry.name),
        globals: Globals {
            params: Some(Arc::clone(&task.params)),
            inputs: Some(inputs),
            item,
            index: attempt.step.index.map(u64::from),
            config: Some(task.config(&attempt.step.step, true)),
            run: Some(task.run(&attempt.step)),
        },
        limits,
        seed: seed.numbers(),
        mode: Mode::Script,
    };
    let lines = LineSink { attempt: Arc::clone(&attempt), printed: AtomicU64::new(0) };
    let http = AttemptHttp {
        attempt: Arc::clone(&attempt),
        outbound: task.tools.outbound.clone(),
        at_once: Arc::clone(&task.requests),
    };
    let files = AttemptFiles { attempt: Arc::clone(&attempt), scratch: Arc::clone(&task.scratch) };
    let clock = Arc::new(ScriptClock(task.tools.ambient.clone()));
    let host_context = HostContext {
        grants,
        secrets: task.secrets(&attempt.step.step),
        http: Some(Arc::new(http)),
        kv: Some(Arc::clone(&attempt) as _),
        mail: Some(Arc::clone(&attempt) as _),
        files: Some(Arc::new(files)),
        gate: Some(Arc::clone(&attempt) as _),
        journal: Some(attempt),
        cancel: task.api.lost.child_token(),
        owner: Some(task.owner),
        ..HostContext::new(clock, Arc::new(seed.bytes()), Arc::new(lines))
    };
    let begun = Instant::now();
    let ended = run(&task, invocation, host_context).await;
    let status = ended.result.as_ref().map_or_else(|failure| failure.status, |_| StepStatus::Succeeded);
    task.tools.metrics.step(status, begun.elapsed());
    ended
}

/// Evaluates an expression of the document (`if`, `for_each`): it sees what the script would, but
/// for secrets, and can do nothing.
pub(super) async fn expression(
    attempt: Arc<AttemptContext>,
    field: &str,
    text: &str,
    inputs: Arc<str>,
) -> SandboxResult {
    struct NullSink;
    impl Sink for NullSink {
        fn line(&self, _: Level, _: &str) -> Result<(), lua_wasm_host::StepError> {
            Ok(())
        }
        fn progress(&self, _: f64, _: Option<&str>) {}
    }

    let task = Arc::clone(&attempt.task);
    let seed = Seed::new(&task.seed, &attempt.step, attempt.epoch);
    let name = format!("steps.{}.{field}", attempt.step.step);
    let mut invocation = Invocation::expression(name, text);
    invocation.globals = Globals {
        params: Some(Arc::clone(&task.params)),
        inputs: Some(inputs),
        config: Some(task.config(&attempt.step.step, false)),
        run: Some(task.run(&attempt.step)),
        ..Globals::default()
    };
    invocation.limits = Limits { output_bytes: ITEMS_BYTES, ..task.limits.clone() };
    invocation.seed = seed.numbers();
    let clock = Arc::new(ScriptClock(task.tools.ambient.clone()));
    let host_context = HostContext {
        cancel: task.api.lost.child_token(),
        owner: Some(task.owner),
        ..HostContext::new(clock, Arc::new(seed.bytes()), Arc::new(NullSink))
    };
    run(&task, invocation, host_context).await
}

fn grants(allow: &Allow) -> Result<Grants, InvalidOrigin> {
    let http = allow.http.iter().map(|origin| origin.parse()).collect::<Result<_, _>>()?;
    Ok(Grants { http, kv: allow.kv, email: allow.email, files: allow.files })
}

async fn run(task: &TaskContext, invocation: Invocation, host_context: HostContext) -> SandboxResult {
    let until = Instant::now() + invocation.limits.wall_time + GRACE;
    let _counted = task.tools.metrics.sandbox();
    let span = tracing::debug_span!("sandbox", run_id = %task.run_id, source = %invocation.entry.name);
    let sandbox = task.progress.watch(until, task.tools.engine.run(invocation, host_context).instrument(span));
    // An error of ours in one sandbox must not take the others along.
    let outcome = AssertUnwindSafe(sandbox).catch_unwind().await;
    task.progress.record_progress();
    if task.api.lost.is_cancelled() {
        // Nothing may be reported any more; the task is about to be dropped.
        std::future::pending::<()>().await;
    }
    let Ok(outcome) = outcome else { return internal_failure() };
    let large = match &outcome.result {
        Ok(text) => text.len() > mask::LARGE,
        Err(error) => error.message.len() > mask::LARGE || error.details.is_some(),
    };
    let masker = task.masker.clone();
    let judged = if large {
        match task.in_turn(move || classify(&masker, outcome)).await {
            Ok(judged) => judged,
            Err(TenantError::Failed) => return internal_failure(),
            Err(error) => {
                return failed(AttemptFailure::not_in_turn(error, "the search of the step's result for secrets"));
            }
        }
    } else {
        classify(&masker, outcome)
    };
    task.tools.metrics.fuel(judged.usage.fuel);
    judged
}

fn internal_failure() -> SandboxResult {
    let message = "the sandbox failed because of an internal error of the platform, not of the script";
    failed(AttemptFailure { retryable: true, ..AttemptFailure::new("internal", message) })
}

fn failed(failure: AttemptFailure) -> SandboxResult {
    SandboxResult { result: Err(failure), usage: Usage::default() }
}

/// A text of at most so many bytes, cut after it was masked.
fn bounded(mut text: String, most: usize) -> String {
    cut(&mut text, most);
    text
}

/// The message of an error, masked and then cut. One that the guest had to cut may end within a secret.
fn shown_message(masker: &Masker, message: &str) -> String {
    if message.len() < lua_wasm_host::StepError::MESSAGE_BYTES {
        return bounded(masker.mask(message), MESSAGE_BYTES);
    }
    format!("{}… (cut)", bounded(masker.mask_cut(message), MESSAGE_BYTES - 16))
}

/// What an outcome means, with every secret kept in. Not for an async thread if the outcome is large.
fn classify(masker: &Masker, outcome: Outcome) -> SandboxResult {
    // An attempt's results and errors are bounded by themselves.
    let budget = Budget::default();
    let result = match outcome.result {
        Ok(text) => match json::check(&text, masker, &budget) {
            Ok(_) => Ok(text.into()),
            Err(JsonProblem::Secret) => Err(secret_in_output("the returned value")),
            Err(JsonProblem::TooMany) => Err(lua_wasm_host::StepError::new(
                ErrorCode::OutputLimit,
                format!("the returned value has too many parts (limit: {MAX_VALUES} values and keys)"),
            )),
            Err(JsonProblem::NotJson(error)) => Err(lua_wasm_host::StepError::new(
                ErrorCode::ResultNotJson,
                format!("the returned value is not JSON: {error}"),
            )),
        },
        Err(error) => Err(error),
    };
    let result = result.map_err(|error| AttemptFailure {
        status: match error.code {
            ErrorCode::WallTimeLimit => StepStatus::TimedOut,
            ErrorCode::Cancelled => StepStatus::Cancelled,
            _ => StepStatus::Failed,
        },
        retryable: error.retryable,
        error: Box::new(StepError {
            code: error.code.as_str().to_owned(),
            message: shown_message(masker, &error.message),
            details: error
                .details
                .as_ref()
                .filter(|details| details.to_string().len() <= DETAILS_BYTES)
                .map(|details| masker.mask_value(details)),
            traceback: error.traceback.as_deref().map(|traceback| bounded(masker.mask(traceback), TRACEBACK_BYTES)),
        }),
    });
    let usage = outcome.usage;
    let usage = Usage {
        fuel: usage.fuel,
        cpu_ms: usage.cpu_ms,
        wall_ms: usage.wall_ms,
        memory_peak: usage.memory_peak,
        host_calls: usage.host_calls,
        bytes_in: usage.bytes_in,
        bytes_out: usage.bytes_out,
    };
    SandboxResult { result, usage }
}
