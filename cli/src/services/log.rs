//! The log of a service, on standard error.

use std::io;

use tracing_subscriber::EnvFilter;

use crate::settings::value::LogFormat;

/// Writes what `RESTROY_LOG` lets through, else what `default` does, to standard error.
pub(crate) fn start(format: LogFormat, default: &str) {
    let filter = EnvFilter::try_from_env("RESTROY_LOG").unwrap_or_else(|_| EnvFilter::new(default));
    let log = tracing_subscriber::fmt().with_env_filter(filter).with_writer(io::stderr);
    match format {
        LogFormat::Json => log.json().flatten_event(true).init(),
        LogFormat::Text => log.init(),
    }
}
