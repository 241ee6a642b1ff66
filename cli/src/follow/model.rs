//! What is known of a run that is followed: events in, state out. No clock, no terminal.

use std::{collections::BTreeMap, time::Duration};

use indexmap::IndexMap;
use restroy_sdk::{
    event::{Event, EventKind, Level, StepError, StepRef},
    status::{RunStatus, StepStatus},
    time::Timestamp,
};

/// A run as far as its events told.
#[derive(Debug, Clone)]
pub(crate) struct RunView {
    /// The run's state.
    pub(crate) status: RunStatus,
    /// Why it did not succeed.
    pub(crate) error: Option<StepError>,
    /// Its steps in the document's order; those that the document does not name come last.
    pub(crate) steps: IndexMap<String, StepView>,
    /// When it was recorded.
    pub(crate) queued_at: Option<Timestamp>,
    /// When an executor took it on.
    pub(crate) started_at: Option<Timestamp>,
    /// When it ended.
    pub(crate) finished_at: Option<Timestamp>,
    /// The number of the newest event.
    pub(crate) last_seq: i64,
}

/// A step as far as its events told.
#[derive(Debug, Clone)]
pub(crate) struct StepView {
    /// Its state.
    pub(crate) status: StepStatus,
    /// Its newest attempt, from 1; 0 before the first.
    pub(crate) attempt: u32,
    /// Whether it waits for another attempt.
    pub(crate) retrying: bool,
    /// When it started first.
    pub(crate) started_at: Option<Timestamp>,
    /// When it ended.
    pub(crate) finished_at: Option<Timestamp>,
    /// What its last attempt measured, in milliseconds.
    wall_ms: u64,
    /// How far its script says it is, 0 to 1.
    pub(crate) fraction: Option<f64>,
    /// What its script says about that.
    pub(crate) message: Option<String>,
    /// For a `for_each` step: how many items it has.
    pub(crate) items: Option<u32>,
    /// The items that ended, by number, and whether they succeeded.
    ended: BTreeMap<u32, bool>,
    /// Why it did not succeed, or was skipped.
    pub(crate) error: Option<StepError>,
}

impl Default for StepView {
    fn default() -> Self {
        Self {
            status: StepStatus::Pending,
            attempt: 0,
            retrying: false,
            started_at: None,
            finished_at: None,
            wall_ms: 0,
            fraction: None,
            message: None,
            items: None,
            ended: BTreeMap::new(),
            error: None,
        }
    }
}

impl StepView {
    /// How long it took, or takes at the moment `now`. Steps so short that their events were
    /// recorded together have measured it themselves.
    pub(crate) fn took(&self, now: Timestamp) -> Option<String> {
        let started = self.started_at?;
        let end = self.finished_at.unwrap_or(now);
        Some(seconds(end.max(started.after(Duration::from_millis(self.wall_ms))), started))
    }

    /// How many items ended.
    pub(crate) fn items_done(&self) -> usize {
        self.ended.len()
    }

    /// How many items did not succeed.
    pub(crate) fn items_failed(&self) -> usize {
        self.ended.values().filter(|succeeded| !**succeeded).count()
    }

    /// How far it is, 0 to 1, if anything is known about that.
    #[allow(clippy::cast_precision_loss, reason = "items are few; a bar has twenty places")]
    pub(crate) fn progress(&self) -> Option<f64> {
        match self.items {
            _ if self.status == StepStatus::Succeeded => Some(1.0),
            Some(0) => Some(1.0),
            Some(items) => Some(self.items_done() as f64 / f64::from(items)),
            None => self.fraction,
        }
    }
}

/// A line to show.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct LogLine {
    /// The time of the event.
    pub(crate) at: Timestamp,
    /// Of which step, with its item: `year[3]`; of the run itself when empty.
    pub(crate) source: String,
    /// What kind of line.
    pub(crate) kind: LogLineKind,
    /// The line.
    pub(crate) text: String,
}

/// What kind of line a note is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum LogLineKind {
    /// Printed by a script.
    Output(Level),
    /// Something began, continues or waits.
    Status,
    /// Something ended well.
    Success,
    /// Something did not happen, or happens again.
    Warning,
    /// Something failed.
    Failure,
}

impl RunView {
    /// A run of which nothing happened yet, with its steps' names in the document's order.
    pub(crate) fn new(steps: impl IntoIterator<Item = String>) -> Self {
        Self {
            status: RunStatus::Queued,
            error: None,
            steps: steps.into_iter().map(|name| (name, StepView::default())).collect(),
            queued_at: None,
            started_at: None,
            finished_at: None,
            last_seq: 0,
        }
    }

    /// Takes an event in and gives the lines that tell of it.
    pub(crate) fn apply(&mut self, event: &Event) -> Vec<LogLine> {
        let at = event.at;
        self.last_seq = event.seq;
        let of_run = |kind, text: String| vec![LogLine { at, source: String::new(), kind, text }];
        match &event.kind {
            EventKind::RunQueued {} => {
                self.queued_at = Some(at);
                Vec::new()
            }
            EventKind::RunStarted {} => {
                self.status = RunStatus::Running;
                self.started_at = Some(at);
                of_run(LogLineKind::Status, "started".into())
            }
            EventKind::RunFinished { status, error } => {
                self.status = *status;
                self.finished_at = Some(at);
                self.error.clone_from(error);
                // What was cut off does not continue; what never began stays as it is.
                for step in self.steps.values_mut().filter(|step| !step.status.is_terminal() && step.attempt > 0) {
                    step.status = StepStatus::Cancelled;
                    step.finished_at = Some(at);
                }
                let took = self.started_at.map(|started| format!(" in {}", seconds(at, started))).unwrap_or_default();
                let why = error.as_ref().map(|error| format!(": {}", error.message)).unwrap_or_default();
                let kind = if *status == RunStatus::Succeeded { LogLineKind::Success } else { LogLineKind::Failure };
                of_run(kind, format!("{}{took}{why}", status_words(status.as_str())))
            }
            EventKind::StepStarted { step, items } => self.step_started(at, step, *items),
            EventKind::StepOutput { step, lines, .. } => {
                let source = source(step);
                lines
                    .iter()
                    .map(|line| LogLine {
                        at,
                        source: source.clone(),
                        kind: LogLineKind::Output(line.level),
                        text: line.text.clone(),
                    })
                    .collect()
            }
            EventKind::StepProgress { step, fraction, message } => {
                if step.index.is_none() {
                    let view = self.step(step);
                    view.fraction = Some(fraction.clamp(0.0, 1.0));
                    view.message.clone_from(message);
                }
                Vec::new()
            }
            EventKind::StepRetrying { step, error, delay_ms, .. } => {
                let view = self.step(step);
                if step.index.is_none() {
                    view.retrying = true;
                    view.fraction = None;
                    view.message = None;
                    view.error = Some(error.clone());
                }
                let pause = format!("{}.{} s", delay_ms / 1000, delay_ms % 1000 / 100);
                let text = format!("attempt {} failed: {}; again in {pause}", step.attempt, error.message);
                vec![LogLine { at, source: source(step), kind: LogLineKind::Warning, text }]
            }
            EventKind::StepLost { step } => {
                let view = self.step(step);
                if step.index.is_none() {
                    view.status = StepStatus::Pending;
                    view.fraction = None;
                    view.message = None;
                }
                let text = "the executor was lost; the attempt is repeated and its output so far is discarded".into();
                vec![LogLine { at, source: source(step), kind: LogLineKind::Warning, text }]
            }
            EventKind::StepWaiting { step, until, delay_ms } => {
                let until = until.map(|until| format!("until {}", crate::output::moment(until)));
                if step.index.is_none() {
                    let view = self.step(step);
                    view.status = StepStatus::Waiting;
                    view.message.clone_from(&until);
                    if delay_ms.is_some() {
                        view.started_at.get_or_insert(at);
                    }
                }
                let until = until.map(|until| format!(" {until}")).unwrap_or_default();
                let text = match delay_ms {
                    Some(_) => format!("waiting{until}"),
                    None => format!("waiting{until} for attempt {}; the run holds no slot meanwhile", step.attempt),
                };
                vec![LogLine { at, source: source(step), kind: LogLineKind::Status, text }]
            }
            EventKind::StepFinished { step, status, error, usage, .. } => {
                self.step_finished(at, step, *status, error.as_ref(), usage.wall_ms)
            }
        }
    }

    fn step(&mut self, step: &StepRef) -> &mut StepView {
        let view = self.steps.entry(step.step.clone()).or_default();
        if step.index.is_none() {
            view.attempt = view.attempt.max(step.attempt);
        }
        view
    }

    fn step_started(&mut self, at: Timestamp, step: &StepRef, items: Option<u32>) -> Vec<LogLine> {
        let view = self.step(step);
        view.started_at.get_or_insert(at);
        if step.index.is_none() {
            view.status = StepStatus::Running;
            view.message = None;
            view.retrying = false;
            view.items = items.or(view.items);
        } else if view.status == StepStatus::Pending {
            view.status = StepStatus::Running;
            view.attempt = view.attempt.max(1);
        }
        let text = match items {
            Some(1) => "started, 1 item".into(),
            Some(items) => format!("started, {items} items"),
            None if step.attempt > 1 => format!("started, attempt {}", step.attempt),
            None => "started".into(),
        };
        vec![LogLine { at, source: source(step), kind: LogLineKind::Status, text }]
    }

    fn step_finished(
        &mut self,
        at: Timestamp,
        step: &StepRef,
        status: StepStatus,
        error: Option<&StepError>,
        wall_ms: u64,
    ) -> Vec<LogLine> {
        let view = self.step(step);
        if let Some(index) = step.index {
            view.ended.insert(index, status == StepStatus::Succeeded);
        } else {
            view.status = status;
            view.retrying = false;
            view.finished_at = Some(at);
            view.wall_ms = wall_ms;
            view.error = error.cloned();
        }
        let kind = match status {
            StepStatus::Succeeded => LogLineKind::Success,
            StepStatus::Skipped => LogLineKind::Warning,
            _ => LogLineKind::Failure,
        };
        let took = match (view.took(at), step.index) {
            (Some(took), None) => format!(" in {took}"),
            _ => String::new(),
        };
        let why = error.map(|error| format!(": {}", error.message)).unwrap_or_default();
        let source = source(step);
        let mut notes = vec![LogLine {
            at,
            source: source.clone(),
            kind,
            text: format!("{}{took}{why}", status_words(status.as_str())),
        }];
        let traceback = error.and_then(|error| error.traceback.as_deref()).unwrap_or_default();
        notes.extend(traceback.lines().map(|line| LogLine {
            at,
            source: source.clone(),
            kind: LogLineKind::Failure,
            text: format!("  {line}"),
        }));
        notes
    }
}

/// A step with its item: `year[3]`.
fn source(step: &StepRef) -> String {
    match step.index {
        Some(index) => format!("{}[{index}]", step.step),
        None => step.step.clone(),
    }
}

/// `timed_out` as people write it.
pub(crate) fn status_words(status: &str) -> String {
    status.replace('_', " ")
}

/// The time between two moments: `449 ms`, `1.4 s`, `1m 05s`, `2h 03m`.
pub(crate) fn seconds(later: Timestamp, earlier: Timestamp) -> String {
    let span = later.since(earlier);
    let whole = span.as_secs();
    match whole {
        0 => format!("{} ms", span.subsec_millis()),
        1..60 => format!("{whole}.{} s", span.subsec_millis() / 100),
        60..3600 => format!("{}m {:02}s", whole / 60, whole % 60),
        _ => format!("{}h {:02}m", whole / 3600, whole % 3600 / 60),
    }
}
