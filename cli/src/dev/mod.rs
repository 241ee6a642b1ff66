//! `restroy dev`: everything in one process, for a developer's own machine.

mod compiler;
mod data_folder;
mod demo;
mod examples;
mod services;
pub(crate) mod settings;

use std::{io, net::SocketAddr, path::PathBuf};

use clap::Args as ClapArgs;
use restroy_sdk::time::Ambient;

use data_folder::{DataFolder, DataFolderError};
use services::Installation;
use settings::{SettingArgs, Settings, SettingsError};

/// Run everything in one process: API, executor, SQLite. Nothing else to install.
///
/// Keeps its data in ./.restroy; kill it at any moment and start it again, and every run goes on.
#[derive(Debug, ClapArgs)]
pub(crate) struct Args {
    /// Make a demo team with the example pipelines, run one of them, and go on serving
    #[arg(long)]
    demo: bool,

    #[command(flatten)]
    settings: SettingArgs,
}

/// `restroy migrate`: bring the database's schema up to date and end.
#[derive(Debug, ClapArgs)]
pub(crate) struct MigrateArgs {
    #[command(flatten)]
    settings: SettingArgs,
}

/// `restroy config`: print the settings in force.
#[derive(Debug, ClapArgs)]
pub(crate) struct ConfigArgs {
    #[command(flatten)]
    settings: SettingArgs,
}

/// Why the installation cannot run.
#[derive(Debug, thiserror::Error)]
pub(crate) enum DevError {
    /// The settings are not right.
    #[error(transparent)]
    Settings(#[from] SettingsError),
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

/// Runs until Ctrl-C or SIGTERM.
pub(crate) async fn run(args: Args) -> Result<(), DevError> {
    let settings = Settings::resolve(&args.settings, variables())?;
    let mut installation = Installation::start(&settings, Ambient::system()).await?;
    println!("Restroy listens on http://{}", installation.address);
    let address = installation.address;
    let demo = async {
        if args.demo {
            demo::show(address, &settings).await?;
        } else {
            println!("{}", demo::first_steps(address));
        }
        std::future::pending::<Result<(), DevError>>().await
    };
    let ended = tokio::select! {
        outcome = demo => outcome,
        () = installation.failed() => Err(DevError::Part("a service", "it ended by itself; the log says why".into())),
        () = asked_to_stop() => Ok(()),
    };
    eprintln!("stopping; unfinished runs go on at the next start");
    installation.stop().await;
    ended
}

/// Brings the schema up to date.
pub(crate) async fn migrate(args: MigrateArgs, as_json: bool) -> Result<(), DevError> {
    let settings = Settings::resolve(&args.settings, variables())?;
    let folder = DataFolder::open(&settings.data_dir)?;
    services::open_database(&folder).await?.close().await;
    if as_json {
        println!("{}", serde_json::json!({ "database": folder.database() }));
    } else {
        println!("{} has the newest schema", folder.database().display());
    }
    Ok(())
}

/// Prints the settings in force.
pub(crate) fn config(args: &ConfigArgs, as_json: bool) -> Result<(), DevError> {
    let settings = Settings::resolve(&args.settings, variables())?;
    if as_json {
        println!("{}", serde_json::json!(settings));
    } else {
        print!("{settings}");
    }
    Ok(())
}

fn variables() -> impl Iterator<Item = String> {
    std::env::vars_os().filter_map(|(name, _)| name.into_string().ok())
}

async fn asked_to_stop() {
    use tokio::signal::unix::{SignalKind, signal};
    match signal(SignalKind::terminate()) {
        Ok(mut terminate) => tokio::select! {
            _ = tokio::signal::ctrl_c() => {},
            _ = terminate.recv() => {},
        },
        Err(_) => {
            let _ = tokio::signal::ctrl_c().await;
        }
    }
}
