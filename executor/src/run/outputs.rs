//! What steps returned that ended under an earlier lease: fetched once, before anything starts, and only what steps that
//! are still open need.

use std::collections::BTreeSet;

use restroy_run_queue::run_api::OutputsRequest;
use restroy_sdk::event::StepError;

use super::{graph::Graph, retry::StepProgress, task::TaskContext};
use crate::memory::TASK_MEMORY_LIMIT;

/// Fetches them, where the plan does not hold them. Waits without end where the lease is lost meanwhile: the task is about
/// to be dropped.
pub(super) async fn fetch(task: &TaskContext, graph: &Graph) -> Result<(), StepError> {
    let steps = needed(task, graph);
    if !task.outputs_apart || steps.is_empty() {
        return Ok(());
    }
    let mut request = OutputsRequest { steps: steps.into_iter().collect(), after: None };
    loop {
        let Ok(page) = task.api.outputs(&request).await else {
            std::future::pending::<()>().await;
            return Ok(());
        };
        task.progress.record_progress();
        let bytes = page.outputs.iter().map(|output| output.output.get().len()).sum();
        task.memory.hold(bytes).map_err(|error| StepError::new(TASK_MEMORY_LIMIT, error.to_string()))?;
        task.take_outputs(page.outputs);
        match page.next {
            Some(next) => request.after = Some(next),
            None => return Ok(()),
        }
    }
}

/// The steps whose outputs are needed: what open steps need, and open steps that run once for each item.
fn needed(task: &TaskContext, graph: &Graph) -> BTreeSet<String> {
    let name = |index: usize| task.document.steps.get_index(index).map(|(name, _)| name.clone());
    let mut needed = BTreeSet::new();
    for (index, (step, body)) in task.document.steps.iter().enumerate() {
        if matches!(task.step_progress(step, None), StepProgress::Ended(_)) {
            continue;
        }
        needed.extend(graph.needs(index).iter().filter_map(|need| name(*need)));
        if body.for_each.is_some() {
            needed.insert(step.clone());
        }
    }
    needed.retain(|step| task.has_committed(step));
    needed
}
