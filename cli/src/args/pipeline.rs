//! Boards and pipelines: from a folder to the server and back, versions, the library.

use std::path::PathBuf;

use clap::{Args, Subcommand};

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

/// Check a folder's pipeline without a server: the document, and that all Lua compiles
#[derive(Debug, Args)]
pub(crate) struct Check {
    /// The pipeline's folder
    #[arg(value_name = "DIR")]
    pub(crate) folder: PathBuf,
}
