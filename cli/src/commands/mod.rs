//! The commands, one file each: a file has a command's arguments (older commands have theirs in `args`) and does what
//! it is for. The list and the dispatch of all commands are here.

mod admin;
mod artifacts;
mod audit;
mod boards;
mod check;
mod config;
mod diff;
mod exec;
mod grant;
mod invitations;
mod keys;
mod library;
mod login;
mod logs;
mod members;
mod migrate;
mod openapi;
mod outbox;
mod password;
mod publish;
mod pull;
mod push;
mod retention;
mod roles;
mod run;
mod runs;
mod schedules;
mod second_factor;
mod settings;
mod teams;
mod tokens;
mod usage;
mod versions;

use std::io;

use clap::{CommandFactory as _, Subcommand};
use clap_complete::Shell;
use restroy_sdk::ids::RunId;

use crate::{
    args::{
        Artifacts, Audit, Boards, Check, Cli, Config, Configure, Diff, Exec, Invitations, Library, Login, Logout, Logs,
        Members, Outbox, Password, Publish, Pull, Push, Retention, Roles, Run, Runs, SecondFactor, Secrets, Teams,
        Tokens, Usage, Versions,
    },
    context::Context,
    dev,
    failure::{Failure, Outcome},
    init, probe,
    services::{self, ControlPlaneArgs, ExecutorArgs},
};

/// The commands, in the order of the help.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    Dev(dev::Args),
    ControlPlane(ControlPlaneArgs),
    Executor(ExecutorArgs),
    Migrate(migrate::MigrateArgs),
    /// Manage an installation directly in its database
    #[command(subcommand)]
    Admin(admin::AdminCommand),
    /// Manage the master keys that secrets are sealed with
    #[command(subcommand)]
    Keys(keys::KeysCommand),
    Init(init::Args),
    #[command(hide = true)]
    Health(probe::Args),
    Login(Login),
    /// Verify a new account's e-mail address with the token from the e-mail
    VerifyEmail {
        /// The token
        // Base64url: one in 64 begins with a dash.
        #[arg(allow_hyphen_values = true)]
        token: String,
        /// Read the password from standard input (or set RESTROY_PASSWORD); prompted for if omitted
        #[arg(long)]
        password_stdin: bool,
    },
    Password(Password),
    SecondFactor(SecondFactor),
    Logout(Logout),
    /// Show who is signed in and their teams
    Whoami,
    Teams(Teams),
    Usage(Usage),
    Members(Members),
    Invitations(Invitations),
    Roles(Roles),
    Tokens(Tokens),
    Boards(Boards),
    Push(Push),
    Pull(Pull),
    Diff(Diff),
    Versions(Versions),
    Publish(Publish),
    Retention(Retention),
    /// List the schedules of a pipeline with their next times; pause or resume one
    #[command(subcommand)]
    Schedules(schedules::SchedulesCommand),
    Library(Library),
    Check(Check),
    Run(Run),
    Runs(Runs),
    Logs(Logs),
    /// Cancel a queued or running run
    Cancel {
        /// The run's id
        run: String,
    },
    /// Set, list and remove the secrets of scripts, boards and teams
    #[command(subcommand, alias = "secret")]
    Secrets(Secrets),
    Config(Config),
    /// Print the OpenAPI document of the API that this program serves
    Openapi,
    Outbox(Outbox),
    Audit(Audit),
    Artifacts(Artifacts),
    Exec(Exec),
    /// Print a shell completion script
    #[command(after_help = "\
Examples:
  restroy completion bash > ~/.local/share/bash-completion/completions/restroy
  restroy completion fish > ~/.config/fish/completions/restroy.fish")]
    Completion {
        /// Which shell
        shell: Shell,
    },
}

/// Does what the command line says.
pub(crate) async fn run(cli: Cli) -> Outcome {
    let Cli { server, json, command } = cli;
    let context = || Context::new(server, json);
    match command {
        Command::Dev(args) => dev::run(args).await,
        Command::ControlPlane(args) => services::control_plane(args).await,
        Command::Executor(args) => services::executor(args).await,
        Command::Migrate(args) => migrate::migrate(args, json).await,
        Command::Admin(command) => admin::admin(command, json).await,
        Command::Keys(command) => keys::keys(command, json).await,
        Command::Init(args) => init::run(&args, json),
        Command::Health(args) => probe::run(&args).await,
        Command::Config(Config { action: None, settings }) => settings::settings(&settings, json),
        Command::Config(Config { action: Some(Configure::ControlPlane(settings)), .. }) => {
            settings::settings(&settings, json)
        }
        Command::Config(Config { action: Some(Configure::Executor(settings)), .. }) => {
            settings::settings(&settings, json)
        }
        Command::Config(Config { action: Some(action), .. }) => config::configure(&context()?, &action).await,
        Command::VerifyEmail { token, password_stdin } => {
            login::verify_email(&context()?, &token, password_stdin).await
        }
        Command::Login(args) => login::login(&context()?, &args).await,
        Command::Password(args) => password::password(&context()?, &args).await,
        Command::SecondFactor(args) => second_factor::second_factor(&context()?, &args).await,
        Command::Logout(args) => login::logout(&context()?, &args).await,
        Command::Whoami => login::whoami(&context()?).await,
        Command::Teams(args) => teams::teams(&context()?, &args).await,
        Command::Usage(args) => usage::usage(&context()?, &args).await,
        Command::Members(args) => members::members(&context()?, &args).await,
        Command::Invitations(args) => invitations::invitations(&context()?, &args).await,
        Command::Roles(args) => roles::roles(&context()?, &args).await,
        Command::Tokens(args) => tokens::tokens(&context()?, &args).await,
        Command::Boards(args) => boards::boards(&context()?, &args).await,
        Command::Push(args) => push::push(&context()?, &args).await,
        Command::Pull(args) => pull::pull(&context()?, &args).await,
        Command::Diff(args) => diff::diff(&context()?, &args).await,
        Command::Versions(args) => versions::versions(&context()?, &args).await,
        Command::Publish(args) => publish::publish(&context()?, &args).await,
        Command::Retention(args) => retention::retention(&context()?, &args).await,
        Command::Schedules(command) => schedules::schedules(&context()?, &command).await,
        Command::Library(args) => library::library(&context()?, &args).await,
        Command::Check(args) => check::check(json, &args).await,
        Command::Run(args) => run::run(&context()?, &args).await,
        Command::Runs(args) => runs::runs(&context()?, &args).await,
        Command::Logs(args) => logs::logs(&context()?, &args).await,
        Command::Cancel { run } => logs::cancel(&context()?, &run).await,
        Command::Secrets(action) => config::secrets(&context()?, &action).await,
        Command::Openapi => openapi::openapi(),
        Command::Audit(args) => audit::audit(&context()?, &args).await,
        Command::Outbox(args) => outbox::outbox(&context()?, &args).await,
        Command::Artifacts(args) => artifacts::artifacts(&context()?, &args).await,
        Command::Exec(args) => exec::exec(json, &args).await,
        Command::Completion { shell } => {
            clap_complete::generate(shell, &mut Cli::command(), "restroy", &mut io::stdout());
            Ok(())
        }
    }
}

/// A run's id as it was typed.
fn run_id(text: &str) -> Outcome<RunId> {
    text.parse().map_err(|_| {
        Failure::usage(format!("`{text}` is not the id of a run")).help("`restroy runs` lists runs with their ids")
    })
}
