//! What reaches a script against the `inputs_schema` of its step, before a sandbox is made.

use restroy_sdk::{
    event::StepError,
    problem::Fault,
    schema::{self, Refused},
    status::StepStatus,
};
use serde_json::{Value, json};

use super::{sandbox::Failure, task::TaskContext};

/// The code of a step whose inputs do not match.
const INVALID_INPUTS: &str = "invalid_inputs";

/// Checks what a script would see as `inputs`, off the async threads: it may be much.
pub(super) async fn check(task: &TaskContext, schema: &Value, inputs: &str) -> Result<(), Failure> {
    let (schema, inputs) = (schema.clone(), inputs.to_owned());
    let checked = tokio::task::spawn_blocking(move || {
        let inputs: Value = serde_json::from_str(&inputs)
            .map_err(|error| Failure::new("internal", format!("the inputs of the step cannot be read: {error}")))?;
        Ok::<_, Failure>(schema::check(&schema, &inputs))
    });
    let Ok(checked) = checked.await else {
        return Err(Failure::new("internal", "the check of the step's inputs did not come to an end"));
    };
    match checked? {
        Ok(()) => Ok(()),
        Err(Refused::Faults(faults)) => Err(refused(task, &faults)),
        Err(Refused::Schema(error)) => {
            Err(Failure::new(INVALID_INPUTS, format!("the step's `inputs_schema` is not taken: {error}")))
        }
        Err(Refused::TooMuch(work)) => {
            let most = schema::MOST;
            let message = format!(
                "{work} comparisons of inputs with subschemas are too many; at most {most} are made: give the step less, \
                 or a simpler `inputs_schema`"
            );
            Err(Failure::new(INVALID_INPUTS, message))
        }
    }
}

/// The failure that names every place, and in its message the first.
fn refused(task: &TaskContext, faults: &[Fault]) -> Failure {
    let mask = |text: &str| task.masker.mask(text);
    let first = faults.first().map_or(String::new(), |fault| {
        let place = if fault.pointer.is_empty() { "as a whole".to_owned() } else { format!("at {}", fault.pointer) };
        format!(": {place}, {}", mask(&fault.detail))
    });
    let errors: Vec<Value> =
        faults.iter().map(|fault| json!({ "pointer": mask(&fault.pointer), "detail": mask(&fault.detail) })).collect();
    let message = format!("what reaches the script does not match its `inputs_schema`{first}");
    let error = StepError { details: Some(json!({ "errors": errors })), ..StepError::new(INVALID_INPUTS, message) };
    Failure { status: StepStatus::Failed, error: Box::new(error), retryable: false }
}
