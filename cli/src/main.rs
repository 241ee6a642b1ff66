//! The binary `restroy`: everything in one process (`dev`), and the commands of a client.

mod args;
mod commands;
mod context;
mod credentials;
mod dev;
mod engine;
mod failure;
mod faults;
mod find;
mod folder;
mod follow;
mod output;
mod params;
mod prompt;
mod scratch;
mod style;

use std::{
    io::{self, Write as _},
    process::ExitCode,
};

use clap::{CommandFactory as _, Parser as _};
use tracing_subscriber::EnvFilter;

use args::{Cli, Command, Config};
use context::Context;
use failure::{Failure, Outcome};
use style::Paint;

fn main() -> ExitCode {
    let cli = Cli::parse();
    log(&cli.command);
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return told(&Failure::new(format!("cannot start: {error}"))),
    };
    let ended = runtime.block_on(dispatch(cli));
    // What still runs in the background must not keep the process: all that counts was awaited.
    runtime.shutdown_background();
    match ended {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => told(&failure),
    }
}

fn told(failure: &Failure) -> ExitCode {
    let _ = io::stderr().write_all(failure.show(Paint::stderr()).as_bytes());
    ExitCode::from(failure.code)
}

/// The log goes to standard error; a client's log is of interest to those who ask for it only.
fn log(command: &Command) {
    let default = if matches!(command, Command::Dev(_)) { "warn" } else { "off" };
    let filter = EnvFilter::try_from_env("RESTROY_LOG").unwrap_or_else(|_| EnvFilter::new(default));
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(io::stderr).init();
}

async fn dispatch(cli: Cli) -> Outcome {
    let Cli { server, json, command } = cli;
    let context = || Context::new(server, json);
    match command {
        Command::Dev(args) => dev::run(args).await.map_err(|error| Failure::new(error.to_string())),
        Command::Migrate(args) => dev::migrate(args, json).await.map_err(|error| Failure::new(error.to_string())),
        Command::Config(Config { action: None, settings }) => {
            dev::config(&settings, json).map_err(|error| Failure::new(error.to_string()))
        }
        Command::Config(Config { action: Some(action), .. }) => commands::configure(&context()?, &action).await,
        Command::Login(args) => commands::login(&context()?, &args).await,
        Command::Logout => commands::logout(&context()?).await,
        Command::Whoami => commands::whoami(&context()?).await,
        Command::Boards(args) => commands::boards(&context()?, &args).await,
        Command::Push(args) => commands::push(&context()?, &args).await,
        Command::Check(args) => commands::check(json, &args).await,
        Command::Run(args) => commands::run(&context()?, &args).await,
        Command::Runs(args) => commands::runs(&context()?, &args).await,
        Command::Logs(args) => commands::logs(&context()?, &args).await,
        Command::Cancel { run } => commands::cancel(&context()?, &run).await,
        Command::Secret(secret) => commands::secret(&context()?, &secret).await,
        Command::Outbox(args) => commands::outbox(&context()?, &args).await,
        Command::Artifacts(args) => commands::artifacts(&context()?, &args).await,
        Command::Exec(args) => commands::exec(json, &args).await,
        Command::Completion { shell } => {
            clap_complete::generate(shell, &mut Cli::command(), "restroy", &mut io::stdout());
            Ok(())
        }
    }
}
