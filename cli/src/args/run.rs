//! Runs: starting, watching, what they kept; and a script on the spot.

use std::path::PathBuf;

use clap::{Args, Subcommand};

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
    /// Follow it until it ends
    #[arg(long, short)]
    pub(crate) follow: bool,
    /// The board, where several have a pipeline of that name
    #[arg(long, value_name = "NAME")]
    pub(crate) board: Option<String>,
}

/// List runs, newest first; keep or delete some
#[derive(Debug, Args)]
#[command(
    args_conflicts_with_subcommands = true,
    after_help = "\
Examples:
  restroy runs Newsletter -n 5
  restroy runs keep 0198c0de-…                    it stays, however old it gets
  restroy runs keep 0198c0de-… --undo
  restroy runs delete 0198c0de-…                  with its events and artifacts

A pipeline that is called `keep` or `delete` is named by its id."
)]
pub(crate) struct Runs {
    #[command(subcommand)]
    pub(crate) action: Option<RunsAction>,
    /// Of this pipeline only: its name, folder or id
    pub(crate) pipeline: Option<String>,
    /// How many
    #[arg(long, short = 'n', default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..=100))]
    pub(crate) limit: u32,
}

/// What is to be done with a run.
#[derive(Debug, Subcommand)]
pub(crate) enum RunsAction {
    /// Keep a run from being removed, whatever its pipeline's retention says
    Keep {
        /// The run's id
        run: String,
        /// Undo: no longer keep it
        #[arg(long)]
        undo: bool,
    },
    /// Delete runs that have ended, with their events and artifacts
    Delete {
        /// Their ids
        #[arg(required = true)]
        runs: Vec<String>,
    },
}

/// Show a run's log
#[derive(Debug, Args)]
pub(crate) struct Logs {
    /// The run's id
    pub(crate) run: String,
    /// Follow it until it ends
    #[arg(long, short)]
    pub(crate) follow: bool,
    /// Only what came after the event of this number
    #[arg(long, value_name = "SEQ", default_value_t = 0, value_parser = clap::value_parser!(i64).range(0..))]
    pub(crate) after: i64,
}

/// List a run's artifacts, or download them
#[derive(Debug, Args)]
pub(crate) struct Artifacts {
    /// The run's id
    pub(crate) run: String,
    /// Download them into this folder; existing files are kept
    #[arg(long, value_name = "DIR")]
    pub(crate) download: Option<PathBuf>,
}

/// Run one script locally in a sandbox, without a server
///
/// kv, e-mail and files are kept in memory for this run; `require` finds the Lua files
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
