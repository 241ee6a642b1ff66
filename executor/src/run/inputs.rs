//! What reaches a script against the `inputs_schema` of its step, before a sandbox is made.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};

use restroy_sdk::{
    event::StepError,
    json_bounds::{JsonLimits, measure},
    problem::FieldError,
    schema::{CheckError, Schema},
    status::StepStatus,
};
use restroy_tenant_executor::TenantError;
use serde_json::{Value, json};
use tokio::sync::Semaphore;

use super::{sandbox::AttemptFailure, task::TaskContext};

/// The code of a step whose inputs do not match.
const INVALID_INPUTS: &str = "invalid_inputs";
/// How many values inputs may have that are checked: the tree of more would take too much memory.
const MAX_VALUES: usize = 500_000;

/// The compiled schemas of a task's steps: each is compiled once, however many items a step has.
#[derive(Debug)]
pub(crate) struct Schemas {
    compiled: Mutex<HashMap<String, Result<Arc<Schema>, String>>>,
    /// One check of a task at a time: the next waits with its inputs as text.
    turn: Semaphore,
}

impl Default for Schemas {
    fn default() -> Self {
        Self { compiled: Mutex::default(), turn: Semaphore::new(1) }
    }
}

impl Schemas {
    /// Not for an async thread.
    fn get(&self, step: &str, schema: &Value) -> Result<Arc<Schema>, String> {
        if let Some(found) = self.lock().get(step) {
            return found.clone();
        }
        let compiled = Schema::compile(schema).map(Arc::new).map_err(|errors| {
            let error = errors.into_iter().next();
            error.map_or_else(String::new, |error| format!("`{}`: {}", error.pointer, error.detail))
        });
        self.lock().insert(step.to_owned(), compiled.clone());
        compiled
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<String, Result<Arc<Schema>, String>>> {
        self.compiled.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Checks what a script would see as `inputs`, in a turn of the team: it may be much.
pub(super) async fn check(
    task: &Arc<TaskContext>,
    step: &str,
    schema: &Value,
    inputs: &Arc<str>,
) -> Result<(), AttemptFailure> {
    let ended = |error| AttemptFailure::not_in_turn(error, "the check of the step's inputs");
    let _turn = task.schemas.turn.acquire().await.map_err(|_| ended(TenantError::Failed))?;
    let (of_task, step, schema, inputs) = (Arc::clone(task), step.to_owned(), schema.clone(), Arc::clone(inputs));
    let checked = task.in_turn(move || {
        let schema = of_task.schemas.get(&step, &schema).map_err(|error| {
            let message = format!("the step's `inputs_schema` is no longer accepted: {error}: change it and publish");
            AttemptFailure::new(INVALID_INPUTS, message)
        })?;
        measure(inputs.as_bytes(), JsonLimits { nodes: MAX_VALUES, ..JsonLimits::REPORT }).map_err(|error| {
            let message = format!("the inputs cannot be checked against the step's `inputs_schema`: {error}");
            AttemptFailure::new(INVALID_INPUTS, message)
        })?;
        let inputs: Value = serde_json::from_str(&inputs).map_err(|error| {
            AttemptFailure::new("internal", format!("the inputs of the step cannot be read: {error}"))
        })?;
        Ok::<_, AttemptFailure>(schema.check(&inputs))
    });
    match checked.await.map_err(ended)?? {
        Ok(()) => Ok(()),
        Err(CheckError::Mismatch(faults)) => Err(invalid_inputs(task, &faults)),
        Err(error) => Err(AttemptFailure::new(INVALID_INPUTS, error.limit("inputs").unwrap_or_default())),
    }
}

/// The failure that names every place, and in its message the first.
fn invalid_inputs(task: &TaskContext, faults: &[FieldError]) -> AttemptFailure {
    let mask = |text: &str| task.masker.mask(text);
    let first = faults.first().map_or(String::new(), |fault| {
        let place =
            if fault.pointer.is_empty() { "the whole".to_owned() } else { format!("`{}`", mask(&fault.pointer)) };
        format!(": {place} {}", mask(&fault.detail))
    });
    let errors: Vec<Value> =
        faults.iter().map(|fault| json!({ "pointer": mask(&fault.pointer), "detail": mask(&fault.detail) })).collect();
    let message = format!("what reaches the script does not match its `inputs_schema`{first}");
    let error = StepError { details: Some(json!({ "errors": errors })), ..StepError::new(INVALID_INPUTS, message) };
    AttemptFailure { status: StepStatus::Failed, error: Box::new(error), retryable: false }
}
