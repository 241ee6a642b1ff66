//! A run's parameters against the pipeline's JSON Schema.

use restroy_sdk::{
    problem::{Fault, LimitHit, Problem, ProblemCode},
    schema::{self, Refused},
};
use serde_json::{Map, Value};

use super::limits::MAX_PARAMS;
use crate::error::{ApiError, ApiResult};

/// Checks parameters, off the async threads: large ones take their time. Faults name their place
/// under `/params`.
pub(crate) async fn check(schema: Option<Value>, params: Map<String, Value>) -> ApiResult<Value> {
    let params = Value::Object(params);
    let Some(schema) = schema else { return Ok(params) };
    let checked = tokio::task::spawn_blocking(move || schema::check(&schema, &params).map(|()| params)).await;
    let checked = checked.map_err(|error| {
        tracing::error!(%error, "the check of a run's parameters did not come to an end");
        ApiError::new(ProblemCode::Internal)
    })?;
    checked.map_err(|refused| match refused {
        Refused::Schema(error) => {
            let detail =
                format!("The pipeline's own schema is not taken ({error}): publish a version with another one.");
            ApiError::with(ProblemCode::Conflict, detail)
        }
        Refused::TooMuch(work) => {
            let most = schema::MOST;
            let detail = format!("{work} comparisons of values with subschemas are too many; at most {most} are made.");
            ApiError::with(ProblemCode::TooLarge, detail)
        }
        Refused::Faults(faults) => {
            let within = |fault: Fault| Fault { pointer: format!("/params{}", fault.pointer), ..fault };
            let faults = faults.into_iter().map(within).collect();
            Problem::new(ProblemCode::InvalidParams).errors(faults).into()
        }
    })
}

/// Refuses parameters that are larger than a run takes: at most half of what a step's input may have, since every
/// step gets them beside its inputs, its item and its configuration.
pub(crate) fn check_size(text: &str, step_input_bytes: i64) -> ApiResult<()> {
    let most = usize::try_from(step_input_bytes / 2).unwrap_or(0).min(MAX_PARAMS);
    if text.len() <= most {
        return Ok(());
    }
    let detail = format!(
        "A run's parameters take at most {most} bytes as JSON, half of the team's limit `step_input_bytes`; these take {}. \
         Put large data where the steps can fetch it.",
        text.len()
    );
    let value = i64::try_from(most).unwrap_or(i64::MAX);
    let limit = LimitHit { name: "params_bytes".into(), value, free_at: None };
    Err(Problem::new(ProblemCode::TooLarge).detail(detail).limit(limit).into())
}
