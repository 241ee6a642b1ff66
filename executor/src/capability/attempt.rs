//! One attempt at one step, as its capabilities see it.

use std::sync::Arc;

use lua_wasm_host::{CallContext, CallError, CallFailure, CallResult, ErrorCode, StepError};
use restroy_run_queue::run_api::{Call, CallAnswer, CallKind};
use restroy_sdk::{event::StepRef, problem::Problem};
use serde::de::DeserializeOwned;
use serde_json::Value;
use tokio_util::task::task_tracker::TaskTrackerToken;

use crate::{
    client::{CallEnd, Lost},
    drive::{seed, task::TaskContext},
    report::Position,
};

/// One attempt at one step.
pub(crate) struct Attempting {
    pub(crate) task: Arc<TaskContext>,
    pub(crate) step: StepRef,
    pub(crate) epoch: u32,
    /// What must be committed before the attempt may have effects.
    pub(crate) builds_on: Position,
    /// Something of the task is at work as long as this is held.
    pub(crate) _at_work: TaskTrackerToken,
}

impl Attempting {
    /// The idempotency key of a call.
    pub(crate) fn key(&self, call: &CallContext) -> String {
        seed::call_key(self.task.run_id, &self.step, self.epoch, call)
    }

    /// Has the control-plane carry out a call.
    pub(crate) async fn call<T: DeserializeOwned>(&self, call: &CallContext, kind: CallKind) -> CallResult<T> {
        let request =
            Call { step: self.step.clone(), call_number: call.number.into(), key: self.key(call), call: kind };
        let answer = answered(self.task.api.call(&request).await)?;
        serde_json::from_value(answer).map_err(|error| {
            CallError::new("internal", format!("the control-plane's answer to this call cannot be read: {error}"))
                .into()
        })
    }
}

/// Ends the step if a secret was found in what is to leave it.
pub(crate) fn refuse_secrets(what: &str, found: bool) -> CallResult<()> {
    if found { Err(secret_in_output(what).into()) } else { Ok(()) }
}

/// What a call gave, for the script.
pub(crate) fn answered(end: Result<CallEnd, Lost>) -> CallResult<Value> {
    match end {
        Ok(CallEnd::Answered(CallAnswer::Ok(value))) => Ok(value),
        Ok(CallEnd::Answered(CallAnswer::Refused(refused))) => {
            Err(CallError { code: refused.code.into(), message: refused.message, retryable: refused.retryable }.into())
        }
        Ok(CallEnd::Refused(problem)) => Err(refused(&problem).into()),
        Err(Lost) => Err(lease_lost()),
    }
}

fn refused(problem: &Problem) -> CallError {
    let message = problem.detail.clone().unwrap_or_else(|| problem.title.clone());
    CallError::new(problem.code.as_str(), message)
}

/// The sandbox ends at once: somebody else has the task.
pub(crate) fn lease_lost() -> CallFailure {
    StepError::new(ErrorCode::Cancelled, "the executor lost the task's lease").into()
}

/// The error of a step that would give a secret away.
pub(crate) fn secret_in_output(what: &str) -> StepError {
    StepError::new(
        ErrorCode::Host("secret_in_output".into()),
        format!("there is a secret in {what}: secrets may be used in requests, and must not be stored or returned"),
    )
}
