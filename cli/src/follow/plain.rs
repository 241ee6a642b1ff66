//! Lines for files, pipes and people who like lines.

use jiff::tz::TimeZone;
use restroy_sdk::{event::Level, time::Timestamp};

use super::model::{LogLine, LogLineKind};
use crate::style::{Paint, clean};

/// Turns notes into lines: `12:00:01 fetch | text` for output, `12:00:01 fetch: text` for the rest.
#[derive(Debug)]
pub(crate) struct PlainPrinter {
    zone: TimeZone,
    paint: Paint,
}

impl PlainPrinter {
    /// With times of the machine's own zone.
    pub(crate) fn local(paint: Paint) -> Self {
        Self { zone: TimeZone::system(), paint }
    }

    /// A note as a line.
    pub(crate) fn line(&self, note: &LogLine) -> String {
        let time = self.paint.dim(&self.time(note.at));
        let text = clean(&note.text);
        let source = if note.source.is_empty() { "run" } else { &note.source };
        let source = self.paint.bold(source);
        match note.kind {
            LogLineKind::Output(level) => format!("{time} {source} | {}", self.output(level, &text)),
            LogLineKind::Status => format!("{time} {source}: {text}"),
            LogLineKind::Success => format!("{time} {source}: {}", self.paint.green(&text)),
            LogLineKind::Warning => format!("{time} {source}: {}", self.paint.yellow(&text)),
            LogLineKind::Failure => format!("{time} {source}: {}", self.paint.red(&text)),
        }
    }

    fn output(&self, level: Level, text: &str) -> String {
        match level {
            Level::Info => text.to_owned(),
            Level::Debug => self.paint.dim(text),
            Level::Warn => self.paint.yellow(text),
            Level::Error => self.paint.red(text),
        }
    }

    fn time(&self, at: Timestamp) -> String {
        at.to_jiff().to_zoned_datetime(self.zone.clone()).strftime("%H:%M:%S").to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn output_and_news_are_distinguished() {
        let plain = PlainPrinter { zone: TimeZone::UTC, paint: Paint::new(false) };
        let note = |source: &str, kind, text: &str| {
            plain.line(&LogLine { at: Timestamp(43_201_000_000), source: source.into(), kind, text: text.into() })
        };
        assert_eq!(note("fetch", LogLineKind::Output(Level::Info), "a\x1bb"), "12:00:01 fetch | a␛b");
        assert_eq!(note("fetch", LogLineKind::Success, "succeeded"), "12:00:01 fetch: succeeded");
        assert_eq!(note("", LogLineKind::Status, "started"), "12:00:01 run: started");
    }
}
