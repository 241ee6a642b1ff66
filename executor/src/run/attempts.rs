//! The attempts at a script: of a step, or of one item of a `for_each`.

use std::sync::{Arc, atomic::Ordering};

use lua_wasm_host::Source;
use restroy_run_queue::run_api::StepState;
use restroy_sdk::{
    event::{EventKind, StepError, StepRef},
    status::StepStatus,
};
use tokio::time::Instant;

use super::{
    activity::ActivityGuard,
    retry::{self, NextAttempt, StepProgress},
    sandbox::{self, AttemptFailure},
    step::{StepExecution, finished, size_of},
    task::TaskContext,
};
use crate::{capability::attempt::AttemptContext, memory::TASK_MEMORY_LIMIT, report::Position};

/// How a step, or an item of it, ended after all its attempts.
pub(super) struct AttemptsResult {
    pub(super) result: Result<Arc<str>, Box<StepError>>,
    pub(super) position: Position,
}

impl StepExecution {
    /// Attempts the script until it succeeds or fails for good. The end of the last attempt is
    /// reported when this returns.
    pub(super) async fn attempts(
        self: &Arc<Self>,
        source: &Source,
        index: Option<u32>,
        item: Option<Arc<str>>,
        inputs: &Arc<str>,
        mut builds_on: Position,
        busy: &ActivityGuard,
    ) -> AttemptsResult {
        let task = &self.task;
        let mut attempt = match task.step_progress(&self.name, index) {
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
                let attempting = self.attempt_context(index, attempt, builds_on);
                sandbox::script(attempting, &self.step, source, Arc::clone(inputs), item.clone()).await
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
            attempt = attempt.next(&failure.error, Instant::now() + pause);
        }
    }

    /// Waits until an attempt is due, holding no sandbox meanwhile. The run may be suspended for as long.
    pub(super) async fn wait_until_due(&self, attempt: NextAttempt, step: &StepRef, busy: &ActivityGuard) {
        if let Some(until) = attempt.not_before {
            self.task.progress.watch(until, busy.pause(step.clone(), until)).await;
        }
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
}

/// How a step or an item ended that is committed.
pub(super) fn result_of(task: &TaskContext, state: &StepState) -> Result<Arc<str>, Box<StepError>> {
    if state.status == StepStatus::Succeeded {
        return Ok(task.output(state));
    }
    Err(Box::new(state.error.clone().unwrap_or_else(|| StepError::new("internal", "it did not succeed"))))
}
