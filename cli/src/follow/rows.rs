//! The live view as text: a row per step. Pure, so that it can be tested.

use restroy_sdk::{
    status::{RunStatus, StepStatus},
    time::Timestamp,
};

use super::model::{RunView, StepView, seconds, status_words};
use crate::style::{Paint, clean};

const BAR: usize = 20;
const SPINNER: [&str; 10] = ["⠋", "⠙", "⠹", "⠸", "⠼", "⠴", "⠦", "⠧", "⠇", "⠏"];

/// How much room there is, and how to colour.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Canvas {
    /// The number of columns.
    pub(crate) width: usize,
    /// The number of rows.
    pub(crate) height: usize,
    /// How to colour.
    pub(crate) paint: Paint,
    /// Counts the drawings: turns the wheels.
    pub(crate) tick: usize,
}

/// The rows of a run at the moment `now`; never wider or higher than the canvas.
pub(crate) fn rows(view: &RunView, now: Timestamp, canvas: Canvas) -> Vec<String> {
    let name_width = view.steps.keys().map(|name| console::measure_text_width(name)).max().unwrap_or(0).min(32);
    let room = canvas.height.saturating_sub(2).max(1);
    let mut rows: Vec<_>;
    if view.steps.len() <= room {
        rows = view.steps.iter().map(|(name, step)| row(name, name_width, step, now, canvas)).collect();
    } else {
        // What continues or went wrong is worth a row; the rest is counted.
        let (shown, counted): (Vec<_>, Vec<_>) = view.steps.iter().partition(|(_, step)| {
            step.attempt > 0 && !matches!(step.status, StepStatus::Succeeded | StepStatus::Skipped)
        });
        let left_over = shown.len().saturating_sub(room - 1);
        rows = shown.iter().take(room - 1).map(|(name, step)| row(name, name_width, step, now, canvas)).collect();
        let count = |status| counted.iter().filter(|(_, step)| step.status == status).count();
        let mut parts = Vec::new();
        for status in [StepStatus::Succeeded, StepStatus::Skipped, StepStatus::Pending] {
            match count(status) {
                0 => {}
                some => parts.push(format!("{some} {}", status_words(status.as_str()))),
            }
        }
        if left_over > 0 {
            parts.push(format!("{left_over} more under way"));
        }
        rows.push(canvas.paint.dim(&format!("… {}", parts.join(", "))));
    }
    rows.push(summary(view, now, canvas));
    rows.iter().map(|row| console::truncate_str(row, canvas.width, "…").into_owned()).collect()
}

fn row(name: &str, name_width: usize, step: &StepView, now: Timestamp, canvas: Canvas) -> String {
    let name = console::pad_str(name, name_width, console::Alignment::Left, Some("…")).into_owned();
    let mark = mark(step, canvas);
    let bar = match step.progress() {
        Some(fraction) => bar(fraction, canvas.paint),
        None => " ".repeat(BAR),
    };
    let count = match step.items {
        Some(items) => format!("{}/{items}", step.items_done()),
        None => match step.progress() {
            Some(fraction) => format!("{:.0}%", fraction * 100.0),
            None => String::new(),
        },
    };
    let time = step.took(now).unwrap_or_default();
    let mut text = format!("{mark} {name}  {bar} {count:>9} {time:>9}");
    let remark = step_remark(step);
    if !remark.is_empty() {
        text.push_str("  ");
        text.push_str(&canvas.paint.dim(&remark));
    }
    text.trim_end().to_owned()
}

fn mark(step: &StepView, canvas: Canvas) -> String {
    let paint = canvas.paint;
    match step.status {
        _ if step.retrying => paint.yellow("↻"),
        StepStatus::Pending => paint.dim("·"),
        StepStatus::Running => paint.cyan(SPINNER[canvas.tick % SPINNER.len()]),
        StepStatus::Waiting => paint.cyan("…"),
        StepStatus::Succeeded => paint.green("✔"),
        StepStatus::Failed | StepStatus::TimedOut => paint.red("✘"),
        StepStatus::Skipped => paint.yellow("↷"),
        StepStatus::Cancelled => paint.yellow("■"),
    }
}

fn step_remark(step: &StepView) -> String {
    let mut parts = Vec::new();
    if step.attempt > 1 {
        parts.push(format!("attempt {}", step.attempt));
    }
    if step.items_failed() > 0 {
        parts.push(format!("{} failed", step.items_failed()));
    }
    match (&step.error, &step.message) {
        (Some(error), _) if step.status != StepStatus::Running || step.retrying => parts.push(clean(&error.message)),
        (_, Some(message)) if !step.status.is_terminal() => parts.push(clean(message)),
        _ => {}
    }
    parts.join(", ")
}

#[allow(
    clippy::cast_possible_truncation,
    clippy::cast_precision_loss,
    clippy::cast_sign_loss,
    reason = "a fraction of twenty places"
)]
fn bar(fraction: f64, paint: Paint) -> String {
    let full = (fraction.clamp(0.0, 1.0) * BAR as f64).round() as usize;
    format!("{}{}", paint.green(&"━".repeat(full)), paint.dim(&"─".repeat(BAR - full)))
}

fn summary(view: &RunView, now: Timestamp, canvas: Canvas) -> String {
    let paint = canvas.paint;
    let done = view.steps.values().filter(|step| step.status.is_terminal()).count();
    let time = match (view.started_at.or(view.queued_at), view.finished_at) {
        (Some(started), Some(finished)) => seconds(finished, started),
        (Some(started), None) => seconds(now, started),
        _ => String::new(),
    };
    let status = status_words(view.status.as_str());
    let status = match view.status {
        RunStatus::Succeeded => paint.green(&status),
        RunStatus::Failed | RunStatus::TimedOut => paint.red(&status),
        RunStatus::Cancelled => paint.yellow(&status),
        RunStatus::Queued | RunStatus::Running | RunStatus::Waiting => paint.cyan(&status),
    };
    let why = match &view.error {
        Some(error) => paint.dim(&clean(&error.message)),
        None => String::new(),
    };
    format!("{status}  {done}/{} steps  {time}  {why}", view.steps.len()).trim_end().to_owned()
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn view(names: &[&str], events: &[Value]) -> RunView {
        let mut view = RunView::new(names.iter().map(ToString::to_string));
        for (number, event) in events.iter().enumerate() {
            let mut event = event.clone();
            event["seq"] = json!(number + 1);
            event["at"] = json!("2026-01-02T12:00:00Z");
            view.apply(&serde_json::from_value(event).unwrap());
        }
        view
    }

    fn draw(view: &RunView, width: usize, height: usize) -> Vec<String> {
        let now = view.started_at.unwrap().after(std::time::Duration::from_millis(1500));
        rows(view, now, Canvas { width, height, paint: Paint::new(false), tick: 0 })
    }

    #[test]
    fn a_row_per_step() {
        let view = view(
            &["fetch", "years", "report"],
            &[
                json!({"type": "run.started"}),
                json!({"type": "step.started", "step": "fetch", "attempt": 2}),
                json!({"type": "step.progress", "step": "fetch", "attempt": 2, "fraction": 0.25, "message": "a \u{1b}[2J"}),
                json!({"type": "step.started", "step": "years", "attempt": 1, "items": 4}),
                json!({"type": "step.finished", "step": "years", "index": 1, "attempt": 1, "status": "failed"}),
            ],
        );
        assert_eq!(
            draw(&view, 80, 24),
            [
                "⠋ fetch   ━━━━━───────────────       25%     1.5 s  attempt 2, a ␛[2J",
                "⠋ years   ━━━━━───────────────       1/4     1.5 s  1 failed",
                "· report",
                "running  0/3 steps  1.5 s",
            ]
        );
    }

    #[test]
    fn many_steps_fit_a_small_terminal() {
        let names: Vec<_> = (0..40).map(|n| format!("step-{n}")).collect();
        let mut events = vec![json!({"type": "run.started"})];
        for name in &names[..10] {
            events.push(json!({"type": "step.started", "step": name, "attempt": 1}));
        }
        for name in &names[..4] {
            events.push(json!({"type": "step.finished", "step": name, "attempt": 1, "status": "succeeded"}));
        }
        let names: Vec<_> = names.iter().map(String::as_str).collect();
        let rows = draw(&view(&names, &events), 30, 7);
        assert_eq!(rows.len(), 6);
        assert!(rows[0].starts_with("⠋ step-4"));
        assert_eq!(rows[4], "… 4 succeeded, 30 pending, 2 …");
        assert!(rows.iter().all(|row| console::measure_text_width(row) <= 30));
    }
}
