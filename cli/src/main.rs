//! The binary `restroy`: the services, all of them in one process (`dev`), and the commands of a client.

mod allocator;
mod args;
mod commands;
mod compiler;
mod context;
mod credentials;
mod dev;
mod diagnostics;
mod engine;
mod failure;
mod find;
mod folder;
mod follow;
mod init;
mod output;
mod params;
mod probe;
mod prompt;
mod scratch;
mod services;
mod settings;
mod style;

use std::{
    io::{self, Write as _},
    process::ExitCode,
};

use clap::Parser as _;

use args::Cli;
use commands::Command;
use failure::{Failure, Outcome};
use settings::value::LogFormat;
use style::Paint;

fn main() -> ExitCode {
    // Before there is a second thread: a worker process is forked from this one.
    #[cfg(target_os = "linux")]
    if std::env::args_os().nth(1).is_some_and(|command| command == "sandbox-worker") {
        lua_wasm_host::sandbox_worker();
    }
    allocator::configure();
    let cli = Cli::parse();
    if let Err(failure) = log(&cli.command) {
        return report_failure(&failure);
    }
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return report_failure(&Failure::new(format!("cannot start: {error}"))),
    };
    let ended = runtime.block_on(commands::run(cli));
    // What still runs in the background must not keep the process: all that counts was awaited.
    runtime.shutdown_background();
    match ended {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => report_failure(&failure),
    }
}

fn report_failure(failure: &Failure) -> ExitCode {
    let _ = io::stderr().write_all(failure.show(Paint::stderr()).as_bytes());
    ExitCode::from(failure.code)
}

/// A client's log is of interest to those who ask for it only. The services start theirs as their
/// settings say.
fn log(command: &Command) -> Outcome {
    match command {
        Command::ControlPlane(_) | Command::Executor(_) => Ok(()),
        Command::Dev(_) => services::log::start(LogFormat::Text, "warn"),
        _ => services::log::start(LogFormat::Text, "off"),
    }
}
