//! A run's parameters: with the defaults of the pipeline's schema, and checked against it.

use std::sync::Arc;

use restroy_sdk::{
    ids::{Id, TeamId},
    problem::{FieldError, LimitHit},
    schema::{CheckError, MAX_DEFAULTS_BYTES, MAX_STEPS, QUICK_STEPS, Schema},
};
use serde_json::{Map, Value};

use super::limits::MAX_PARAMS;
use crate::{DomainError, DomainResult, state::DomainState};

/// Gives the parameters with defaults, if they match then. What takes more than a moment is done in the team's
/// turn, on the threads for the work of tenants. Errors name their place under `/params`.
pub(crate) async fn check(
    state: &DomainState,
    team: TeamId,
    schema: Option<Arc<Schema>>,
    params: Map<String, Value>,
) -> DomainResult<Value> {
    let params = Value::Object(params);
    let Some(schema) = schema else { return Ok(params) };
    let accepted = match quickly(&schema, &params) {
        Err(CheckError::TooMuchWork) => {
            state.tenants.run(team.uuid(), move || schema.accept(params, MAX_STEPS)).await?
        }
        other => other,
    };
    accepted.map_err(refused)
}

/// Tries it at once, for values that are quickly copied.
fn quickly(schema: &Schema, params: &Value) -> Result<Value, CheckError> {
    const FEW: usize = 1_000;
    const SHORT: usize = 64 * 1024;
    let (mut values, mut bytes, mut open) = (0, 0, vec![params]);
    while let Some(value) = open.pop() {
        values += 1;
        match value {
            Value::String(text) => bytes += text.len(),
            Value::Array(items) => open.extend(items.iter().take(FEW + 1)),
            Value::Object(fields) => {
                bytes += fields.keys().take(FEW + 1).map(String::len).sum::<usize>();
                open.extend(fields.values().take(FEW + 1));
            }
            _ => {}
        }
        if values + open.len() > FEW || bytes > SHORT {
            return Err(CheckError::TooMuchWork);
        }
    }
    schema.accept(params.clone(), QUICK_STEPS)
}

fn refused(error: CheckError) -> DomainError {
    let detail = error.limit("parameters");
    let (name, value) = match error {
        CheckError::Mismatch(faults) => {
            let within = |fault: FieldError| FieldError { pointer: format!("/params{}", fault.pointer), ..fault };
            let faults = faults.into_iter().map(within).collect();
            return DomainError::InvalidParams(faults);
        }
        CheckError::TooMuchWork => ("schema_steps", i64::try_from(MAX_STEPS)),
        CheckError::DefaultsTooLarge => ("schema_defaults_bytes", i64::try_from(MAX_DEFAULTS_BYTES)),
    };
    let limit = LimitHit { name: name.into(), value: value.unwrap_or(i64::MAX), free_at: None };
    DomainError::TooLarge { detail: detail.unwrap_or_default().into(), limit: Some(limit) }
}

/// Refuses parameters that are larger than a run takes: at most half of what a step's input may have, since every
/// step gets them beside its inputs, its item and its configuration.
pub(crate) fn check_size(text: &str, step_input_bytes: i64) -> DomainResult<()> {
    let most = usize::try_from(step_input_bytes / 2).unwrap_or(0).min(MAX_PARAMS);
    if text.len() <= most {
        return Ok(());
    }
    let detail = format!(
        "A run's parameters take at most {most} bytes as JSON, defaults included, half of the team's limit `step_input_bytes`; these take {}. \
         Put large data where the steps can fetch it.",
        text.len()
    );
    let value = i64::try_from(most).unwrap_or(i64::MAX);
    let limit = LimitHit { name: "params_bytes".into(), value, free_at: None };
    Err(DomainError::TooLarge { detail: detail.into(), limit: Some(limit) })
}
