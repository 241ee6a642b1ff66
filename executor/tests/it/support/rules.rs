//! What must hold of every sequence of events, whatever the test is about.

use std::collections::{HashMap, HashSet};

use restroy_sdk::{
    document::Document,
    event::{EventKind, StepRef},
};

/// Checks that events may follow on one another: topological order, no attempt without its
/// beginning, nothing after the end, lines numbered without gaps.
pub(crate) fn check(document: &Document, events: &[EventKind]) {
    let mut started: HashSet<(&str, Option<u32>, u32)> = HashSet::new();
    let mut ended: HashSet<(&str, Option<u32>)> = HashSet::new();
    let mut lines: HashMap<StepRef, u64> = HashMap::new();
    let mut over = false;
    for event in events {
        assert!(!over, "something follows the end of the run: {event:?}");
        match event {
            EventKind::StepStarted { step, .. } | EventKind::StepWaiting { step, .. } => {
                for need in &document.steps[&step.step].needs {
                    assert!(ended.contains(&(need.as_str(), None)), "{step:?} starts before `{need}` ended");
                }
                assert!(!ended.contains(&(step.step.as_str(), step.index)), "{step:?} starts after it ended");
                started.insert((&step.step, step.index, step.attempt));
                lines.remove(step);
            }
            EventKind::StepOutput { step, first_line, lines: text } => {
                assert!(started.contains(&(step.step.as_str(), step.index, step.attempt)), "{step:?} has not started");
                let next = lines.entry(step.clone()).or_insert(1);
                assert_eq!(first_line, next, "lines of {step:?}");
                *next += text.len() as u64;
                assert!(text.iter().map(|line| line.text.len()).sum::<usize>() <= 32 * 1024);
            }
            EventKind::StepProgress { step, .. } | EventKind::StepRetrying { step, .. } => {
                assert!(started.contains(&(step.step.as_str(), step.index, step.attempt)), "{step:?} has not started");
            }
            EventKind::StepFinished { step, .. } => {
                assert!(ended.insert((&step.step, step.index)), "{step:?} ends twice");
            }
            EventKind::RunFinished { error: Some(error), .. } if error.code == "internal" => over = true,
            // A plan that cannot be executed, or not within a task's memory: nothing of it was begun.
            EventKind::RunFinished { error: Some(error), .. }
                if matches!(&*error.code, "plan_not_executable" | "secrets_too_large" | "task_memory_limit") =>
            {
                over = true;
            }
            EventKind::RunFinished { .. } => {
                over = true;
                for name in document.steps.keys() {
                    assert!(ended.contains(&(name.as_str(), None)), "the run ends before `{name}`");
                }
            }
            other => panic!("no executor reports {other:?}"),
        }
    }
}
