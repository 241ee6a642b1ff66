//! Boards and pipelines: from a folder to the server and back, versions, the library.

use std::path::PathBuf;

use clap::{Args, Subcommand};

/// List boards, or create one
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  restroy boards
  restroy boards --create Reports --team Sales")]
pub(crate) struct Boards {
    /// Create a board of this name
    #[arg(long, value_name = "NAME")]
    pub(crate) create: Option<String>,
    /// With --create: its team; created if it does not exist
    #[arg(long, requires = "create", value_name = "NAME")]
    pub(crate) team: Option<String>,
}

/// Upload a folder's pipeline as the newest version
///
/// Reads pipeline.yaml and every Lua file below the folder. The pipeline is created if the board has none of that
/// name.
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
    /// The board's name or id [default: your only board]
    #[arg(long, value_name = "NAME")]
    pub(crate) board: Option<String>,
    /// New runs use the new version (the default)
    #[arg(long, conflicts_with = "draft")]
    pub(crate) publish: bool,
    /// Runs keep using the published version
    #[arg(long)]
    pub(crate) draft: bool,
    /// Why
    #[arg(long, short, value_name = "TEXT", default_value = "", hide_default_value = true)]
    pub(crate) message: String,
    /// Skip the prompt when the pipeline is allowed to do more than the published version
    #[arg(long, short)]
    pub(crate) yes: bool,
}

/// Show how long a pipeline's runs are kept, or change it
///
/// What exceeds the days or the number is removed in the background; runs that `restroy runs keep` keeps stay.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  restroy retention Newsletter
  restroy retention Newsletter --days 7 --runs 100
  restroy retention Newsletter --reset            as the team's limits say")]
pub(crate) struct Retention {
    /// The pipeline: its name, its folder or its id
    #[arg(value_name = "NAME|DIR|ID")]
    pub(crate) pipeline: String,
    /// Keep runs for so many days after they ended
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(i64).range(1..))]
    pub(crate) days: Option<i64>,
    /// Keep so many runs that have ended
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(i64).range(1..))]
    pub(crate) runs: Option<i64>,
    /// Keep what the team's limits `retention_days` and `retention_runs` say
    #[arg(long, conflicts_with_all = ["days", "runs"])]
    pub(crate) reset: bool,
    /// The board, where several have a pipeline of that name
    #[arg(long, value_name = "NAME")]
    pub(crate) board: Option<String>,
}

/// Download a pipeline into a folder
///
/// The folder holds pipeline.yaml and the Lua files then, as `restroy push` takes them. It is created, or must be
/// empty: nothing is overwritten.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  restroy pull Newsletter
  restroy pull Newsletter old --version 3
  restroy pull Newsletter newsletter --force      overwrite existing files")]
pub(crate) struct Pull {
    /// The pipeline: its name or its id
    #[arg(value_name = "NAME|ID")]
    pub(crate) pipeline: String,
    /// The folder [default: the pipeline's name]
    #[arg(value_name = "DIR")]
    pub(crate) folder: Option<PathBuf>,
    /// This version [default: the newest]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(i64).range(1..))]
    pub(crate) version: Option<i64>,
    /// Overwrite existing files
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
    /// Compare with this version [default: the published one]
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

/// Publish a version: new runs will use it
#[derive(Debug, Args)]
pub(crate) struct Publish {
    /// The pipeline: its name, its folder or its id
    #[arg(value_name = "NAME|DIR|ID")]
    pub(crate) pipeline: String,
    /// The version's number; `restroy versions` lists them
    #[arg(value_name = "N", value_parser = clap::value_parser!(i64).range(1..))]
    pub(crate) version: i64,
    /// Skip the prompt when the pipeline is allowed to do more than the published version
    #[arg(long, short)]
    pub(crate) yes: bool,
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
    /// The team's name or id [default: your only team]
    #[arg(long, global = true, value_name = "NAME")]
    pub(crate) team: Option<String>,
    #[command(subcommand)]
    pub(crate) action: Option<LibraryAction>,
}

/// What is to be done with a library.
#[derive(Debug, Subcommand)]
pub(crate) enum LibraryAction {
    /// Upload a Lua file as the newest version of a module; the module is created if it does not exist
    Push {
        /// The Lua file
        file: PathBuf,
        /// The module's name [default: the file's name]
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
        /// This version [default: the newest]
        #[arg(long, value_name = "N", value_parser = clap::value_parser!(i64).range(1..))]
        version: Option<i64>,
    },
    /// Delete a module that no pipeline is pinned to
    Remove {
        /// The module's name
        name: String,
    },
}

/// Check a folder's pipeline without a server: the document and all Lua sources
#[derive(Debug, Args)]
pub(crate) struct Check {
    /// The pipeline's folder
    #[arg(value_name = "DIR")]
    pub(crate) folder: PathBuf,
}
