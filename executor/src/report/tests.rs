//! What it does, case by case.

use restroy_sdk::event::Level;

use super::*;

fn step(name: &str) -> StepRef {
    StepRef { step: name.to_owned(), index: None, attempt: 1 }
}

fn line(text: &str) -> Line {
    Line { level: Level::Info, text: text.to_owned() }
}

fn started(name: &str) -> EventKind {
    EventKind::StepStarted { step: step(name), items: None }
}

fn chunks(events: &[ReportedEvent], of: &str) -> Vec<(u64, usize)> {
    let mut found = Vec::new();
    for event in events {
        if let ReportedEvent::Event(EventKind::StepOutput { step, first_line, lines }) = event
            && step.step == of
        {
            found.push((*first_line, lines.len()));
        }
    }
    found
}

#[test]
fn lines_of_one_attempt_travel_together() {
    let reporter = Reporter::default();
    reporter.push(started("a"), 0);
    for number in 1..=3 {
        reporter.line(&step("a"), number, line("x"));
        reporter.line(&step("b"), number, line("y"));
    }
    let (events, newest) = reporter.take();
    assert_eq!(events.len(), 3);
    assert_eq!(newest, 3);
    assert_eq!(chunks(&events, "a"), [(1, 3)]);
    // What was taken is not added to any more.
    reporter.line(&step("a"), 4, line("x"));
    let (events, newest) = reporter.take();
    assert_eq!(newest, 4);
    assert_eq!(chunks(&events, "a"), [(4, 1)]);
}

#[test]
fn a_chunk_is_bounded_and_its_lines_whole() {
    let reporter = Reporter::default();
    let long = "x".repeat(8 * 1024);
    for number in 1..=10 {
        reporter.line(&step("a"), number, line(&long));
    }
    let (events, _) = reporter.take();
    let found = chunks(&events, "a");
    assert_eq!(found.iter().map(|(_, lines)| lines).sum::<usize>(), 10);
    assert!(found.iter().all(|(_, lines)| lines * long.len() <= CHUNK_BYTES));
    let mut next = 1;
    for (first, lines) in found {
        assert_eq!(first, next);
        next += lines as u64;
    }
}

#[test]
fn texts_are_cut_between_characters() {
    for (text, most, cut_to) in [("abc", 3, "abc"), ("abcd", 3, "abc"), ("aéé", 4, "aé"), ("•", 2, "")] {
        let mut cut_text = text.to_owned();
        cut(&mut cut_text, most);
        assert_eq!(cut_text, cut_to);
    }
}

#[test]
fn only_the_newest_progress_is_sent() {
    let reporter = Reporter::default();
    for percent in 0..100 {
        reporter.progress(&step("a"), f64::from(percent) / 100.0, None);
    }
    let (events, _) = reporter.take();
    assert_eq!(events.len(), 1);
    assert!(matches!(events[0], ReportedEvent::Event(EventKind::StepProgress { fraction, .. }) if fraction > 0.98));
}

#[test]
fn a_batch_is_bounded() {
    let reporter = Reporter::default();
    for _ in 0..10 {
        reporter.push(started("a"), BATCH_BYTES / 3);
    }
    let mut batches = 0;
    let mut newest = 0;
    while newest < 10 {
        let (events, taken) = reporter.take();
        assert!(!events.is_empty() && events.len() < 4);
        newest = taken;
        batches += 1;
    }
    assert!(batches >= 4);
    assert_eq!(reporter.state().bytes, 0);
}

#[tokio::test(start_paused = true)]
async fn a_full_buffer_waits_for_a_commit() {
    let reporter = Reporter::default();
    reporter.push(started("a"), BUFFER_BYTES + 1);
    let room = reporter.wait_for_capacity();
    tokio::pin!(room);
    assert!(futures_util::poll!(room.as_mut()).is_pending());
    let (_, newest) = reporter.take();
    reporter.committed.send_replace(newest);
    room.await;
}

#[tokio::test(start_paused = true)]
async fn who_waits_for_a_commit_is_not_made_to_linger() {
    let reporter = Reporter::default();
    let begun = Instant::now();
    let position = reporter.push(started("a"), 0);
    let wanted = reporter.committed(position);
    tokio::pin!(wanted);
    assert!(futures_util::poll!(wanted.as_mut()).is_pending());
    reporter.wait_for_events().await;
    assert_eq!(begun.elapsed(), Duration::ZERO);
}

#[test]
fn an_output_is_sent_as_the_text_that_it_is() {
    let reporter = Reporter::default();
    reporter.succeeded(step("a"), r#"{"b":1.0,"a":[1e2]}"#.into(), Usage { fuel: 7, ..Usage::default() });
    let (events, _) = reporter.take();
    let batch = serde_json::to_string(&EventBatch { n: 1, engine_id: "x", events, egress_bytes: 0 }).unwrap();
    assert!(batch.contains(r#""output":{"b":1.0,"a":[1e2]}"#), "{batch}");
    let read: restroy_run_queue::run_api::Batch = serde_json::from_str(&batch).unwrap();
    let [EventKind::StepFinished { step: of, status: StepStatus::Succeeded, output, error: None, usage }] =
        &*read.events
    else {
        panic!("{batch}");
    };
    assert_eq!((of, usage.fuel), (&step("a"), 7));
    assert_eq!(output, &Some(serde_json::json!({"b": 1.0, "a": [100.0]})));
}
