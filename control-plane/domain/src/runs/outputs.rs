//! `POST /run/v1/tasks/{id}/outputs`: what steps returned that ended under an earlier lease. Only what is asked for, as the
//! text that it is, and a page at a time: all outputs of a run may be a quarter of a gigabyte.

use restroy_run_queue::run_api::{OUTPUTS_PAGE_BYTES, OutputsCursor, OutputsPage, OutputsRequest, StepOutput};
use restroy_sdk::ids::TaskId;
use serde_json::value::RawValue;

use super::{lease, steps};
use crate::{DomainResult, state::DomainState};

/// A page of the outputs that the holder of a task asks for.
pub async fn outputs(
    state: &DomainState,
    id: TaskId,
    token: &str,
    request: OutputsRequest,
) -> DomainResult<OutputsPage> {
    let OutputsRequest { mut steps, after } = request;
    steps.sort_unstable();
    steps.dedup();
    let (mut tx, leased) = lease::leased_task_for_read(&state.db, id, token).await?;
    let mut page = OutputsPage { outputs: Vec::new(), next: after };
    let mut room = OUTPUTS_PAGE_BYTES;
    for step in steps {
        let from = match &page.next {
            Some(cursor) if step < cursor.step => continue,
            Some(cursor) if step == cursor.step => i64::from(cursor.index),
            _ => -1,
        };
        let first = page.outputs.is_empty();
        let (outputs, all) = steps::outputs(&mut tx, leased.run_id, &step, from, (room, first)).await?;
        for (idx, output) in outputs {
            let index = u32::try_from(idx).unwrap_or_default();
            room = room.saturating_sub(output.len() as u64);
            page.next = Some(OutputsCursor { step: step.clone(), index });
            page.outputs.push(StepOutput { step: step.clone(), index, output: RawValue::from_string(output)? });
        }
        if !all {
            return Ok(page);
        }
    }
    page.next = None;
    Ok(page)
}
