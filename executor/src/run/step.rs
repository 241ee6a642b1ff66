//! One step from its start to its end: whether it is wanted, and how its end is reported. What it does is its kind's to
//! say ([`kinds`]).

use std::{
    panic::AssertUnwindSafe,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicU32, Ordering},
    },
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

use super::{
    activity::ActivityGuard,
    for_each,
    graph::StepEnd,
    kinds,
    retry::NextAttempt,
    sandbox::{self, AttemptFailure},
    task::TaskContext,
};
use crate::{
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

impl StepExecution {
    /// Executes the step. Never panics, and never ends without its end reported.
    pub(super) async fn execute(self: Arc<Self>, busy: &ActivityGuard) -> StepResult {
        match AssertUnwindSafe(Arc::clone(&self).execute_inner(busy)).catch_unwind().await {
            Ok(ending) => ending,
            Err(_) => self.finish_step(Err(internal_error()), Usage::default()).await,
        }
    }

    async fn execute_inner(self: Arc<Self>, busy: &ActivityGuard) -> StepResult {
        match self.unwanted().await {
            Some(result) => result,
            None => kinds::execute(&self, busy).await,
        }
    }

    /// Evaluates the step's `if`, once; gives the step's end where it is not to run.
    async fn unwanted(&self) -> Option<StepResult> {
        let condition = self.step.condition.as_ref()?;
        if !self.task.committed(&self.name, None).is_empty() {
            return None;
        }
        let inputs = match self.inputs.json(&self.task.memory) {
            Ok(inputs) => inputs,
            Err(failure) => return Some(self.finish_step(Err(failure), Usage::default()).await),
        };
        let ended = {
            let _turn = self.task.sandboxes.acquire().await;
            let attempting = self.attempt_context(None, NextAttempt::FIRST, self.builds_on);
            sandbox::expression(attempting, "if", condition, inputs).await
        };
        match ended.result {
            Ok(value) if matches!(&*value, "null" | "false") => Some(self.finish_unwanted(ended.usage).await),
            Ok(_) => None,
            Err(failure) => Some(self.finish_step(Err(in_field("if", failure)), ended.usage).await),
        }
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

pub(super) fn finished(step: StepRef, status: StepStatus, error: Option<StepError>, usage: Usage) -> EventKind {
    EventKind::StepFinished { step, status, output: None, error, usage }
}

/// What an error takes in a report, roughly.
pub(super) fn size_of(error: &StepError) -> usize {
    let details = error.details.as_ref().map_or(0, |details| details.to_string().len());
    error.message.len() + error.traceback.as_ref().map_or(0, String::len) + details
}

/// A failure of an expression, with the field named.
pub(super) fn in_field(field: &str, failure: AttemptFailure) -> AttemptFailure {
    let message = format!("in `{field}`: {}", failure.error.message);
    AttemptFailure { error: Box::new(StepError { message, ..*failure.error }), ..failure }
}

pub(super) fn internal_error() -> AttemptFailure {
    AttemptFailure::new("internal", "the step failed because of an internal error of the platform, not of the script")
}
