//! The state machine of a run's steps: which reported events may follow on what is committed, and
//! what they make of it. Pure: nothing here reads or writes the database.
//!
//! A batch is taken as a whole or refused as a whole, with the event at error named.

use std::{collections::BTreeMap, time::Duration};

use restroy_sdk::{
    event::{EventKind, Line, StepError, StepRef, Usage},
    problem::FieldError,
    status::{RunStatus, StepStatus},
    time::Timestamp,
};

use super::limits::{
    MAX_ATTEMPTS, MAX_BATCH_EVENTS, MAX_ITEMS, MAX_OUTPUT_CHUNK, MAX_PROGRESS_MESSAGE, MAX_RETRY_DELAY, MAX_RUN_AGE,
    MAX_STEP_OUTPUT,
};

/// The step's name and the item; 0 for the step itself.
pub(crate) type StepKey = (String, u32);

/// The codes with which an attempt that is repeated counts as timed out rather than failed.
const TIME_CODES: [&str; 3] = ["wall_time_limit", "cpu_time_limit", "timed_out"];

/// The newest attempt at a step or item.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct AttemptState {
    /// From 1.
    pub(crate) number: u32,
    /// Its status.
    pub(crate) status: StepStatus,
    /// Of a `for_each` step itself: how many items it has.
    pub(crate) items: Option<u32>,
    /// Another attempt follows.
    pub(crate) retried: bool,
    /// While it waits, when it is due; once it is retried, when the next one is.
    pub(crate) due_at: Option<Timestamp>,
    /// What it returned, as JSON.
    pub(crate) output: Option<String>,
    /// Why it did not succeed.
    pub(crate) error: Option<StepError>,
    /// What it used.
    pub(crate) usage: Option<Usage>,
    /// When it started.
    pub(crate) started_at: Option<Timestamp>,
    /// When it ended.
    pub(crate) finished_at: Option<Timestamp>,
}

impl AttemptState {
    /// An attempt that nothing is known of yet.
    pub(crate) fn new(number: u32) -> Self {
        Self {
            number,
            status: StepStatus::Pending,
            items: None,
            retried: false,
            due_at: None,
            output: None,
            error: None,
            usage: None,
            started_at: None,
            finished_at: None,
        }
    }
}

/// What a batch makes of the committed state.
#[derive(Debug, Default)]
pub(crate) struct Changes {
    /// The attempts that were made or changed.
    pub(crate) attempts: BTreeMap<(StepKey, u32), AttemptState>,
    /// How the run ended, if it did.
    pub(crate) ending: Option<(RunStatus, Option<StepError>)>,
}

/// The places that a batch speaks of, and the steps above them: what must be known to judge it.
pub(crate) fn step_keys(events: &[EventKind]) -> Vec<StepKey> {
    keys_of(events.iter().filter_map(step_of))
}

/// The places of attempts, and the steps above them.
pub(crate) fn keys_of<'a>(attempts: impl IntoIterator<Item = &'a StepRef>) -> Vec<StepKey> {
    let mut places: Vec<StepKey> = Vec::new();
    for step in attempts {
        places.push((step.step.clone(), 0));
        if let Some(index) = step.index {
            places.push((step.step.clone(), index));
        }
    }
    places.sort();
    places.dedup();
    places
}

/// The step that an event speaks of.
pub(crate) fn step_of(event: &EventKind) -> Option<&StepRef> {
    match event {
        EventKind::StepStarted { step, .. }
        | EventKind::StepOutput { step, .. }
        | EventKind::StepProgress { step, .. }
        | EventKind::StepRetrying { step, .. }
        | EventKind::StepLost { step }
        | EventKind::StepWaiting { step, .. }
        | EventKind::StepFinished { step, .. } => Some(step),
        EventKind::RunQueued {} | EventKind::RunStarted {} | EventKind::RunFinished { .. } => None,
    }
}

/// Fills in when the attempts of a batch are due that begin to wait: so long from now, by this clock and no other. An
/// executor reports how long, and names no time.
pub(crate) fn set_due_times(events: &mut [EventKind], now: Timestamp) -> Result<(), Box<FieldError>> {
    for (at, event) in events.iter_mut().enumerate() {
        let EventKind::StepWaiting { until, delay_ms, .. } = event else { continue };
        let fault = |detail: String| Box::new(FieldError::new(format!("/events/{at}"), detail));
        let delay = delay_ms.map(Duration::from_millis).ok_or_else(|| fault("`delay_ms` is missing.".into()))?;
        if delay > MAX_RUN_AGE {
            return Err(fault(format!("A step waits at most {} days.", MAX_RUN_AGE.as_secs() / 86_400)));
        }
        *until = Some(now.after(delay));
    }
    Ok(())
}

/// What an attempt waits for, as it is recorded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Wait {
    /// When it is due; none: nothing but somebody's signal ends the wait.
    pub(crate) due: Option<Timestamp>,
    /// Whether it was said that it waits.
    pub(crate) recorded: bool,
}

/// What an attempt waits for: one that waits of its own accord, or that follows on one that is retried.
pub(crate) fn wait_of(newest: Option<&AttemptState>, step: &StepRef) -> Result<Wait, String> {
    match newest {
        Some(known) if known.number == step.attempt && known.status == StepStatus::Waiting => {
            Ok(Wait { due: known.due_at, recorded: true })
        }
        Some(known) if known.retried && known.number.checked_add(1) == Some(step.attempt) => {
            Ok(Wait { due: known.due_at, recorded: false })
        }
        Some(known) if known.number == step.attempt => {
            Err(format!("Attempt {} at `{}` is {}, not waiting.", step.attempt, step.step, known.status))
        }
        _ => Err(wrong_attempt(newest, step)),
    }
}

/// Judges a batch. `newest` holds, of every place in [`step_keys`], the newest attempt; a step that is
/// not there is not in the document.
pub(crate) fn apply(
    mut newest: BTreeMap<StepKey, AttemptState>,
    events: &[EventKind],
    now: Timestamp,
) -> Result<Changes, Box<FieldError>> {
    if events.len() > MAX_BATCH_EVENTS {
        let detail = format!("A batch takes at most {MAX_BATCH_EVENTS} events; this one has {}.", events.len());
        return Err(Box::new(FieldError::new("/events", detail)));
    }
    let mut changes = Changes::default();
    for (at, event) in events.iter().enumerate() {
        let fault = |detail: String| Box::new(FieldError::new(format!("/events/{at}"), detail));
        if changes.ending.is_some() {
            return Err(fault("Nothing follows `run.finished`.".into()));
        }
        match step_of(event) {
            None => changes.ending = Some(finish_run(event).map_err(fault)?),
            Some(step) => {
                let place = step_key(&newest, step).map_err(fault)?;
                let next = step_event(newest.get(&place), event, step, now).map_err(fault)?;
                if let Some(next) = next {
                    newest.insert(place.clone(), next.clone());
                    changes.attempts.insert((place, next.number), next);
                }
            }
        }
    }
    Ok(changes)
}

fn finish_run(event: &EventKind) -> Result<(RunStatus, Option<StepError>), String> {
    match event {
        EventKind::RunFinished { status, error } => match status {
            RunStatus::Succeeded | RunStatus::Failed | RunStatus::TimedOut => Ok((*status, error.clone())),
            other => Err(format!("An executor ends a run as succeeded, failed or timed_out, not as {other}.")),
        },
        _ => Err("This event is the control-plane's own.".into()),
    }
}

/// Where an event belongs, if the run has such a place.
fn step_key(newest: &BTreeMap<StepKey, AttemptState>, step: &StepRef) -> Result<StepKey, String> {
    let Some(parent) = newest.get(&(step.step.clone(), 0)) else {
        return Err(format!("The run has no step `{}`.", step.step));
    };
    let Some(index) = step.index else { return Ok((step.step.clone(), 0)) };
    match parent.items {
        Some(items) if (1..=items).contains(&index) => Ok((step.step.clone(), index)),
        Some(items) => {
            Err(format!("The step `{}` has {items} items, counted from 1; {index} is none of them.", step.step))
        }
        None => Err(format!("The step `{}` has not been started with items.", step.step)),
    }
}

/// What an event makes of a place's newest attempt; nothing where it changes nothing.
fn step_event(
    newest: Option<&AttemptState>,
    event: &EventKind,
    step: &StepRef,
    now: Timestamp,
) -> Result<Option<AttemptState>, String> {
    match event {
        EventKind::StepStarted { items, .. } => {
            let mut attempt = advanced(newest, step, StepStatus::Running)?;
            if let Some(items) = items {
                set_items(&mut attempt, step, *items)?;
            }
            attempt.started_at = Some(now);
            Ok(Some(attempt))
        }
        EventKind::StepOutput { first_line, lines, .. } => {
            running_attempt(newest, step)?;
            check_output(*first_line, lines)?;
            Ok(None)
        }
        EventKind::StepProgress { fraction, message, .. } => {
            running_attempt(newest, step)?;
            if !(0.0..=1.0).contains(fraction) {
                return Err(format!("Progress goes from 0 to 1, not to {fraction}."));
            }
            match message {
                Some(message) if message.len() > MAX_PROGRESS_MESSAGE => {
                    Err(format!("A progress message takes at most {MAX_PROGRESS_MESSAGE} bytes."))
                }
                _ => Ok(None),
            }
        }
        EventKind::StepRetrying { error, delay_ms, usage, .. } => {
            let delay = Duration::from_millis(*delay_ms);
            if delay > MAX_RETRY_DELAY {
                return Err("The pause before another attempt is longer than a day.".into());
            }
            if step.attempt >= MAX_ATTEMPTS {
                return Err(format!("A step is attempted at most {MAX_ATTEMPTS} times."));
            }
            let timed_out = TIME_CODES.contains(&error.code.as_str());
            let status = if timed_out { StepStatus::TimedOut } else { StepStatus::Failed };
            let mut attempt = advanced(newest, step, status)?;
            attempt.error = Some(error.clone());
            attempt.usage = Some(*usage);
            attempt.retried = true;
            attempt.due_at = Some(now.after(delay));
            attempt.finished_at = Some(now);
            Ok(Some(attempt))
        }
        EventKind::StepWaiting { until, delay_ms, .. } => {
            let mut attempt = advanced(newest, step, StepStatus::Waiting)?;
            attempt.due_at = *until;
            if delay_ms.is_some() {
                // It waits of its own accord: that is what it does.
                attempt.started_at = Some(now);
            }
            Ok(Some(attempt))
        }
        EventKind::StepFinished { status, output, error, usage, .. } => {
            if !status.is_terminal() {
                return Err(format!("A step does not finish as {status}."));
            }
            let mut attempt = advanced(newest, step, *status)?;
            attempt.output = output.as_ref().map(|output| check_result(*status, output)).transpose()?;
            attempt.error.clone_from(error);
            attempt.usage = Some(*usage);
            attempt.finished_at = Some(now);
            Ok(Some(attempt))
        }
        EventKind::StepLost { .. } => Err("This event is the control-plane's own.".into()),
        EventKind::RunQueued {} | EventKind::RunStarted {} | EventKind::RunFinished { .. } => Ok(None),
    }
}

/// The attempt that an event speaks of, with the status that the event brings, if it may follow.
fn advanced(newest: Option<&AttemptState>, step: &StepRef, status: StepStatus) -> Result<AttemptState, String> {
    let mut attempt = match newest {
        Some(known) if known.number == step.attempt => known.clone(),
        Some(known) if known.retried && known.number.checked_add(1) == Some(step.attempt) => {
            AttemptState::new(step.attempt)
        }
        None if step.attempt == 1 => AttemptState::new(1),
        _ => return Err(wrong_attempt(newest, step)),
    };
    if !attempt.status.may_become(status) {
        return Err(format!(
            "Attempt {} at `{}` is {}: it cannot become {status}.",
            step.attempt, step.step, attempt.status
        ));
    }
    attempt.status = status;
    Ok(attempt)
}

fn running_attempt(newest: Option<&AttemptState>, step: &StepRef) -> Result<(), String> {
    match newest {
        Some(known) if known.number == step.attempt && known.status == StepStatus::Running => Ok(()),
        Some(known) if known.number == step.attempt => {
            Err(format!("Attempt {} at `{}` is {}, not running.", step.attempt, step.step, known.status))
        }
        _ => Err(wrong_attempt(newest, step)),
    }
}

fn wrong_attempt(newest: Option<&AttemptState>, step: &StepRef) -> String {
    let stands = newest.map_or_else(
        || "it has not been started".into(),
        |known| format!("the newest is attempt {}, {}", known.number, known.status),
    );
    format!("Attempt {} at `{}` is out of turn: {stands}.", step.attempt, step.step)
}

fn set_items(attempt: &mut AttemptState, step: &StepRef, items: u32) -> Result<(), String> {
    if step.index.is_some() {
        return Err("An item has no items of its own.".into());
    }
    if items > MAX_ITEMS {
        return Err(format!("A `for_each` takes at most {MAX_ITEMS} items; this one has {items}."));
    }
    match attempt.items {
        Some(known) if known != items => Err(format!("The step has {known} items; it cannot have {items} now.")),
        _ => {
            attempt.items = Some(items);
            Ok(())
        }
    }
}

fn check_output(first_line: u64, lines: &[Line]) -> Result<(), String> {
    let bytes: usize = lines.iter().map(|line| line.text.len() + 1).sum();
    if first_line == 0 || lines.is_empty() {
        return Err("Output has at least one line, and lines count from 1.".into());
    }
    // The end of the last line does not count: a chunk may be one line of exactly the limit.
    if bytes > MAX_OUTPUT_CHUNK + 1 {
        return Err(format!("A chunk of output takes at most {MAX_OUTPUT_CHUNK} bytes; this one has {bytes}."));
    }
    Ok(())
}

fn check_result(status: StepStatus, output: &serde_json::Value) -> Result<String, String> {
    if status != StepStatus::Succeeded {
        return Err(format!("Only a step that succeeded has an output; this one is {status}."));
    }
    let text = output.to_string();
    if text.len() > MAX_STEP_OUTPUT {
        return Err(format!("A step returns at most {MAX_STEP_OUTPUT} bytes; this one returned {}.", text.len()));
    }
    Ok(text)
}
