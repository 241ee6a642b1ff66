//! The command line.

use std::path::PathBuf;

use clap::{ArgGroup, Args, Parser, Subcommand};
use clap_complete::Shell;

use crate::{
    commands::{AdminCommand, KeysCommand, MigrateArgs},
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
    /// Manage the master keys that secrets are sealed with
    #[command(subcommand)]
    Keys(KeysCommand),
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
        /// Read the password from standard input (or set RESTROY_PASSWORD); asked for unless given
        #[arg(long)]
        password_stdin: bool,
    },
    Password(Password),
    Logout(Logout),
    /// Show who is signed in, and the teams
    Whoami,
    Teams(Teams),
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
    Library(Library),
    Check(Check),
    Run(Run),
    Runs(Runs),
    Logs(Logs),
    /// End a run that goes on
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

/// List the teams; make, rename, leave, hand over, delete one or bring it back
#[derive(Debug, Args)]
#[command(
    group(ArgGroup::new("what").args(["create", "rename", "leave", "transfer", "delete", "restore", "deleted"])),
    after_help = "\
Examples:
  restroy teams
  restroy teams --create Sales
  restroy teams --rename Sales --to \"Sales and support\"
  restroy teams --transfer Sales --to bob@example.com
  restroy teams --delete Sales                    asks for its name; --restore brings it back for 30 days"
)]
pub(crate) struct Teams {
    /// Make a team of this name
    #[arg(long, value_name = "NAME")]
    pub(crate) create: Option<String>,
    /// Give this team the name of --to
    #[arg(long, value_name = "TEAM", requires = "to")]
    pub(crate) rename: Option<String>,
    /// Leave this team
    #[arg(long, value_name = "TEAM")]
    pub(crate) leave: Option<String>,
    /// Make the member of --to the owner of this team; you are an admin from then on
    #[arg(long, value_name = "TEAM", requires = "to")]
    pub(crate) transfer: Option<String>,
    /// Delete this team with all that is in it
    #[arg(long, value_name = "TEAM")]
    pub(crate) delete: Option<String>,
    /// Bring a deleted team back
    #[arg(long, value_name = "TEAM")]
    pub(crate) restore: Option<String>,
    /// List the deleted teams that you can bring back
    #[arg(long)]
    pub(crate) deleted: bool,
    /// The new name, or the member's e-mail address
    #[arg(long, value_name = "NAME|EMAIL")]
    pub(crate) to: Option<String>,
    /// With --delete: do not ask
    #[arg(long, requires = "delete")]
    pub(crate) yes: bool,
}

/// List a team's members; invite, remove one, or give one another role
#[derive(Debug, Args)]
#[command(
    group(ArgGroup::new("what").args(["invite", "change", "remove"])),
    after_help = "\
Examples:
  restroy members --team Sales
  restroy members --invite bob@example.com --role editor
  restroy members --change bob@example.com --role viewer
  restroy members --board Reports --change bob@example.com --role editor    on that board only
  restroy members --remove bob@example.com"
)]
pub(crate) struct Members {
    /// The team's name or id; the only team unless given
    #[arg(long, value_name = "NAME", conflicts_with = "board")]
    pub(crate) team: Option<String>,
    /// The roles on this board, in place of those in the team
    #[arg(long, value_name = "NAME")]
    pub(crate) board: Option<String>,
    /// Invite whoever has this address
    #[arg(long, value_name = "EMAIL", requires = "role")]
    pub(crate) invite: Option<String>,
    /// Give this member the role of --role
    #[arg(long, value_name = "EMAIL", requires = "role")]
    pub(crate) change: Option<String>,
    /// Remove this member
    #[arg(long, value_name = "EMAIL")]
    pub(crate) remove: Option<String>,
    /// The role: owner, admin, editor, operator, viewer, or one of the team's own
    #[arg(long, value_name = "ROLE", requires = "what")]
    pub(crate) role: Option<String>,
}

/// List the invitations that wait for you, or those of a team; answer or revoke one
#[derive(Debug, Args)]
#[command(group(ArgGroup::new("what").args(["accept", "decline", "revoke"])))]
pub(crate) struct Invitations {
    /// Those that this team sent
    #[arg(long, value_name = "NAME", conflicts_with_all = ["accept", "decline"])]
    pub(crate) team: Option<String>,
    /// Join the team, by the invitation's id or the token from the e-mail
    // Base64url: one in 64 begins with a dash.
    #[arg(long, value_name = "ID|TOKEN", allow_hyphen_values = true)]
    pub(crate) accept: Option<String>,
    /// Say no to this invitation
    #[arg(long, value_name = "ID")]
    pub(crate) decline: Option<String>,
    /// Take this invitation of the team back
    #[arg(long, value_name = "ID")]
    pub(crate) revoke: Option<String>,
}

/// List a team's roles; make, change, delete one of its own
#[derive(Debug, Args)]
#[command(
    group(ArgGroup::new("what").args(["create", "change", "delete", "permissions"])),
    after_help = "\
Examples:
  restroy roles
  restroy roles --permissions                     what roles are sets of
  restroy roles --create Releaser --allow board.read,pipeline.read,pipeline.run,run.read
  restroy roles --change Releaser --name Shipper"
)]
pub(crate) struct Roles {
    /// The team's name or id; the only team unless given
    #[arg(long, value_name = "NAME")]
    pub(crate) team: Option<String>,
    /// Make a role of this name
    #[arg(long, value_name = "ROLE")]
    pub(crate) create: Option<String>,
    /// Change this role
    #[arg(long, value_name = "ROLE")]
    pub(crate) change: Option<String>,
    /// Delete this role, which nobody may have
    #[arg(long, value_name = "ROLE")]
    pub(crate) delete: Option<String>,
    /// List all permissions there are
    #[arg(long)]
    pub(crate) permissions: bool,
    /// All that the role allows; may be given several times, or with commas between
    #[arg(long, value_name = "PERMISSION", value_delimiter = ',')]
    pub(crate) allow: Vec<String>,
    /// With --change: another name
    #[arg(long, value_name = "NAME", requires = "change")]
    pub(crate) name: Option<String>,
    /// What the role is for
    #[arg(long, value_name = "TEXT")]
    pub(crate) description: Option<String>,
}

/// Choose another password, with a token that comes by e-mail
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  restroy password ada@example.com                sends the e-mail
  restroy password --token TOKEN                  asks for the new password; every session and API token ends")]
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
    /// With --token: let the account's API tokens go on; they end unless given
    #[arg(long, requires = "token")]
    pub(crate) keep_tokens: bool,
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
    /// With --create: read the account's password from standard input (or set RESTROY_PASSWORD); asked for unless
    /// given
    #[arg(long, requires = "create")]
    pub(crate) password_stdin: bool,
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
    /// Do not ask before the pipeline may touch more than the published version
    #[arg(long, short)]
    pub(crate) yes: bool,
}

/// Write a pipeline of the server into a folder
///
/// The folder holds pipeline.yaml and the Lua files then, as `restroy push` takes them. It is made, or is
/// empty: what is there is not written over.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  restroy pull Newsletter
  restroy pull Newsletter old --version 3
  restroy pull Newsletter newsletter --force      write over what is there")]
pub(crate) struct Pull {
    /// The pipeline: its name or its id
    #[arg(value_name = "NAME|ID")]
    pub(crate) pipeline: String,
    /// The folder; named like the pipeline unless given
    #[arg(value_name = "DIR")]
    pub(crate) folder: Option<PathBuf>,
    /// This version; the newest unless given
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(i64).range(1..))]
    pub(crate) version: Option<i64>,
    /// Write over files that are there
    #[arg(long)]
    pub(crate) force: bool,
    /// The board, where several have a pipeline of that name
    #[arg(long, value_name = "NAME")]
    pub(crate) board: Option<String>,
}

/// Show what a folder would change
///
/// Compares the folder with the published version of the pipeline that it would be pushed to.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  restroy diff
  restroy diff examples/newsletter --version 3")]
pub(crate) struct Diff {
    /// The pipeline's folder
    #[arg(value_name = "DIR", default_value = ".")]
    pub(crate) folder: PathBuf,
    /// Compare with this version; the published one unless given
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(i64).range(1..))]
    pub(crate) version: Option<i64>,
    /// The board, where several have a pipeline of that name
    #[arg(long, value_name = "NAME")]
    pub(crate) board: Option<String>,
}

/// List the versions of a pipeline, newest first
#[derive(Debug, Args)]
pub(crate) struct Versions {
    /// The pipeline: its name, its folder or its id
    #[arg(value_name = "NAME|DIR|ID")]
    pub(crate) pipeline: String,
    /// How many
    #[arg(long, short = 'n', default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..=100))]
    pub(crate) limit: u32,
    /// The board, where several have a pipeline of that name
    #[arg(long, value_name = "NAME")]
    pub(crate) board: Option<String>,
}

/// List the modules of a team's library, or change them
///
/// A pipeline's document pins a module's version (`library: { text: 3 }`); its scripts load it with
/// `require "lib.text"`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  restroy library
  restroy library push text.lua --message \"Trim spaces\"
  restroy library show text --version 2")]
pub(crate) struct Library {
    /// The team's name or id; the only team unless given
    #[arg(long, global = true, value_name = "NAME")]
    pub(crate) team: Option<String>,
    #[command(subcommand)]
    pub(crate) action: Option<LibraryAction>,
}

/// What is to be done with a library.
#[derive(Debug, Subcommand)]
pub(crate) enum LibraryAction {
    /// Make a Lua file the newest version of a module; the module is made when it is not there
    Push {
        /// The Lua file
        file: PathBuf,
        /// The module's name; that of the file unless given
        #[arg(long, value_name = "NAME")]
        name: Option<String>,
        /// Why
        #[arg(long, short, value_name = "TEXT", default_value = "", hide_default_value = true)]
        message: String,
    },
    /// Print a module's source
    Show {
        /// The module's name
        name: String,
        /// This version; the newest unless given
        #[arg(long, value_name = "N", value_parser = clap::value_parser!(i64).range(1..))]
        version: Option<i64>,
    },
    /// Delete a module that no pipeline is pinned to
    Remove {
        /// The module's name
        name: String,
    },
}

/// Let runs start with a version from now on
#[derive(Debug, Args)]
pub(crate) struct Publish {
    /// The pipeline: its name, its folder or its id
    #[arg(value_name = "NAME|DIR|ID")]
    pub(crate) pipeline: String,
    /// The version's number; `restroy versions` lists them
    #[arg(value_name = "N", value_parser = clap::value_parser!(i64).range(1..))]
    pub(crate) version: i64,
    /// Do not ask before the pipeline may touch more than the published version
    #[arg(long, short)]
    pub(crate) yes: bool,
    /// The board, where several have a pipeline of that name
    #[arg(long, value_name = "NAME")]
    pub(crate) board: Option<String>,
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

/// Whose configuration, where it is not that of a script.
#[derive(Debug, Args)]
pub(crate) struct Whose {
    /// That of all scripts on this board, by its name or id
    #[arg(long, value_name = "NAME", conflicts_with = "team")]
    pub(crate) board: Option<String>,
    /// That of all scripts of this team, by its name or id
    #[arg(long, value_name = "NAME")]
    pub(crate) team: Option<String>,
}

/// What is to be done with secrets.
#[derive(Debug, Subcommand)]
pub(crate) enum Secrets {
    /// Set a secret; its value is asked for, or read from standard input
    #[command(after_help = "\
Examples:
  restroy secrets set Newsletter scripts/fetch.lua API_KEY
  pass crm/key | restroy secrets set --board Marketing API_KEY

A script's own secret goes before its board's, and that before its team's. What a board or a team has
reaches every script there that names it.")]
    Set {
        /// A pipeline (its name, folder or id), one of its scripts (its path, or its file's name), and the
        /// key; with --board or --team the key alone
        #[arg(required = true, num_args = 1..=3, value_name = "PIPELINE SCRIPT KEY")]
        names: Vec<String>,
        #[command(flatten)]
        whose: Whose,
    },
    /// List secrets, without their values
    List {
        /// A pipeline, and one of its scripts; nothing with --board or --team
        #[arg(num_args = 0..=2, value_name = "PIPELINE SCRIPT")]
        names: Vec<String>,
        #[command(flatten)]
        whose: Whose,
    },
    /// Take a secret away
    Remove {
        /// A pipeline, one of its scripts, and the key; with --board or --team the key alone
        #[arg(required = true, num_args = 1..=3, value_name = "PIPELINE SCRIPT KEY")]
        names: Vec<String>,
        #[command(flatten)]
        whose: Whose,
    },
}

/// Show what was done in a team, or to one's own account, the newest first
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  restroy audit --action secret. -n 20
  restroy audit --mine                            one's own sign-ins, also those that failed
  restroy audit --team Sales --export > audit.ndjson")]
pub(crate) struct Audit {
    /// The team, by its name or id; the only one unless given
    #[arg(long, value_name = "NAME")]
    pub(crate) team: Option<String>,
    /// What was done to one's own account
    #[arg(long, conflicts_with = "team")]
    pub(crate) mine: bool,
    /// Only actions that begin so, such as `board.`
    #[arg(long, value_name = "TEXT")]
    pub(crate) action: Option<String>,
    /// Only what was done to this: kind and id, as the list shows it
    #[arg(long, value_name = "THING")]
    pub(crate) subject: Option<String>,
    /// Only from this day or moment on
    #[arg(long, value_name = "TIME")]
    pub(crate) from: Option<String>,
    /// Only before this day or moment
    #[arg(long, value_name = "TIME")]
    pub(crate) to: Option<String>,
    /// How many
    #[arg(long, short = 'n', default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..=100))]
    pub(crate) limit: u32,
    /// All of it, as JSON, an entry a line
    #[arg(long, conflicts_with = "limit")]
    pub(crate) export: bool,
}

/// Print the settings in force, or change the configuration of scripts, boards and teams
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
    #[command(after_help = "\
Examples:
  restroy config set Newsletter fetch api_url https://crm.example.com
  restroy config set --team Sales api_url https://crm.example.com

What a board or a team has reaches the scripts there whose `config` names the key; a script's own value
goes before its board's, and that before its team's.")]
    Set {
        /// A pipeline (its name, folder or id), one of its scripts (its path, or its file's name), the key,
        /// and the value; with --board or --team key and value alone
        #[arg(required = true, num_args = 2..=4, value_name = "PIPELINE SCRIPT KEY VALUE")]
        names: Vec<String>,
        #[command(flatten)]
        whose: Whose,
    },
    /// List what is set, secrets without their values
    List {
        /// A pipeline, and one of its scripts; nothing with --board or --team
        #[arg(num_args = 0..=2, value_name = "PIPELINE SCRIPT")]
        names: Vec<String>,
        #[command(flatten)]
        whose: Whose,
    },
    /// Take a value or a secret away; what a farther place has, or the document's default, holds again
    Unset {
        /// A pipeline, one of its scripts, and the key; with --board or --team the key alone
        #[arg(required = true, num_args = 1..=3, value_name = "PIPELINE SCRIPT KEY")]
        names: Vec<String>,
        #[command(flatten)]
        whose: Whose,
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
