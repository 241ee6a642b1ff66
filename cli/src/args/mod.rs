//! The command line: the options of all commands, and the arguments of older commands. A new command has its
//! arguments in its own file of `commands`, and is listed in `commands/mod.rs`.

mod account;
mod configuration;
mod pipeline;
mod run;
mod team;

use clap::Parser;

pub(crate) use account::{Login, Logout, Password, SecondFactor, SecondFactorAction, Tokens};
pub(crate) use configuration::{Config, Configure, OwnerArgs, Secrets};
pub(crate) use pipeline::{Boards, Check, Diff, Library, LibraryAction, Publish, Pull, Push, Retention, Versions};
pub(crate) use run::{Artifacts, Exec, Logs, Run, Runs, RunsAction};
pub(crate) use team::{Audit, Invitations, Members, Outbox, Roles, Teams, Usage};

use crate::commands::Command;

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

    /// Print output as JSON
    #[arg(long, global = true, help_heading = "Global options")]
    pub(crate) json: bool,

    #[command(subcommand)]
    pub(crate) command: Command,
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
