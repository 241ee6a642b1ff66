//! One step from its start to its end: its `if`, its attempts, and for a `for_each` its items.

use std::{
    panic::AssertUnwindSafe,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use futures_util::FutureExt;
use lua_wasm_host::Limits;
use restroy_run_queue::run_api::StepState;
use restroy_sdk::{
    document::Step,
    event::{EventKind, StepError, StepRef, Usage},
    status::StepStatus,
};
use serde_json::Value;
use tokio::time::Instant;

use super::{
    activity::ActivityGuard,
    for_each,
    graph::StepEnd,
    inputs,
    retry::{self, NextAttempt, StepProgress},
    sandbox::{self, AttemptFailure},
    task::TaskContext,
};
use crate::{
    capability::attempt::AttemptContext,
    memory::{TASK_MEMORY_LIMIT, TaskMemory},
    report::Position,
};

/// The code of a step that its `if` did not want.
const CONDITION_FALSE: &str = "condition_false";
/// The code of a step that was skipped because something that it needs failed.
const NEEDS_FAILED: &str = "needs_failed";
/// The code of a step that was skipped because its `when` did not come about.
const WHEN_NOT_MET: &str = "when_not_met";

/// A step that is to be executed.
pub(super) struct StepExecution {
    pub(super) task: Arc<TaskContext>,
    pub(super) name: String,
    pub(super) step: Step,
    /// What the script sees of the steps that it needs.
    pub(super) inputs: StepInputs,
    /// Where the newest of what it builds on stands in the order of events.
    pub(super) builds_on: Position,
    /// The attempt at the step itself that is under way or due.
    pub(super) current: AtomicU32,
}

/// What the steps that a step needs returned, those that did. As one JSON text it is made at most once.
#[derive(Default)]
pub(super) struct StepInputs {
    outputs: Vec<(String, Arc<str>)>,
    json: OnceLock<Arc<str>>,
}

impl StepInputs {
    pub(super) fn new(outputs: Vec<(String, Arc<str>)>) -> Self {
        Self { outputs, json: OnceLock::new() }
    }

    /// A JSON object by step; the failure of a step whose inputs are larger than any sandbox takes.
    pub(super) fn json(&self, memory: &TaskMemory) -> Result<Arc<str>, AttemptFailure> {
        if let Some(json) = self.json.get() {
            return Ok(Arc::clone(json));
        }
        let size: usize = self.outputs.iter().map(|(name, output)| name.len() + output.len() + 6).sum();
        let most = Limits::HARD_MAX.input_bytes;
        if size as u64 > most + 1024 {
            let message = format!("the inputs are too large (limit: {} MiB)", most / (1024 * 1024));
            return Err(AttemptFailure::new("input_limit", message));
        }
        memory.hold(size).map_err(|error| AttemptFailure::new(TASK_MEMORY_LIMIT, error.to_string()))?;
        let mut json = String::with_capacity(size + 2);
        json.push('{');
        for (name, output) in &self.outputs {
            if json.len() > 1 {
                json.push(',');
            }
            json.push_str(&Value::String(name.clone()).to_string());
            json.push(':');
            json.push_str(output);
        }
        json.push('}');
        Ok(Arc::clone(self.json.get_or_init(|| json.into())))
    }
}

/// How a step ended.
#[derive(Debug, Clone)]
pub(super) struct StepResult {
    pub(super) end: StepEnd,
    /// What its dependants see of it, as JSON.
    pub(super) output: Option<Arc<str>>,
    pub(super) error: Option<StepError>,
    /// Where its end stands in the order of events.
    pub(super) position: Position,
}

/// How a step, or an item of it, ended after all its attempts.
pub(super) struct AttemptsResult {
    pub(super) result: Result<Arc<str>, Box<StepError>>,
    pub(super) position: Position,
}

impl StepExecution {
    /// Executes the step. Never panics, and never ends without its end reported.
    pub(super) async fn execute(self: Arc<Self>, busy: &ActivityGuard) -> StepResult {
        match AssertUnwindSafe(Arc::clone(&self).execute_inner(busy)).catch_unwind().await {
            Ok(ending) => ending,
            Err(_) => self.finish_step(Err(internal_error()), Usage::default()).await,
        }
    }

    async fn execute_inner(self: Arc<Self>, busy: &ActivityGuard) -> StepResult {
        let inputs = match self.inputs.json(&self.task.memory) {
            Ok(inputs) => inputs,
            Err(failure) => return self.finish_step(Err(failure), Usage::default()).await,
        };
        let committed = self.task.committed(&self.name, None);
        if committed.is_empty()
            && let Some(condition) = &self.step.condition
        {
            let ended = {
                let _turn = self.task.sandboxes.acquire().await;
                sandbox::expression(
                    self.attempt_context(None, NextAttempt::FIRST, self.builds_on),
                    "if",
                    condition,
                    Arc::clone(&inputs),
                )
                .await
            };
            match ended.result {
                Ok(value) if matches!(&*value, "null" | "false") => return self.finish_unwanted(ended.usage).await,
                Ok(_) => {}
                Err(failure) => return self.finish_step(Err(in_field("if", failure)), ended.usage).await,
            }
        }
        let missing = self.task.missing_secrets(&self.name);
        if !missing.is_empty() {
            return self.finish_step(Err(secret_missing(&self.name, missing)), Usage::default()).await;
        }
        if let Some(schema) = &self.step.inputs_schema
            && let Err(failure) = inputs::check(&self.task, &self.name, schema, &inputs).await
        {
            return self.finish_step(Err(failure), Usage::default()).await;
        }
        if let Some(items) = &self.step.for_each {
            return for_each::execute(&self, items, &inputs, busy).await;
        }
        let AttemptsResult { result, position } = self.attempts(None, None, &inputs, self.builds_on, busy).await;
        match result {
            Ok(output) => StepResult { end: StepEnd::Succeeded, output: Some(output), error: None, position },
            Err(error) => StepResult { end: StepEnd::Failed, output: None, error: Some(*error), position },
        }
    }

    /// Attempts the script until it succeeds or fails for good. The end of the last attempt is
    /// reported when this returns.
    pub(super) async fn attempts(
        self: &Arc<Self>,
        index: Option<u32>,
        item: Option<Arc<str>>,
        inputs: &Arc<str>,
        mut builds_on: Position,
        busy: &ActivityGuard,
    ) -> AttemptsResult {
        let task = &self.task;
        let mut attempt = match retry::step_progress(task.committed(&self.name, index)) {
            StepProgress::Ended(state) => {
                return AttemptsResult { result: result_of(task, state), position: Position::default() };
            }
            StepProgress::Due(attempt) => attempt,
        };
        loop {
            let step = StepRef { step: self.name.clone(), index, attempt: attempt.number };
            self.wait_until_due(attempt, &step, busy).await;
            task.reporter.wait_for_capacity().await;
            if index.is_none() {
                self.current.store(attempt.number, Ordering::Relaxed);
            }
            let ended = {
                let _turn = task.sandboxes.acquire().await;
                task.reporter.push(EventKind::StepStarted { step: step.clone(), items: None }, 0);
                match self.script() {
                    Ok(source) => {
                        let attempting = self.attempt_context(index, attempt, builds_on);
                        sandbox::script(attempting, &self.step, source, Arc::clone(inputs), item.clone()).await
                    }
                    Err(failure) => sandbox::SandboxResult { result: Err(failure), usage: Usage::default() },
                }
            };
            task.reporter.wait_for_capacity().await;
            let held = ended.result.and_then(|output| match task.memory.hold(output.len()) {
                Ok(()) => Ok(output),
                Err(error) => Err(AttemptFailure::new(TASK_MEMORY_LIMIT, error.to_string())),
            });
            let failure = match held {
                Ok(output) => {
                    let position = task.reporter.succeeded(step, Arc::clone(&output), ended.usage);
                    return AttemptsResult { position, result: Ok(output) };
                }
                Err(failure) => failure,
            };
            let size = size_of(&failure.error);
            let pause = retry::pause(self.step.retry.as_ref(), attempt.number).filter(|_| failure.retryable);
            let Some(pause) = pause else {
                let event = finished(step, failure.status, Some(*failure.error.clone()), ended.usage);
                return AttemptsResult { position: task.reporter.push(event, size), result: Err(failure.error) };
            };
            let error = *failure.error.clone();
            let delay_ms = u64::try_from(pause.as_millis()).unwrap_or(u64::MAX);
            builds_on = task.reporter.push(EventKind::StepRetrying { step, error, delay_ms, usage: ended.usage }, size);
            attempt = attempt.next(&failure.error, task.tools.ambient.now().after(pause));
        }
    }

    /// Waits until an attempt may start, holding no sandbox meanwhile.
    async fn wait_until_due(&self, attempt: NextAttempt, step: &StepRef, busy: &ActivityGuard) {
        let Some(not_before) = attempt.not_before else { return };
        // No longer than the longest pause, whatever another machine's clock made of it.
        let longest = self.step.retry.as_ref().map_or(Duration::ZERO, |retry| retry.max.into());
        let until = Instant::now() + not_before.since(self.task.tools.ambient.now()).min(longest);
        self.task.progress.watch(until, busy.pause(step.clone(), until)).await;
    }

    pub(super) fn attempt_context(
        &self,
        index: Option<u32>,
        attempt: NextAttempt,
        builds_on: Position,
    ) -> Arc<AttemptContext> {
        Arc::new(AttemptContext {
            task: Arc::clone(&self.task),
            step: StepRef { step: self.name.clone(), index, attempt: attempt.number },
            epoch: attempt.epoch,
            repeats: attempt.repeats,
            builds_on,
            _at_work: self.task.at_work.token(),
            masking: Arc::default(),
        })
    }

    fn script(&self) -> Result<&lua_wasm_host::Source, AttemptFailure> {
        let not_available = || {
            AttemptFailure::new(
                "not_available",
                format!("the step `{}` is of a kind that is not available yet", self.name),
            )
        };
        let path = self.step.script.as_ref().ok_or_else(not_available)?;
        let gone = || AttemptFailure::new("script_missing", format!("there is no file `{path}` in this version"));
        self.task.source(path).ok_or_else(gone)
    }

    async fn finish_unwanted(&self, usage: Usage) -> StepResult {
        let error = StepError::new(CONDITION_FALSE, "its `if` was false");
        self.task.reporter.wait_for_capacity().await;
        let event = finished(self.step_ref(), StepStatus::Skipped, Some(error.clone()), usage);
        let position = self.task.reporter.push(event, 0);
        StepResult { end: StepEnd::NotWanted, output: None, error: Some(error), position }
    }

    /// Reports the end of the step itself, outside of any attempt of its script.
    pub(super) async fn finish_step(&self, result: Result<(), AttemptFailure>, usage: Usage) -> StepResult {
        self.task.reporter.wait_for_capacity().await;
        let (status, end, error) = match result {
            Ok(()) => (StepStatus::Succeeded, StepEnd::Succeeded, None),
            Err(failure) => (failure.status, StepEnd::Failed, Some(*failure.error)),
        };
        let size = error.as_ref().map_or(0, size_of);
        let event = finished(self.step_ref(), status, error.clone(), usage);
        let position = self.task.reporter.push(event, size);
        StepResult { end, output: None, error, position }
    }

    /// The step itself, for what happens outside of its script.
    pub(super) fn step_ref(&self) -> StepRef {
        let attempt = self.current.load(Ordering::Relaxed);
        StepRef { step: self.name.clone(), index: None, attempt }
    }
}

/// Reports a step that is skipped without having been looked at.
pub(super) fn skip(task: &TaskContext, name: &str, end: StepEnd) -> StepResult {
    let error = match end {
        StepEnd::NotCalledFor => StepError::new(WHEN_NOT_MET, "its `when` condition was not met"),
        _ => StepError::new(NEEDS_FAILED, "a dependency failed"),
    };
    let step = StepRef { step: name.to_owned(), index: None, attempt: 1 };
    let event = finished(step, StepStatus::Skipped, Some(error.clone()), Usage::default());
    let position = task.reporter.push(event, 0);
    StepResult { end, output: None, error: Some(error), position }
}

/// How a step ended that was committed under an earlier lease.
pub(super) fn committed_result(task: &TaskContext, step: &Step, state: &StepState) -> StepResult {
    let end = match (state.status, state.error.as_ref().map(|error| error.code.as_str())) {
        (StepStatus::Succeeded, _) => StepEnd::Succeeded,
        (StepStatus::Skipped, Some(CONDITION_FALSE)) => StepEnd::NotWanted,
        (StepStatus::Skipped, Some(WHEN_NOT_MET)) => StepEnd::NotCalledFor,
        (StepStatus::Skipped, _) => StepEnd::NeedsFailed,
        _ => StepEnd::Failed,
    };
    let output = match end {
        StepEnd::Succeeded | StepEnd::Failed if step.for_each.is_some() => for_each::committed_results(task, state),
        StepEnd::Succeeded => Some(task.output(state)),
        _ => None,
    };
    StepResult { end, output, error: state.error.clone(), position: Position::default() }
}

pub(super) fn result_of(task: &TaskContext, state: &StepState) -> Result<Arc<str>, Box<StepError>> {
    if state.status == StepStatus::Succeeded {
        return Ok(task.output(state));
    }
    Err(Box::new(state.error.clone().unwrap_or_else(|| StepError::new("internal", "it did not succeed"))))
}

fn finished(step: StepRef, status: StepStatus, error: Option<StepError>, usage: Usage) -> EventKind {
    EventKind::StepFinished { step, status, output: None, error, usage }
}

/// What an error takes in a report, roughly.
fn size_of(error: &StepError) -> usize {
    let details = error.details.as_ref().map_or(0, |details| details.to_string().len());
    error.message.len() + error.traceback.as_ref().map_or(0, String::len) + details
}

/// A failure of an expression, with the field named.
pub(super) fn in_field(field: &str, failure: AttemptFailure) -> AttemptFailure {
    let message = format!("in `{field}`: {}", failure.error.message);
    AttemptFailure { error: Box::new(StepError { message, ..*failure.error }), ..failure }
}

fn secret_missing(step: &str, missing: &[String]) -> AttemptFailure {
    let names = missing.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ");
    let (noun, verb) = if missing.len() == 1 { ("secret", "is") } else { ("secrets", "are") };
    let example = missing.first().map_or("NAME", String::as_str);
    AttemptFailure::new(
        "secret_missing",
        format!(
            "the {noun} {names} of the step `{step}` {verb} not set: set each with `restroy secrets set PIPELINE {step} {example}`"
        ),
    )
}

pub(super) fn internal_error() -> AttemptFailure {
    AttemptFailure::new("internal", "the step failed because of an internal error of the platform, not of the script")
}
