//! The view's state after events.

use restroy_sdk::{
    event::{Event, Level},
    status::{RunStatus, StepStatus},
    time::Timestamp,
};
use serde_json::{Value, json};

use super::model::{LogLineKind, RunView, seconds};

/// Feeds events, one second apart, into a view of the steps `fetch` and `send`.
fn view(events: &[Value]) -> (RunView, Vec<(String, String)>) {
    let mut view = RunView::new(["fetch".to_owned(), "send".to_owned()]);
    let mut notes = Vec::new();
    for (number, event) in events.iter().enumerate() {
        let mut event = event.clone();
        event["seq"] = json!(number + 1);
        event["at"] = json!(format!("2026-01-02T12:00:{number:02}Z"));
        let event: Event = serde_json::from_value(event).unwrap();
        notes.extend(view.apply(&event).into_iter().map(|note| (note.source, note.text)));
    }
    (view, notes)
}

fn texts(notes: &[(String, String)]) -> Vec<String> {
    notes.iter().map(|(source, text)| format!("{source}: {text}")).collect()
}

#[test]
fn a_run_from_its_queue_to_its_end() {
    let (view, notes) = view(&[
        json!({"type": "run.queued"}),
        json!({"type": "run.started"}),
        json!({"type": "step.started", "step": "fetch", "attempt": 1}),
        json!({"type": "step.output", "step": "fetch", "attempt": 1, "first_line": 1,
               "lines": [{"level": "info", "text": "a"}, {"level": "warn", "text": "b"}]}),
        json!({"type": "step.progress", "step": "fetch", "attempt": 1, "fraction": 0.5, "message": "half"}),
        json!({"type": "step.finished", "step": "fetch", "attempt": 1, "status": "succeeded"}),
        json!({"type": "step.finished", "step": "send", "attempt": 1, "status": "skipped",
               "error": {"code": "condition_false", "message": "its `if` was false"}}),
        json!({"type": "run.finished", "status": "succeeded"}),
    ]);
    assert_eq!(
        texts(&notes),
        [
            ": started",
            "fetch: started",
            "fetch: a",
            "fetch: b",
            "fetch: succeeded in 3.0 s",
            "send: skipped: its `if` was false",
            ": succeeded in 6.0 s",
        ]
    );
    assert_eq!(view.status, RunStatus::Succeeded);
    assert_eq!(view.last_seq, 8);
    assert_eq!(view.steps["fetch"].progress(), Some(1.0));
    assert_eq!(view.steps["fetch"].message.as_deref(), Some("half"));
    assert_eq!(view.steps["send"].status, StepStatus::Skipped);
}

#[test]
fn items_of_a_for_each_are_counted() {
    let (view, notes) = view(&[
        json!({"type": "step.started", "step": "send", "attempt": 1, "items": 4}),
        json!({"type": "step.started", "step": "send", "index": 1, "attempt": 1}),
        json!({"type": "step.started", "step": "send", "index": 2, "attempt": 1}),
        json!({"type": "step.progress", "step": "send", "index": 2, "attempt": 1, "fraction": 0.9}),
        json!({"type": "step.finished", "step": "send", "index": 2, "attempt": 1, "status": "failed",
               "error": {"code": "script_error", "message": "no", "traceback": "a.lua:1\na.lua:2"}}),
        json!({"type": "step.finished", "step": "send", "index": 1, "attempt": 1, "status": "succeeded"}),
    ]);
    let send = &view.steps["send"];
    assert_eq!((send.items, send.items_done(), send.items_failed()), (Some(4), 2, 1));
    assert_eq!(send.progress(), Some(0.5));
    assert_eq!(send.status, StepStatus::Running);
    assert_eq!(
        texts(&notes)[3..],
        ["send[2]: failed: no", "send[2]:   a.lua:1", "send[2]:   a.lua:2", "send[1]: succeeded"]
    );
}

#[test]
fn a_retry_and_a_lost_executor_show() {
    let (view, notes) = view(&[
        json!({"type": "step.started", "step": "fetch", "attempt": 1}),
        json!({"type": "step.progress", "step": "fetch", "attempt": 1, "fraction": 0.9}),
        json!({"type": "step.retrying", "step": "fetch", "attempt": 1, "delay_ms": 1500,
               "error": {"code": "script_error", "message": "refused"}}),
    ]);
    assert!(view.steps["fetch"].retrying);
    assert_eq!(view.steps["fetch"].progress(), None);
    assert_eq!(notes[1].1, "attempt 1 failed: refused; again in 1.5 s");

    let (view, notes) = super::model_tests::view(&[
        json!({"type": "step.started", "step": "fetch", "attempt": 2}),
        json!({"type": "step.lost", "step": "fetch", "attempt": 2}),
    ]);
    assert_eq!((view.steps["fetch"].status, view.steps["fetch"].attempt), (StepStatus::Pending, 2));
    assert_eq!(notes[0].1, "started, attempt 2");
    assert!(notes[1].1.contains("is repeated"));
}

#[test]
fn what_waits_shows_until_when() {
    let (view, notes) = view(&[
        json!({"type": "step.waiting", "step": "fetch", "attempt": 1, "delay_ms": 60_000, "until": "2026-01-02T12:00:00Z"}),
        json!({"type": "step.waiting", "step": "send", "attempt": 2}),
    ]);
    assert_eq!(view.steps["fetch"].status, StepStatus::Waiting);
    let until = view.steps["fetch"].message.as_deref().unwrap();
    assert_eq!(notes[0].1, format!("waiting {until}"));
    assert_eq!(notes[1].1, "waiting for attempt 2; the run holds no slot meanwhile");
}

#[test]
fn a_cancelled_run_leaves_nothing_running() {
    let (view, _) = view(&[
        json!({"type": "run.started"}),
        json!({"type": "step.started", "step": "fetch", "attempt": 1}),
        json!({"type": "run.finished", "status": "cancelled"}),
    ]);
    assert_eq!(view.steps["fetch"].status, StepStatus::Cancelled);
    assert_eq!(view.steps["send"].status, StepStatus::Pending);
    assert_eq!(view.status, RunStatus::Cancelled);
}

#[test]
fn steps_that_the_document_does_not_name_come_last() {
    let (view, _) = view(&[json!({"type": "step.started", "step": "extra", "attempt": 1})]);
    assert_eq!(view.steps.keys().collect::<Vec<_>>(), ["fetch", "send", "extra"]);
}

#[test]
fn output_keeps_its_level() {
    let mut view = RunView::new([]);
    let event = json!({"seq": 1, "at": "2026-01-02T12:00:00Z", "type": "step.output", "step": "a", "attempt": 1,
                       "first_line": 1, "lines": [{"level": "error", "text": "x"}]});
    let notes = view.apply(&serde_json::from_value(event).unwrap());
    assert_eq!(notes[0].kind, LogLineKind::Output(Level::Error));
}

#[test]
fn spans_are_short() {
    let span = |millis: i64| seconds(Timestamp(millis * 1000), Timestamp(0));
    assert_eq!(span(449), "449 ms");
    assert_eq!(span(1449), "1.4 s");
    assert_eq!(span(65_000), "1m 05s");
    assert_eq!(span(7_380_000), "2h 03m");
    assert_eq!(span(-5), "0 ms");
}

#[test]
fn a_step_recorded_in_one_go_took_what_it_measured() {
    let mut view = RunView::new([]);
    let started = json!({"seq": 1, "at": "2026-01-02T12:00:00Z", "type": "step.started", "step": "a", "attempt": 1});
    let finished = json!({"seq": 2, "at": "2026-01-02T12:00:00Z", "type": "step.finished", "step": "a", "attempt": 1,
                          "status": "succeeded", "usage": {"wall_ms": 42}});
    view.apply(&serde_json::from_value(started).unwrap());
    let notes = view.apply(&serde_json::from_value(finished).unwrap());
    assert_eq!(notes[0].text, "succeeded in 42 ms");
}
