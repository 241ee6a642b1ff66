//! What a step does, by its kind. Each kind reports the end of its step before it returns.

mod script;
mod sleep;

use std::sync::Arc;

use restroy_sdk::document::StepKind;

use super::{
    activity::ActivityGuard,
    step::{StepExecution, StepResult},
};

/// Executes a step that is to run: its `if` was true or it has none.
pub(super) async fn execute(work: &Arc<StepExecution>, busy: &ActivityGuard) -> StepResult {
    match &work.step.kind {
        StepKind::Script(path) => script::execute(work, path, busy).await,
        StepKind::Sleep(duration) => sleep::execute(work, *duration, busy).await,
    }
}
