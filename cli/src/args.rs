//! The command line.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};
use clap_complete::Shell;

use crate::{
    commands::{AdminCommand, MigrateArgs},
    dev, init, probe,
    services::{ControlPlaneArgs, ExecutorArgs},
    settings::{Given, tables},
};

/// Runs pipelines of Lua scripts, each script in a WebAssembly sandbox of its own.
#[derive(Debug, Parser)]
#[command(
    name = "restroy",
    version,
    max_term_width = 100,
    arg_required_else_help = true,
    after_help = "\
Examples:
  restroy dev --demo                              a server on this machine, with examples
  restroy login                                   sign in there
  restroy push examples/weather-report            make the folder's pipeline its newest version
  restroy run Newsletter --param issue=7 --follow start a run and watch it
  restroy exec script.lua --input '{\"n\": 7}'      one script on the spot, without a server

Exit codes: 0 done, run succeeded; 1 failed, run failed or cancelled, faults found; 2 wrong command
line; 3 server not reached or not signed in; 130 stopped by Ctrl-C."
)]
pub(crate) struct Cli {
    /// The server [default: the one signed in to last, else http://127.0.0.1:8080]
    #[arg(
        long,
        global = true,
        env = "RESTROY_SERVER",
        hide_env_values = true,
        value_name = "URL",
        help_heading = "Global options"
    )]
    pub(crate) server: Option<String>,

    /// Answer in JSON, where there is an answer
    #[arg(long, global = true, help_heading = "Global options")]
    pub(crate) json: bool,

    #[command(subcommand)]
    pub(crate) command: Command,
}

/// What is to be done.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    Dev(dev::Args),
    ControlPlane(ControlPlaneArgs),
    Executor(ExecutorArgs),
    Migrate(MigrateArgs),
    /// Manage an installation, on its database directly
    #[command(subcommand)]
    Admin(AdminCommand),
    Init(init::Args),
    #[command(hide = true)]
    Health(probe::Args),
    Login(Login),
    /// Verify the e-mail address of a new account, with the token from the e-mail
    VerifyEmail {
        /// The token
        // Base64url: one in 64 begins with a dash.
        #[arg(allow_hyphen_values = true)]
        token: String,
    },
    Password(Password),
    Logout(Logout),
    /// Show who is signed in, and the teams
    Whoami,
    Tokens(Tokens),
    Boards(Boards),
    Push(Push),
    Check(Check),
    Run(Run),
    Runs(Runs),
    Logs(Logs),
    /// End a run that goes on
    Cancel {
        /// The run's id
        run: String,
    },
    /// Set a script's secrets
    #[command(subcommand)]
    Secret(Secret),
    Config(Config),
    Outbox(Outbox),
    Artifacts(Artifacts),
    Exec(Exec),
    /// Print a script that completes this command line in a shell
    #[command(after_help = "\
Examples:
  restroy completion bash > ~/.local/share/bash-completion/completions/restroy
  restroy completion fish > ~/.config/fish/completions/restroy.fish")]
    Completion {
        /// Which shell
        shell: Shell,
    },
}

/// Sign in to a server; it becomes the default of the other commands
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  restroy login
  restroy login ada@example.com --server https://restroy.example.com
  pass restroy | restroy login ada@example.com --password-stdin
  restroy login --register                        make an account first
  pass restroy/ci | restroy login --token-stdin   by an API token; RESTROY_TOKEN does it for one command")]
pub(crate) struct Login {
    /// The account's e-mail address; asked for unless given
    pub(crate) email: Option<String>,
    /// Read the password from standard input (or set RESTROY_PASSWORD); asked for unless given
    #[arg(long)]
    pub(crate) password_stdin: bool,
    /// The code of your authenticator, or a recovery code, where a second factor is on; asked for unless given
    #[arg(long, value_name = "CODE")]
    pub(crate) code: Option<String>,
    /// Read an API token from standard input, and be whoever it belongs to
    #[arg(long, conflicts_with_all = ["email", "password_stdin", "register", "code"])]
    pub(crate) token_stdin: bool,
    /// Make the account first
    #[arg(long)]
    pub(crate) register: bool,
    /// With --register: how others see you; the address's first part unless given
    #[arg(long, requires = "register")]
    pub(crate) name: Option<String>,
}

/// Choose another password, with a token that comes by e-mail
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  restroy password ada@example.com                sends the e-mail
  restroy password --token TOKEN                  asks for the new password; every session ends")]
pub(crate) struct Password {
    /// The account's e-mail address: the token is sent there
    #[arg(required_unless_present = "token", conflicts_with = "token")]
    pub(crate) email: Option<String>,
    /// The token from the e-mail
    // Base64url: one in 64 begins with a dash.
    #[arg(long, allow_hyphen_values = true)]
    pub(crate) token: Option<String>,
    /// With --token: read the new password from standard input; asked for unless given
    #[arg(long = "password-stdin", requires = "token")]
    pub(crate) stdin: bool,
    /// With --token: end the account's API tokens too
    #[arg(long, requires = "token")]
    pub(crate) revoke_tokens: bool,
}

/// End the session
#[derive(Debug, Args)]
pub(crate) struct Logout {
    /// End every session of the account
    #[arg(long)]
    pub(crate) everywhere: bool,
}

/// List your API tokens, make one, or end one
///
/// A token is for programs. It does what you may do, in all your teams unless told otherwise, and cannot change
/// your account. It is shown once.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  restroy tokens
  restroy tokens --create CI --expires 90d --scope pipeline.run --scope run.read --team Sales
  restroy tokens --revoke 0197a4e0-0000-7000-8000-000000000000")]
pub(crate) struct Tokens {
    /// Make a token of this name
    #[arg(long, value_name = "NAME")]
    pub(crate) create: Option<String>,
    /// With --create: after what time it ends, such as 12h, 90d or 52w; never unless given
    #[arg(long, requires = "create", value_name = "TIME")]
    pub(crate) expires: Option<String>,
    /// With --create: a permission that it carries; may be given several times; all of yours unless given
    #[arg(long = "scope", requires = "create", value_name = "PERMISSION")]
    pub(crate) scopes: Vec<String>,
    /// With --create: the only team that it reaches, by name or id
    #[arg(long, requires = "create", value_name = "NAME")]
    pub(crate) team: Option<String>,
    /// End the token of this id
    #[arg(long, conflicts_with = "create", value_name = "ID")]
    pub(crate) revoke: Option<String>,
}

/// List the boards, or make one
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  restroy boards
  restroy boards --create Reports --team Sales")]
pub(crate) struct Boards {
    /// Make a board of this name
    #[arg(long, value_name = "NAME")]
    pub(crate) create: Option<String>,
    /// With --create: the team it belongs to; made when it is not there
    #[arg(long, requires = "create", value_name = "NAME")]
    pub(crate) team: Option<String>,
}

/// Make a folder's pipeline the newest version on the server
///
/// Reads pipeline.yaml and every Lua file below the folder. The pipeline is made when the board has
/// none of its name.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  restroy push .
  restroy push examples/newsletter --board Marketing --message \"Ask for consent\"
  restroy push . --draft                          check and keep, but do not run with it yet")]
pub(crate) struct Push {
    /// The pipeline's folder
    #[arg(value_name = "DIR")]
    pub(crate) folder: PathBuf,
    /// The board's name or id; the only board unless given
    #[arg(long, value_name = "NAME")]
    pub(crate) board: Option<String>,
    /// Runs start with the new version from now on (the default)
    #[arg(long, conflicts_with = "draft")]
    pub(crate) publish: bool,
    /// Runs go on with the version that is published
    #[arg(long)]
    pub(crate) draft: bool,
    /// Why
    #[arg(long, short, value_name = "TEXT", default_value = "", hide_default_value = true)]
    pub(crate) message: String,
}

/// Check a folder's pipeline without a server: the document, and that all Lua compiles
#[derive(Debug, Args)]
pub(crate) struct Check {
    /// The pipeline's folder
    #[arg(value_name = "DIR")]
    pub(crate) folder: PathBuf,
}

/// Start a run
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  restroy run Hello --param names=Ada,Grace --follow
  restroy run \"Weather report\" --param csv=@seattle-weather.csv
  restroy run ./hello --params-file params.json

A value is read as the pipeline's schema says: text where it takes text, else JSON. `@file` reads a
file; `@@x` is the text `@x`.")]
pub(crate) struct Run {
    /// The pipeline: its name, its folder or its id
    #[arg(value_name = "NAME|DIR|ID")]
    pub(crate) pipeline: String,
    /// A parameter; may be given several times
    #[arg(long = "param", short, value_name = "NAME=VALUE")]
    pub(crate) params: Vec<String>,
    /// All parameters, as a JSON object; `-` is standard input
    #[arg(long, value_name = "FILE")]
    pub(crate) params_file: Option<PathBuf>,
    /// Watch it until it ends
    #[arg(long, short)]
    pub(crate) follow: bool,
    /// The board, where several have a pipeline of that name
    #[arg(long, value_name = "NAME")]
    pub(crate) board: Option<String>,
}

/// List runs, newest first
#[derive(Debug, Args)]
pub(crate) struct Runs {
    /// Of this pipeline only: its name, folder or id
    pub(crate) pipeline: Option<String>,
    /// How many
    #[arg(long, short = 'n', default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..=100))]
    pub(crate) limit: u32,
}

/// Show what a run printed and did
#[derive(Debug, Args)]
pub(crate) struct Logs {
    /// The run's id
    pub(crate) run: String,
    /// Go on until it ends
    #[arg(long, short)]
    pub(crate) follow: bool,
    /// Only what came after the event of this number
    #[arg(long, value_name = "SEQ", default_value_t = 0, value_parser = clap::value_parser!(i64).range(0..))]
    pub(crate) after: i64,
}

/// What is to be done with secrets.
#[derive(Debug, Subcommand)]
pub(crate) enum Secret {
    /// Set a secret; its value is asked for, or read from standard input
    #[command(after_help = "\
Examples:
  restroy secret set Newsletter scripts/fetch.lua API_KEY
  pass crm/key | restroy secret set Newsletter fetch API_KEY")]
    Set {
        /// The pipeline: its name, folder or id
        pipeline: String,
        /// The script: its path, or its file's name
        script: String,
        /// The key
        key: String,
    },
}

/// Print the settings in force, or change the configuration of scripts
#[derive(Debug, Args)]
#[command(
    args_conflicts_with_subcommands = true,
    after_help = "\
Examples:
  restroy config                                  the settings of `restroy dev`
  restroy config control-plane                    those of a control-plane, secrets masked
  restroy config list Newsletter
  restroy config set Newsletter fetch api_url https://crm.example.com"
)]
pub(crate) struct Config {
    #[command(subcommand)]
    pub(crate) action: Option<Configure>,
    #[command(flatten)]
    pub(crate) settings: Given<tables::Dev>,
}

/// What is to be done with the configuration of scripts, or which service's settings are asked for.
#[derive(Debug, Subcommand)]
pub(crate) enum Configure {
    /// Print the settings that `restroy control-plane` would have here, secrets masked
    ControlPlane(Given<tables::ControlPlane>),
    /// Print the settings that `restroy executor` would have here, secrets masked
    Executor(Given<tables::Executor>),
    /// Set a plain value
    Set {
        /// The pipeline: its name, folder or id
        pipeline: String,
        /// The script: its path, or its file's name
        script: String,
        /// The key
        key: String,
        /// The value
        value: String,
    },
    /// List what is set, secrets without their values
    List {
        /// The pipeline: its name, folder or id
        pipeline: String,
        /// Of this script only: its path, or its file's name
        script: Option<String>,
    },
    /// Take a value or a secret away; the document's default holds again
    Unset {
        /// The pipeline: its name, folder or id
        pipeline: String,
        /// The script: its path, or its file's name
        script: String,
        /// The key
        key: String,
    },
}

/// Show the e-mails that runs sent
#[derive(Debug, Args)]
pub(crate) struct Outbox {
    /// Of this team only
    #[arg(long, value_name = "NAME")]
    pub(crate) team: Option<String>,
    /// How many
    #[arg(long, short = 'n', default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..=100))]
    pub(crate) limit: u32,
    /// The whole text of each
    #[arg(long)]
    pub(crate) full: bool,
}

/// List the files that a run kept, or fetch them
#[derive(Debug, Args)]
pub(crate) struct Artifacts {
    /// The run's id
    pub(crate) run: String,
    /// Fetch them into this folder; what is there already stays
    #[arg(long, value_name = "DIR")]
    pub(crate) download: Option<PathBuf>,
}

/// Run one script on the spot, in a sandbox, without a server
///
/// kv, e-mail and files are there, in memory, and gone afterwards; `require` finds the Lua files
/// beside the script.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  restroy exec script.lua --input '{\"n\": 7}'
  restroy exec scripts/fetch.lua --config API_KEY=test --allow-http https://api.example.com
  restroy exec script.lua --input @inputs.json --json

A value `@file` reads a file.")]
pub(crate) struct Exec {
    /// The script
    pub(crate) script: PathBuf,
    /// What the script sees as `inputs`, as JSON
    #[arg(long, value_name = "JSON")]
    pub(crate) input: Option<String>,
    /// What the script sees as `params`, as JSON
    #[arg(long, value_name = "JSON")]
    pub(crate) params: Option<String>,
    /// What the script sees as `item`, as JSON
    #[arg(long, value_name = "JSON")]
    pub(crate) item: Option<String>,
    /// A key of `config`; may be given several times
    #[arg(long, value_name = "KEY=VALUE")]
    pub(crate) config: Vec<String>,
    /// An origin it may call, such as https://api.example.com; may be given several times
    #[arg(long, value_name = "ORIGIN")]
    pub(crate) allow_http: Vec<String>,
    /// Fuel: about a nanosecond each, so 1000000000, the default, is about a second
    #[arg(long, value_name = "UNITS", value_parser = clap::value_parser!(u64).range(1..=100_000_000_000))]
    pub(crate) fuel: Option<u64>,
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn the_command_line_is_sound() {
        Cli::command().debug_assert();
    }

    #[test]
    fn the_help_says_what_there_is() {
        let help = Cli::command().term_width(100).render_help().to_string();
        assert_eq!(help, include_str!("help.txt"), "help.txt beside this file holds the help as it should be");
    }

    #[test]
    fn config_is_a_command_and_has_some() {
        let parse = |line: &str| Cli::try_parse_from(line.split(' ')).map(|cli| cli.command);
        assert!(matches!(parse("restroy config"), Ok(Command::Config(Config { action: None, .. }))));
        assert!(matches!(
            parse("restroy config set a b c d"),
            Ok(Command::Config(Config { action: Some(Configure::Set { .. }), .. }))
        ));
        assert!(parse("restroy push . --draft --publish").is_err());
        assert!(parse("restroy runs -n 0").is_err());
        assert!(parse("restroy exec a.lua --fuel 99999999999999").is_err(), "more than a sandbox can get");
    }
}
