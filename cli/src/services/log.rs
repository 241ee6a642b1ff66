//! The log of a service, on standard error.

use std::io;

use tracing_subscriber::EnvFilter;

use crate::{
    failure::{Failure, Outcome},
    settings::value::LogFormat,
};

/// Writes what `RESTROY_LOG` lets through, else what `default` does, to standard error.
pub(crate) fn start(format: LogFormat, default: &str) -> Outcome {
    let wanted = std::env::var("RESTROY_LOG").ok().filter(|wanted| !wanted.is_empty());
    let filter = EnvFilter::try_new(wanted.as_deref().unwrap_or(default)).map_err(|error| {
        Failure::new(format!("RESTROY_LOG: {error}")).help("such as `info`, or `warn,restroy_executor=debug`")
    })?;
    let log = tracing_subscriber::fmt().with_env_filter(filter).with_writer(io::stderr);
    match format {
        LogFormat::Json => log.json().flatten_event(true).init(),
        LogFormat::Text => log.init(),
    }
    Ok(())
}
