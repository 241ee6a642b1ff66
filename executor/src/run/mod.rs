//! Drives a run through its graph.
//!
//! [`graph`] decides and does nothing; [`step`] does and decides nothing about other steps. Between the two stands
//! [`run_task`]: it starts a task for every step that may run, and informs the graph how each ended. A step's end
//! is in the report before the graph hears of it, so the report is in topological order, and no step waits for the
//! network before another one starts.

pub(crate) mod activity;
mod attempts;
mod for_each;
mod graph;
mod inputs;
mod kinds;
mod outputs;
mod retry;
mod sandbox;
pub(crate) mod seed;
mod step;
pub(crate) mod task;

use std::sync::Arc;

use restroy_sdk::{
    event::{EventKind, StepError},
    status::RunStatus,
};
use tokio::task::JoinSet;

use self::{
    activity::ActivityGuard,
    graph::{Decision, Graph, GraphProgress, StepIndex},
    retry::StepProgress,
    step::{StepExecution, StepInputs, StepResult},
    task::TaskContext,
};

/// Drives a run from where it stands to its end; returns when the end is committed. Dropping the
/// future ends every sandbox of the run at once.
pub(crate) async fn run_task(task: Arc<TaskContext>) {
    let event = match Graph::new(&task.document) {
        Ok(graph) => schedule_steps(&task, &graph).await,
        Err(error) => {
            let error = StepError::new("internal", format!("the document cannot be executed: {error}"));
            EventKind::RunFinished { status: RunStatus::Failed, error: Some(error) }
        }
    };
    let last = task.reporter.push(event, 0);
    task.reporter.committed(last).await;
}

async fn schedule_steps(task: &Arc<TaskContext>, graph: &Graph) -> EventKind {
    if let Err(error) = outputs::fetch(task, graph).await {
        return EventKind::RunFinished { status: RunStatus::Failed, error: Some(error) };
    }
    let mut endings: Vec<Option<StepResult>> = task
        .document
        .steps
        .iter()
        .map(|(name, step)| match task.step_progress(name, None) {
            StepProgress::Ended(state) => Some(step::committed_result(task, step, state)),
            StepProgress::Due(_) => None,
        })
        .collect();
    let ended = endings.iter().enumerate().filter_map(|(index, ending)| Some((index, ending.as_ref()?.end)));
    let mut walk = GraphProgress::new(graph, ended);
    let mut under_way: JoinSet<(StepIndex, StepResult, ActivityGuard)> = JoinSet::new();
    // Held until what follows from the step that ended last is under way.
    let mut last: Option<ActivityGuard> = Some(task.activity.busy());
    loop {
        while let Some(decision) = walk.next_decision() {
            match decision {
                Decision::Start(index) => {
                    let Some(work) = step_execution(task, graph, &endings, index) else { continue };
                    let busy = task.activity.busy();
                    under_way.spawn(async move { (index, Arc::new(work).execute(&busy).await, busy) });
                }
                Decision::Skip(index, end) => {
                    if let Some((name, _)) = task.document.steps.get_index(index) {
                        endings[index] = Some(step::skip(task, name, end));
                    }
                }
            }
        }
        if walk.is_over() {
            break;
        }
        drop(last.take());
        match under_way.join_next().await {
            Some(Ok((index, ending, busy))) => {
                last = Some(busy);
                walk.ended(index, ending.end);
                endings[index] = Some(ending);
            }
            // Steps contain their panics and nobody else cancels them; and a graph without cycles
            // always has a step under way until it is over.
            Some(Err(_)) | None => {
                return failed(
                    "internal",
                    "the run failed because of an internal error of the \
                platform",
                );
            }
        }
    }
    let Some(culprit) = walk.failed_step() else {
        return EventKind::RunFinished { status: RunStatus::Succeeded, error: None };
    };
    let name = task.document.steps.get_index(culprit).map_or("", |(name, _)| name.as_str());
    let why = endings[culprit].as_ref().and_then(|ending| ending.error.as_ref());
    let why = why.map_or_else(String::new, |error| format!(": {}", error.message));
    failed("step_failed", format!("the step `{name}` failed{why}"))
}

fn failed(code: &str, message: impl Into<String>) -> EventKind {
    EventKind::RunFinished { status: RunStatus::Failed, error: Some(StepError::new(code, message)) }
}

/// What a step is given, once all that it needs has ended.
fn step_execution(
    task: &Arc<TaskContext>,
    graph: &Graph,
    endings: &[Option<StepResult>],
    index: StepIndex,
) -> Option<StepExecution> {
    let (name, step) = task.document.steps.get_index(index)?;
    let needs = || graph.needs(index).iter().filter_map(|need| Some((*need, endings[*need].as_ref()?)));
    let inputs: Vec<_> = needs()
        .filter_map(|(need, ending)| {
            let (name, _) = task.document.steps.get_index(need)?;
            Some((name.clone(), Arc::clone(ending.output.as_ref()?)))
        })
        .collect();
    // What the needs themselves build on stands before their ends.
    let builds_on = needs().map(|(_, ending)| ending.position).max().unwrap_or_default();
    let current = match task.step_progress(name, None) {
        StepProgress::Due(attempt) => attempt.number,
        StepProgress::Ended(state) => state.step.attempt,
    };
    Some(StepExecution {
        task: Arc::clone(task),
        name: name.clone(),
        step: step.clone(),
        inputs: StepInputs::new(inputs),
        builds_on,
        current: current.into(),
    })
}
