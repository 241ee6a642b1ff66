//! What happened, on its way to the control-plane.
//!
//! Events leave in the order in which they were pushed, and an event is pushed only after all that
//! it builds on: so the order is a topological one, and what is committed is always a beginning of
//! it. One batch is under way at a time; what happens meanwhile makes up the next. A batch waits
//! [`LINGER`] for company, unless somebody waits for its commit.
//!
//! Lines and progress come from inside a sandbox, which cannot wait: the sandbox's own limits bound
//! them. Everything else waits for [`Reporter::wait_for_capacity`] first.

use std::{
    collections::{HashMap, VecDeque},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use restroy_sdk::{
    event::{EventKind, Line, StepError, StepRef, Usage},
    status::{RunStatus, StepStatus},
};
use serde::{Serialize, Serializer};
use serde_json::value::RawValue;
use tokio::{
    sync::{Notify, watch},
    time::Instant,
};

use crate::client::{BatchRejected, LeaseLost, TaskApi};

/// How long an event waits for others to travel with.
const LINGER: Duration = Duration::from_millis(2);
/// Whole lines of one `step.output`, together.
const CHUNK_BYTES: usize = 32 * 1024;
/// What a script says about its progress, in bytes.
const MESSAGE_BYTES: usize = 4 * 1024;
/// A batch is closed once it is this large; a single event may be larger. It is one transaction, for which others may
/// have to wait.
const BATCH_BYTES: usize = 256 * 1024;
/// A batch is closed at so many events.
const BATCH_EVENTS: usize = 1_000;
/// No attempt starts or ends while more than this waits to be sent.
pub(crate) const BUFFER_BYTES: usize = 8 * 1024 * 1024;
/// What an event takes besides its variable parts, roughly.
const EVENT_BYTES: usize = 256;

/// A place in the order of a task's events: how many were pushed up to it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Position(u64);

#[derive(Debug)]
struct PendingEvent {
    event: ReportedEvent,
    bytes: usize,
}

/// An event as it is sent.
#[derive(Debug, Serialize)]
#[serde(untagged)]
enum ReportedEvent {
    Event(EventKind),
    Succeeded(StepSucceeded),
}

/// [`EventKind::StepFinished`] of a step that returned something, with that as the text that it is.
#[derive(Debug, Serialize)]
#[serde(tag = "type", rename = "step.finished")]
struct StepSucceeded {
    #[serde(flatten)]
    step: StepRef,
    status: StepStatus,
    #[serde(serialize_with = "raw")]
    output: Arc<str>,
    usage: Usage,
}

fn raw<S: Serializer>(text: &Arc<str>, serializer: S) -> Result<S::Ok, S::Error> {
    serde_json::from_str::<&RawValue>(text).map_err(serde::ser::Error::custom)?.serialize(serializer)
}

/// [`EventBatch`](restroy_run_queue::run_api::Batch), as it is sent.
#[derive(Debug, Serialize)]
struct EventBatch<'a> {
    n: i64,
    engine_id: &'a str,
    events: Vec<ReportedEvent>,
    egress_bytes: u64,
}

impl From<EventKind> for ReportedEvent {
    fn from(event: EventKind) -> Self {
        Self::Event(event)
    }
}

impl From<StepSucceeded> for ReportedEvent {
    fn from(succeeded: StepSucceeded) -> Self {
        Self::Succeeded(succeeded)
    }
}

#[derive(Debug, Default)]
struct ReporterState {
    events: VecDeque<PendingEvent>,
    bytes: usize,
    /// How many events were pushed so far.
    pushed: u64,
    /// Up to where somebody waits for the commit.
    wanted: u64,
    /// The chunk of lines that each attempt may still add to, and its newest progress.
    chunks: HashMap<StepRef, u64>,
    progress: HashMap<StepRef, u64>,
}

impl ReporterState {
    /// How many events were taken to be sent.
    fn taken(&self) -> u64 {
        self.pushed - self.events.len() as u64
    }

    fn push(&mut self, event: impl Into<ReportedEvent>, bytes: usize) -> Position {
        let event = event.into();
        self.events.push_back(PendingEvent { event, bytes });
        self.bytes += bytes;
        self.pushed += 1;
        Position(self.pushed)
    }

    /// The event at a position, unless it was taken.
    fn at(&mut self, position: u64) -> Option<&mut PendingEvent> {
        let index = position.checked_sub(self.taken() + 1)?;
        self.events.get_mut(usize::try_from(index).ok()?)
    }
}

/// Takes what happens and gets it committed.
#[derive(Debug)]
pub(crate) struct Reporter {
    state: Mutex<ReporterState>,
    /// Something was pushed, or somebody waits.
    wake: Notify,
    committed: watch::Sender<u64>,
}

impl Default for Reporter {
    fn default() -> Self {
        Self { state: Mutex::default(), wake: Notify::new(), committed: watch::Sender::new(0) }
    }
}

impl Reporter {
    fn state(&self) -> MutexGuard<'_, ReporterState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes an event of `bytes` variable bytes.
    pub(crate) fn push(&self, event: EventKind, bytes: usize) -> Position {
        let position = {
            let mut state = self.state();
            if let EventKind::StepFinished { step, .. } | EventKind::StepRetrying { step, .. } = &event {
                state.chunks.remove(step);
                state.progress.remove(step);
            }
            state.push(event, bytes + EVENT_BYTES)
        };
        self.wake.notify_one();
        position
    }

    /// Takes the end of an attempt that returned `output`, which is JSON.
    pub(crate) fn succeeded(&self, step: StepRef, output: Arc<str>, usage: Usage) -> Position {
        let position = {
            let mut state = self.state();
            state.chunks.remove(&step);
            state.progress.remove(&step);
            let bytes = output.len() + EVENT_BYTES;
            state.push(StepSucceeded { step, status: StepStatus::Succeeded, output, usage }, bytes)
        };
        self.wake.notify_one();
        position
    }

    /// Takes a line of an attempt, its `number`-th.
    pub(crate) fn line(&self, step: &StepRef, number: u64, mut line: Line) {
        cut(&mut line.text, CHUNK_BYTES);
        {
            let mut state = self.state();
            let bytes = line.text.len() + 32;
            let chunk = state.chunks.get(step).copied();
            let chunk = chunk.and_then(|position| state.at(position));
            match chunk {
                Some(PendingEvent {
                    event: ReportedEvent::Event(EventKind::StepOutput { lines, .. }),
                    bytes: size,
                }) if *size + bytes <= CHUNK_BYTES + EVENT_BYTES => {
                    lines.push(line);
                    *size += bytes;
                    state.bytes += bytes;
                }
                _ => {
                    let event = EventKind::StepOutput { step: step.clone(), first_line: number, lines: vec![line] };
                    let position = state.push(event, bytes + EVENT_BYTES);
                    state.chunks.insert(step.clone(), position.0);
                }
            }
        }
        self.wake.notify_one();
    }

    /// Takes an attempt's progress. Only the newest that waits is sent.
    pub(crate) fn progress(&self, step: &StepRef, fraction: f64, mut message: Option<String>) {
        if let Some(message) = &mut message {
            cut(message, MESSAGE_BYTES);
        }
        {
            let mut state = self.state();
            let bytes = message.as_ref().map_or(0, String::len) + EVENT_BYTES;
            let event = EventKind::StepProgress { step: step.clone(), fraction, message };
            let waiting = state.progress.get(step).copied();
            if let Some(pending) = waiting.and_then(|position| state.at(position)) {
                let before = pending.bytes;
                *pending = PendingEvent { event: event.into(), bytes };
                state.bytes = state.bytes + bytes - before;
            } else {
                let position = state.push(event, bytes);
                state.progress.insert(step.clone(), position.0);
            }
        }
        self.wake.notify_one();
    }

    /// Waits until there is room for more.
    pub(crate) async fn wait_for_capacity(&self) {
        let mut committed = self.committed.subscribe();
        while self.state().bytes > BUFFER_BYTES {
            if committed.changed().await.is_err() {
                return;
            }
        }
    }

    /// The place of what was pushed last.
    pub(crate) fn newest(&self) -> Position {
        Position(self.state().pushed)
    }

    /// Waits until everything up to `position` is committed.
    pub(crate) async fn committed(&self, position: Position) {
        let mut committed = self.committed.subscribe();
        if *committed.borrow() >= position.0 {
            return;
        }
        {
            let mut state = self.state();
            state.wanted = state.wanted.max(position.0);
        }
        self.wake.notify_one();
        // The sender lives as long as `self`.
        let _ = committed.wait_for(|newest| *newest >= position.0).await;
    }

    /// Sends what is pushed until the lease is lost or the future is dropped.
    pub(crate) async fn deliver(&self, api: &TaskApi) -> LeaseLost {
        let mut n = 0;
        loop {
            self.wait_for_events().await;
            let (events, newest) = self.take();
            if events.is_empty() {
                continue;
            }
            n += 1;
            let egress_bytes = api.egress.report();
            let mut batch = EventBatch { n, engine_id: api.engine_id(), events, egress_bytes };
            match api.events(&batch).await {
                Ok(_) => self.committed.send_replace(newest),
                Err(BatchRejected::Lost) => return LeaseLost,
                Err(BatchRejected::Refused(problem)) => {
                    // Whoever takes the task next would come to the same point: the run ends here.
                    tracing::error!(%problem, "the control-plane refuses the report");
                    let message = format!("what the executor reported was refused: {}", problem.title);
                    let error = Some(StepError::new("internal", message));
                    batch.events = vec![EventKind::RunFinished { status: RunStatus::Failed, error }.into()];
                    let _ = api.events(&batch).await;
                    api.lost.cancel();
                    return LeaseLost;
                }
            };
        }
    }

    /// Until there is a batch worth sending.
    async fn wait_for_events(&self) {
        let mut since = None;
        loop {
            {
                let state = self.state();
                let waiting = !state.events.is_empty();
                if waiting && (state.wanted > state.taken() || state.bytes >= CHUNK_BYTES) {
                    return;
                }
                if waiting && since.is_none() {
                    since = Some(Instant::now());
                }
            }
            match since {
                None => self.wake.notified().await,
                Some(since) => {
                    if tokio::time::timeout_at(since + LINGER, self.wake.notified()).await.is_err() {
                        return;
                    }
                }
            }
        }
    }

    /// The next batch and the position of its last event.
    fn take(&self) -> (Vec<ReportedEvent>, u64) {
        let mut state = self.state();
        let mut events = Vec::new();
        let mut bytes = 0;
        while let Some(next) = state.events.front() {
            if !events.is_empty() && (bytes + next.bytes > BATCH_BYTES || events.len() >= BATCH_EVENTS) {
                break;
            }
            let Some(pending) = state.events.pop_front() else { break };
            bytes += pending.bytes;
            events.push(pending.event);
        }
        state.bytes -= bytes;
        let taken = state.taken();
        state.chunks.retain(|_, position| *position > taken);
        state.progress.retain(|_, position| *position > taken);
        (events, taken)
    }
}

/// Cuts a text to at most so many bytes, between two characters. Masks can make a line longer than
/// its limit was.
pub(crate) fn cut(text: &mut String, most: usize) {
    if text.len() > most {
        text.truncate(text.floor_char_boundary(most));
    }
}

#[cfg(test)]
mod tests;
