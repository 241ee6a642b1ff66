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

use clap::{CommandFactory as _, Parser as _};

use args::{Cli, Command, Config, Configure};
use context::Context;
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
    let ended = runtime.block_on(dispatch(cli));
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

async fn dispatch(cli: Cli) -> Outcome {
    let Cli { server, json, command } = cli;
    let context = || Context::new(server, json);
    match command {
        Command::Dev(args) => dev::run(args).await,
        Command::ControlPlane(args) => services::control_plane(args).await,
        Command::Executor(args) => services::executor(args).await,
        Command::Migrate(args) => commands::migrate(args, json).await,
        Command::Admin(command) => commands::admin(command, json).await,
        Command::Keys(command) => commands::keys(command, json).await,
        Command::Init(args) => init::run(&args, json),
        Command::Health(args) => probe::run(&args).await,
        Command::Config(Config { action: None, settings }) => commands::settings(&settings, json),
        Command::Config(Config { action: Some(Configure::ControlPlane(settings)), .. }) => {
            commands::settings(&settings, json)
        }
        Command::Config(Config { action: Some(Configure::Executor(settings)), .. }) => {
            commands::settings(&settings, json)
        }
        Command::Config(Config { action: Some(action), .. }) => commands::configure(&context()?, &action).await,
        Command::VerifyEmail { token, password_stdin } => {
            commands::verify_email(&context()?, &token, password_stdin).await
        }
        Command::Login(args) => commands::login(&context()?, &args).await,
        Command::Password(args) => commands::password(&context()?, &args).await,
        Command::SecondFactor(args) => commands::second_factor(&context()?, &args).await,
        Command::Logout(args) => commands::logout(&context()?, &args).await,
        Command::Whoami => commands::whoami(&context()?).await,
        Command::Teams(args) => commands::teams(&context()?, &args).await,
        Command::Usage(args) => commands::usage(&context()?, &args).await,
        Command::Members(args) => commands::members(&context()?, &args).await,
        Command::Invitations(args) => commands::invitations(&context()?, &args).await,
        Command::Roles(args) => commands::roles(&context()?, &args).await,
        Command::Tokens(args) => commands::tokens(&context()?, &args).await,
        Command::Boards(args) => commands::boards(&context()?, &args).await,
        Command::Push(args) => commands::push(&context()?, &args).await,
        Command::Pull(args) => commands::pull(&context()?, &args).await,
        Command::Diff(args) => commands::diff(&context()?, &args).await,
        Command::Versions(args) => commands::versions(&context()?, &args).await,
        Command::Publish(args) => commands::publish(&context()?, &args).await,
        Command::Retention(args) => commands::retention(&context()?, &args).await,
        Command::Library(args) => commands::library(&context()?, &args).await,
        Command::Check(args) => commands::check(json, &args).await,
        Command::Run(args) => commands::run(&context()?, &args).await,
        Command::Runs(args) => commands::runs(&context()?, &args).await,
        Command::Logs(args) => commands::logs(&context()?, &args).await,
        Command::Cancel { run } => commands::cancel(&context()?, &run).await,
        Command::Secrets(action) => commands::secrets(&context()?, &action).await,
        Command::Openapi => commands::openapi(),
        Command::Audit(args) => commands::audit(&context()?, &args).await,
        Command::Outbox(args) => commands::outbox(&context()?, &args).await,
        Command::Artifacts(args) => commands::artifacts(&context()?, &args).await,
        Command::Exec(args) => commands::exec(json, &args).await,
        Command::Completion { shell } => {
            clap_complete::generate(shell, &mut Cli::command(), "restroy", &mut io::stdout());
            Ok(())
        }
    }
}
