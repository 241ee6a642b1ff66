//! One attempt at one step, as its capabilities see it.

use std::sync::Arc;

use lua_wasm_host::{CallContext, CallError, CallFailure, CallResult, ErrorCode, StepError};
use restroy_run_queue::run_api::{Call, CallAnswer, CallKind};
use restroy_sdk::{event::StepRef, problem::Problem};
use serde::de::DeserializeOwned;
use serde_json::Value;
use tokio_util::task::task_tracker::TaskTrackerToken;

use crate::{
    client::{CallReply, LeaseLost},
    mask::{self, Budget, Masker},
    report::Position,
    run::{seed, task::TaskContext},
    tenant_work,
};

/// One attempt at one step.
pub(crate) struct AttemptContext {
    pub(crate) task: Arc<TaskContext>,
    pub(crate) step: StepRef,
    pub(crate) epoch: u32,
    /// Whether answers of its calls may be stored already: an earlier execution of it was cut short.
    pub(crate) repeats: bool,
    /// What must be committed before the attempt may have effects.
    pub(crate) builds_on: Position,
    /// Something of the task is running as long as this is held.
    pub(crate) _at_work: TaskTrackerToken,
    /// What it may still have searched for secrets.
    pub(crate) masking: Arc<Budget>,
}

impl AttemptContext {
    /// The idempotency key of a call.
    pub(crate) fn key(&self, call: &CallContext) -> String {
        seed::call_key(self.task.run_id, &self.step, self.epoch, call)
    }

    /// Has the control-plane carry out a call.
    pub(crate) async fn call<T: DeserializeOwned>(&self, call: &CallContext, kind: CallKind) -> CallResult<T> {
        let request =
            Call { step: self.step.clone(), call_number: call.number.into(), key: self.key(call), call: kind };
        let answer = call_result(self.task.api.call(&request).await)?;
        serde_json::from_value(answer).map_err(|error| {
            CallError::new("internal", format!("the control-plane's answer to this call cannot be read: {error}"))
                .into()
        })
    }

    /// Gives `value` back unless `find` finds a secret in it, which ends the step.
    pub(crate) async fn refuse_secrets<T: Send + 'static>(
        &self,
        what: &str,
        bytes: usize,
        value: T,
        find: impl FnOnce(&T, &Masker, &Budget) -> bool + Send + 'static,
    ) -> CallResult<T> {
        if self.task.masker.is_empty() {
            return Ok(value);
        }
        let (found, value) = self.search_within_budget(bytes, value, find).await?;
        if found { Err(secret_in_output(what).into()) } else { Ok(value) }
    }

    /// Has something of so many bytes searched, in a turn of the team if it is more than [`mask::LARGE`].
    pub(crate) async fn search_within_budget<T: Send + 'static, R: Send + 'static>(
        &self,
        bytes: usize,
        value: T,
        search: impl FnOnce(&T, &Masker, &Budget) -> R + Send + 'static,
    ) -> CallResult<(R, T)> {
        self.ensure_masking_budget()?;
        let masker = &self.task.masker;
        if bytes <= mask::LARGE {
            return Ok((search(&value, masker, &self.masking), value));
        }
        let (masker, budget) = (masker.clone(), Arc::clone(&self.masking));
        let searched = self.task.in_turn(move || (search(&value, &masker, &budget), value)).await;
        Ok(searched.map_err(|error| {
            let (code, message) = tenant_work::describe(error, "the search for secrets");
            CallError::retryable(code, message)
        })?)
    }

    /// Fails once the attempt had too much searched for secrets: searching is not paid for with fuel.
    pub(crate) fn ensure_masking_budget(&self) -> Result<(), StepError> {
        if !self.masking.is_spent() {
            return Ok(());
        }
        let message = format!(
            "the step printed and sent more than can be searched for secrets (limit: {} MiB, counted once for each encoding): \
             print or send less, or do it in a step that names no secrets",
            mask::STEPS_PER_ATTEMPT / (1024 * 1024)
        );
        Err(StepError::new(ErrorCode::Host("masking_limit".into()), message))
    }
}

/// What a call gave, for the script.
pub(crate) fn call_result(end: Result<CallReply, LeaseLost>) -> CallResult<Value> {
    match end {
        Ok(CallReply::Answered(CallAnswer::Ok(value))) => Ok(value),
        Ok(CallReply::Answered(CallAnswer::Refused(refused))) => {
            Err(CallError { code: refused.code.into(), message: refused.message, retryable: refused.retryable }.into())
        }
        Ok(CallReply::Refused(problem)) => Err(call_error(&problem).into()),
        Err(LeaseLost) => Err(lease_lost()),
    }
}

fn call_error(problem: &Problem) -> CallError {
    let message = problem.detail.clone().unwrap_or_else(|| problem.title.clone());
    CallError::new(problem.code.as_str(), message)
}

/// The sandbox ends at once: another executor has the task.
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
