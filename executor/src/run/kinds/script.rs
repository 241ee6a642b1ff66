//! A step that runs a script: once, or once for each item of a `for_each`.

use std::sync::Arc;

use restroy_sdk::event::Usage;

use crate::run::{
    activity::ActivityGuard,
    attempts::AttemptsResult,
    for_each,
    graph::StepEnd,
    inputs,
    sandbox::AttemptFailure,
    step::{StepExecution, StepResult},
};

/// Executes the step.
pub(super) async fn execute(work: &Arc<StepExecution>, path: &str, busy: &ActivityGuard) -> StepResult {
    let inputs = match prepare(work).await {
        Ok(inputs) => inputs,
        Err(failure) => return work.finish_step(Err(failure), Usage::default()).await,
    };
    let Some(source) = work.task.source(path) else {
        let failure = AttemptFailure::new("script_missing", format!("there is no file `{path}` in this version"));
        return work.finish_step(Err(failure), Usage::default()).await;
    };
    if let Some(items) = &work.step.for_each {
        return for_each::execute(work, source, items, &inputs, busy).await;
    }
    let AttemptsResult { result, position } = work.attempts(source, None, None, &inputs, work.builds_on, busy).await;
    match result {
        Ok(output) => StepResult { end: StepEnd::Succeeded, output: Some(output), error: None, position },
        Err(error) => StepResult { end: StepEnd::Failed, output: None, error: Some(*error), position },
    }
}

/// What the script sees of the steps that it needs, once everything that it takes is there.
async fn prepare(work: &StepExecution) -> Result<Arc<str>, AttemptFailure> {
    let inputs = work.inputs.json(&work.task.memory)?;
    let missing = work.task.missing_secrets(&work.name);
    if !missing.is_empty() {
        return Err(secret_missing(&work.name, missing));
    }
    if let Some(schema) = &work.step.inputs_schema {
        inputs::check(&work.task, &work.name, schema, &inputs).await?;
    }
    Ok(inputs)
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
