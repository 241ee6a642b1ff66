//! The terminal as the place for a script's lines.

use std::io::Write as _;

use lua_wasm_host::{Level, Sink, StepError};

use crate::style::{Paint, clean};

/// Prints lines as they come: on standard output, or on standard error when that is for the result
/// as JSON.
pub(crate) struct TerminalSink {
    /// Whether standard output stays free.
    pub(crate) on_stderr: bool,
    /// How to colour.
    pub(crate) paint: Paint,
}

impl Sink for TerminalSink {
    fn line(&self, level: Level, text: &str) -> Result<(), StepError> {
        let text = clean(text);
        let text = match level {
            Level::Debug => self.paint.dim(&text),
            Level::Warn => self.paint.yellow(&text),
            Level::Error => self.paint.red(&text),
            Level::Info => text,
        };
        if self.on_stderr {
            let _ = writeln!(std::io::stderr(), "{text}");
        } else {
            let _ = writeln!(std::io::stdout(), "{text}");
        }
        Ok(())
    }

    fn progress(&self, fraction: f64, message: Option<&str>) {
        let message = message.map(clean).unwrap_or_default();
        let line = format!("{:>3.0}% {message}", fraction * 100.0);
        let _ = writeln!(std::io::stderr(), "{}", self.paint.dim(line.trim_end()));
    }
}
