//! Configuration and secrets of scripts, boards and teams, and the settings in force.

use clap::{Args, Subcommand};

use crate::settings::{GivenFlags, tables};

/// Whose configuration, where it is not that of a script.
#[derive(Debug, Args)]
pub(crate) struct OwnerArgs {
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
  pass crm/key | restroy secrets set --team Sales API_KEY --usable-only

A script's own secret goes before its board's, and that before its team's. What a board or a team has
reaches every script there that names it.")]
    Set {
        /// A pipeline (its name, folder or id), one of its scripts (its path, or its file's name), and the
        /// key; with --board or --team the key alone
        #[arg(required = true, num_args = 1..=3, value_name = "PIPELINE SCRIPT KEY")]
        names: Vec<String>,
        /// Scripts use it by reference (`secrets.ref`) and cannot read it
        #[arg(long)]
        usable_only: bool,
        #[command(flatten)]
        whose: OwnerArgs,
    },
    /// List secrets, without their values
    List {
        /// A pipeline, and one of its scripts; nothing with --board or --team
        #[arg(num_args = 0..=2, value_name = "PIPELINE SCRIPT")]
        names: Vec<String>,
        #[command(flatten)]
        whose: OwnerArgs,
    },
    /// Remove a secret
    Remove {
        /// A pipeline, one of its scripts, and the key; with --board or --team the key alone
        #[arg(required = true, num_args = 1..=3, value_name = "PIPELINE SCRIPT KEY")]
        names: Vec<String>,
        #[command(flatten)]
        whose: OwnerArgs,
    },
}

/// Print the effective settings, or change the configuration of scripts, boards and teams
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
    pub(crate) settings: GivenFlags<tables::Dev>,
}

/// What is to be done with the configuration of scripts, or which service's settings are asked for.
#[derive(Debug, Subcommand)]
pub(crate) enum Configure {
    /// Print the effective settings of `restroy control-plane`, secrets masked
    ControlPlane(GivenFlags<tables::ControlPlane>),
    /// Print the effective settings of `restroy executor`, secrets masked
    Executor(GivenFlags<tables::Executor>),
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
        whose: OwnerArgs,
    },
    /// List what is set, secrets without their values
    List {
        /// A pipeline, and one of its scripts; nothing with --board or --team
        #[arg(num_args = 0..=2, value_name = "PIPELINE SCRIPT")]
        names: Vec<String>,
        #[command(flatten)]
        whose: OwnerArgs,
    },
    /// Remove a value or a secret; the value of the board, team or document applies again
    Unset {
        /// A pipeline, one of its scripts, and the key; with --board or --team the key alone
        #[arg(required = true, num_args = 1..=3, value_name = "PIPELINE SCRIPT KEY")]
        names: Vec<String>,
        #[command(flatten)]
        whose: OwnerArgs,
    },
}
