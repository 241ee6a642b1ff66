//! A step that runs once for each item of an array.
//!
//! The step itself starts with the number of its items and ends when all of them have; an item that
//! fails does not keep others from running. Its dependants see an array of what the items returned,
//! with null for those that failed. The array is put together here and is not reported: each item's
//! end carries its own output.

use std::{panic::AssertUnwindSafe, sync::Arc};

use futures_util::FutureExt;
use lua_wasm_host::Source;
use restroy_run_queue::run_api::StepState;
use restroy_sdk::event::{EventKind, StepError, Usage};
use serde_json::value::RawValue;
use tokio::task::JoinSet;

use super::{
    activity::ActivityGuard,
    attempts::{AttemptsResult, result_of},
    retry::{NextAttempt, StepProgress},
    sandbox::{self, AttemptFailure},
    step::{StepExecution, StepResult, in_field, internal_error},
    task::TaskContext,
};
use crate::memory::{MemoryExceeded, TASK_MEMORY_LIMIT};

/// What the results of all items together may take, in bytes of JSON.
const RESULTS_BYTES: usize = 64 * 1024 * 1024;
/// Default number of concurrent items.
const AT_ONCE: u32 = 10;

/// Executes the step.
pub(super) async fn execute(
    work: &Arc<StepExecution>,
    source: &Source,
    expression: &str,
    inputs: &Arc<str>,
    busy: &ActivityGuard,
) -> StepResult {
    let task = &work.task;
    let (items, usage) = match items(work, expression, inputs).await {
        Ok(items) => items,
        Err((failure, usage)) => return work.finish_step(Err(in_field("for_each", failure)), usage).await,
    };
    task.reporter.wait_for_capacity().await;
    let count = u32::try_from(items.len()).unwrap_or(u32::MAX);
    let before = task.committed(&work.name, None).iter().filter_map(|state| state.items).next_back();
    if before.is_some_and(|before| before != count) {
        let message = "the expression gave another number of items than before the executor was lost: \
                       it must depend on nothing but `params`, `inputs` and `config`";
        return work.finish_step(Err(AttemptFailure::new("for_each_changed", message)), usage).await;
    }
    let builds_on = task.reporter.push(EventKind::StepStarted { step: work.step_ref(), items: Some(count) }, 0);

    let at_once = work.step.max_parallel.unwrap_or(AT_ONCE).clamp(1, 1_000) as usize;
    let mut results: Vec<Option<Arc<str>>> = vec![None; items.len()];
    let mut failures: Vec<(u32, Box<StepError>)> = Vec::new();
    let mut bytes = 0;
    let mut under_way = JoinSet::new();
    let mut waiting = (1_u32..).zip(items);
    loop {
        while under_way.len() < at_once
            && let Some((index, item)) = waiting.next()
        {
            let (work, inputs, busy) = (Arc::clone(work), Arc::clone(inputs), task.activity.busy());
            let source = source.clone();
            under_way.spawn(async move {
                let item = item.get().into();
                let attempts = work.attempts(&source, Some(index), Some(item), &inputs, builds_on, &busy);
                let attempted = AssertUnwindSafe(attempts).catch_unwind().await;
                // Still busy: until the next item is under way, or the step's end.
                (index, attempted, busy)
            });
        }
        match busy.idle(under_way.join_next()).await {
            None => break,
            Some(Ok((index, Ok(AttemptsResult { result: Ok(output), .. }), _))) => {
                bytes += output.len() + 1;
                if bytes <= RESULTS_BYTES
                    && let Some(place) = results.get_mut(index as usize - 1)
                {
                    *place = Some(output);
                }
            }
            Some(Ok((index, Ok(AttemptsResult { result: Err(error), .. }), _))) => failures.push((index, error)),
            Some(Ok((_, Err(_), _)) | Err(_)) => return work.finish_step(Err(internal_error()), usage).await,
        }
    }
    failures.sort_by_key(|(index, _)| *index);
    let result = if bytes > RESULTS_BYTES {
        let message = format!("the results of all items are too large together (limit: {RESULTS_BYTES} bytes)");
        Err(AttemptFailure::new("for_each_results_limit", message))
    } else if let Some((index, error)) = failures.first() {
        let message =
            format!("{} of {count} items failed; the first of them is item {index}: {}", failures.len(), error.message);
        Err(AttemptFailure::new("items_failed", message))
    } else {
        Ok(())
    };
    // For as long as the array is made of them, both are there.
    let array = match task.memory.guard(bytes) {
        Ok(_both) if bytes <= RESULTS_BYTES => Some(array(&results)),
        _ => None,
    };
    let result = match (result, &array) {
        (Ok(()), None) => Err(AttemptFailure::new(TASK_MEMORY_LIMIT, MemoryExceeded.to_string())),
        (result, _) => result,
    };
    let ending = work.finish_step(result, usage).await;
    StepResult { output: array, ..ending }
}

/// The items, each as JSON.
async fn items(
    work: &Arc<StepExecution>,
    expression: &str,
    inputs: &Arc<str>,
) -> Result<(Vec<Box<RawValue>>, Usage), (AttemptFailure, Usage)> {
    let attempt = match work.task.step_progress(&work.name, None) {
        StepProgress::Due(attempt) => attempt,
        StepProgress::Ended(_) => NextAttempt::FIRST,
    };
    let ended = {
        let _turn = work.task.sandboxes.acquire().await;
        let attempting = work.attempt_context(None, attempt, work.builds_on);
        sandbox::expression(attempting, "for_each", expression, Arc::clone(inputs)).await
    };
    let usage = ended.usage;
    let text = ended.result.map_err(|failure| (failure, usage))?;
    let items: Vec<Box<RawValue>> = match serde_json::from_str(&text) {
        Ok(items) => items,
        // An empty table of Lua is neither an array nor an object.
        Err(_) if &*text == "{}" => Vec::new(),
        Err(_) => {
            let message = format!("the expression must give an array, not {}", kind(&text));
            return Err((AttemptFailure::new("for_each_not_an_array", message), usage));
        }
    };
    let most = work.task.most_items;
    if items.len() > most {
        let message = format!("there are {} items, which is too many (limit: {most})", items.len());
        return Err((AttemptFailure::new("for_each_items_limit", message), usage));
    }
    Ok((items, usage))
}

/// What a JSON text is, which is not an array.
fn kind(text: &str) -> &'static str {
    match text.as_bytes().first() {
        Some(b'n') => "nil",
        Some(b't' | b'f') => "a boolean",
        Some(b'"') => "a string",
        Some(b'{') => "a table with named fields",
        _ => "a number",
    }
}

fn array(results: &[Option<Arc<str>>]) -> Arc<str> {
    let mut json = String::from("[");
    for (place, result) in results.iter().enumerate() {
        if place > 0 {
            json.push(',');
        }
        json.push_str(result.as_deref().unwrap_or("null"));
    }
    json.push(']');
    json.into()
}

/// The results of a step that ended under an earlier lease.
pub(super) fn committed_results(task: &TaskContext, state: &StepState) -> Option<Arc<str>> {
    let results: Vec<Option<Arc<str>>> = (1..=state.items?)
        .map(|index| match task.step_progress(&state.step.step, Some(index)) {
            StepProgress::Ended(state) => result_of(task, state).ok(),
            StepProgress::Due(_) => None,
        })
        .collect();
    let array = array(&results);
    // The array takes their place.
    task.forget_items(&state.step.step);
    Some(array)
}
