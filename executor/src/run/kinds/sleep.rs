//! A step that sleeps: it waits for a time and does nothing else. It takes no sandbox, and its run may be suspended for as
//! long.
//!
//! The wait begins once: its start is reported with how long it lasts, and whoever takes the run over learns how much of
//! it is left.

use std::{sync::Arc, time::Duration};

use restroy_sdk::{
    document::DurationText,
    event::{EventKind, Usage},
};
use tokio::time::Instant;

use crate::run::{
    activity::ActivityGuard,
    graph::StepEnd,
    retry::{NextAttempt, StepProgress},
    step::{StepExecution, StepResult},
};

/// Executes the step.
pub(super) async fn execute(work: &StepExecution, duration: DurationText, busy: &ActivityGuard) -> StepResult {
    let (reporter, step) = (&work.task.reporter, work.step_ref());
    let mut attempt = match work.task.step_progress(&work.name, None) {
        StepProgress::Due(attempt) => attempt,
        StepProgress::Ended(_) => NextAttempt::FIRST,
    };
    reporter.wait_for_capacity().await;
    if attempt.not_before.is_none() {
        let delay_ms = Some(duration.millis());
        reporter.push(EventKind::StepWaiting { step: step.clone(), until: None, delay_ms }, 0);
        attempt.not_before = Some(Instant::now() + Duration::from(duration));
    }
    work.wait_until_due(attempt, &step, busy).await;
    let output: Arc<str> = "null".into();
    let position = reporter.succeeded(step, Arc::clone(&output), Usage::default());
    StepResult { end: StepEnd::Succeeded, output: Some(output), error: None, position }
}
