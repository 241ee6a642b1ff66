//! `restroy dev`: everything in one process, for a developer's own machine.

mod data_folder;
mod database;
mod demo;
mod examples;
mod keys;
mod services;

use std::{io, net::SocketAddr, path::PathBuf};

use clap::Args as ClapArgs;
use restroy_sdk::time::Ambient;

use data_folder::{DataFolder, DataFolderError};
pub(crate) use keys::Keys;
use services::Installation;

use crate::{
    failure::{Failure, Outcome},
    services::signals,
    settings::{GivenFlags, ResolvedSettings, environment, tables},
};

/// Run everything in one process: API, executor, SQLite. Nothing else to install.
///
/// Keeps its data in ./.restroy; stop or kill it at any moment and start it again, and every run continues from
/// what was recorded.
#[derive(Debug, ClapArgs)]
pub(crate) struct Args {
    /// Make a demo team with the example pipelines, run one of them, and continue serving
    #[arg(long)]
    demo: bool,

    #[command(flatten)]
    settings: GivenFlags<tables::Dev>,
}

/// Why the installation cannot run.
#[derive(Debug, thiserror::Error)]
pub(crate) enum DevError {
    /// The data folder cannot be used.
    #[error(transparent)]
    Folder(#[from] DataFolderError),
    /// The database cannot be opened.
    #[error("cannot open the database {0}: {1}")]
    Database(PathBuf, String),
    /// A key file is damaged.
    #[error("{0}: {1}; restore it from a backup: without it the secrets in the database cannot be read")]
    Key(PathBuf, String),
    /// The address is taken or not ours.
    #[error("cannot listen on {0}: {1}; name another address with --listen")]
    Listen(SocketAddr, io::Error),
    /// A part does not start.
    #[error("{0} does not start: {1}")]
    Part(&'static str, String),
    /// The demo stumbled.
    #[error("the demo stopped: {0}")]
    Demo(String),
}

impl From<DevError> for Failure {
    fn from(error: DevError) -> Self {
        Self::new(error.to_string())
    }
}

/// Runs until Ctrl-C or SIGTERM.
pub(crate) async fn run(args: Args) -> Outcome {
    let settings = ResolvedSettings::resolve(&args.settings, &environment())?.settings;
    let mut installation = Installation::start(&settings, Ambient::system()).await?;
    println!("Restroy listens on http://{}", installation.address);
    let address = installation.address;
    let demo = async {
        if args.demo {
            demo::run(address, &settings).await?;
        } else {
            println!("{}", demo::first_steps(address));
        }
        std::future::pending::<Result<(), DevError>>().await
    };
    let ended = tokio::select! {
        outcome = demo => outcome,
        () = installation.failed() => Err(DevError::Part("a service", "it ended unexpectedly; see the log for the \
            reason".into())),
        () = signals::asked_to_stop() => Ok(()),
    };
    eprintln!("stopping; unfinished runs resume at the next start");
    installation.stop().await;
    Ok(ended?)
}

/// Brings the schema of a data folder up to date; gives where the database is.
pub(crate) async fn migrate(data_dir: &std::path::Path) -> Outcome<PathBuf> {
    let folder = DataFolder::open(data_dir).map_err(DevError::from)?;
    database::open(&folder).await?.close().await;
    Ok(folder.database())
}
