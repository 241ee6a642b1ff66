//! The view that moves: rows at the bottom of the terminal, output above them.

use std::time::Duration;

use console::Term;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use restroy_sdk::time::Ambient;

use super::{
    PlainPrinter,
    model::{LogLine, LogLineKind, RunView},
    rows::{Canvas, rows},
};
use crate::style::Paint;

/// How often the rows move.
pub(super) const PERIOD: Duration = Duration::from_millis(100);

/// The rows and the terminal they are on.
pub(super) struct LivePrinter {
    bar: ProgressBar,
    lines: PlainPrinter,
    paint: Paint,
    ambient: Ambient,
    tick: usize,
}

impl LivePrinter {
    pub(super) fn new(paint: Paint, ambient: Ambient) -> Self {
        // One bar whose message is all the rows: they are drawn in one go and never flicker.
        let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stdout());
        if let Ok(style) = ProgressStyle::with_template("{msg}") {
            bar.set_style(style);
        }
        Self { bar, lines: PlainPrinter::local(paint), paint, ambient, tick: 0 }
    }

    pub(super) fn event(&mut self, notes: &[LogLine], view: &RunView) {
        // The rows tell of beginnings and ends; above them stands what was printed and what went wrong.
        let worth_a_line = |note: &&LogLine| match note.kind {
            LogLineKind::Output(_) | LogLineKind::Warning => true,
            LogLineKind::Failure => !note.source.is_empty(),
            LogLineKind::Status | LogLineKind::Success => false,
        };
        let lines: Vec<_> = notes.iter().filter(worth_a_line).map(|note| self.lines.line(note)).collect();
        if !lines.is_empty() {
            // In one go: a script that prints much must not redraw the rows for every line.
            self.bar.println(lines.join("\n"));
        }
        self.draw(view);
    }

    pub(super) fn draw(&mut self, view: &RunView) {
        self.tick += 1;
        self.bar.set_message(self.rows(view).join("\n"));
        self.bar.tick();
    }

    /// Leaves the rows as they stand now.
    pub(super) fn close(&mut self, view: &RunView) {
        let rows = self.rows(view);
        self.bar.finish_and_clear();
        let _ = super::print_lines(rows);
    }

    fn rows(&self, view: &RunView) -> Vec<String> {
        let (height, width) = Term::stdout().size();
        let canvas = Canvas { width: width.into(), height: height.into(), paint: self.paint, tick: self.tick };
        rows(view, self.ambient.now(), canvas)
    }
}
