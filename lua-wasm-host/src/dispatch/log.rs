//! Lines and progress.

use serde::Deserialize;

use super::{Answer, Dispatcher, parse};
use crate::{CallError, CallResult, ErrorCode, Level, StepError};

impl Dispatcher {
    /// Passes lines on, within the limits. The text may hold several lines, and any bytes.
    pub(crate) fn log(&mut self, level: Option<u8>, text: &[u8]) -> Result<(), StepError> {
        let level = match level {
            Some(0) => Level::Debug,
            Some(2) => Level::Warn,
            Some(3) => Level::Error,
            _ => Level::Info,
        };
        let text = String::from_utf8_lossy(text);
        for line in text.strip_suffix('\n').unwrap_or(&text).split('\n') {
            let length = line.len() as u64;
            if length > self.limits.log_line_bytes {
                return Err(StepError::limit(ErrorCode::LogLineLimit, &self.limits));
            }
            self.log_bytes += length + 1;
            if self.log_bytes > self.limits.log_bytes {
                return Err(StepError::limit(ErrorCode::LogLimit, &self.limits));
            }
            self.host_context.sink.line(level, line)?;
        }
        Ok(())
    }

    pub(super) fn progress(&mut self, head: &[u8]) -> CallResult<Answer> {
        #[derive(Deserialize)]
        struct ProgressRequest {
            fraction: f64,
            message: Option<String>,
        }
        let ProgressRequest { fraction, message } = parse(head)?;
        if !(0.0..=1.0).contains(&fraction) {
            return Err(CallError::new("invalid_argument", "progress takes a fraction between 0 and 1").into());
        }
        // It shows like a line, so it counts like one: a script cannot flood watchers with it.
        let length = message.as_ref().map_or(0, |message| message.len() as u64);
        if length > self.limits.log_line_bytes {
            return Err(StepError::limit(ErrorCode::LogLineLimit, &self.limits).into());
        }
        self.log_bytes += length + 1;
        if self.log_bytes > self.limits.log_bytes {
            return Err(StepError::limit(ErrorCode::LogLimit, &self.limits).into());
        }
        self.host_context.sink.progress(fraction, message.as_deref());
        Ok(Answer::empty())
    }
}
