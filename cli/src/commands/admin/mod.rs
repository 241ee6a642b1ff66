//! `restroy admin`: what operators do on the database directly, a file for each thing that it is done to.

mod account;
mod database;
mod executor;
mod failed;
mod team;

use clap::Subcommand;
use restroy_control_plane::{
    runs::boot::{RestoreReport, after_restore},
    store::Db,
};
use restroy_sdk::time::Ambient;
use serde_json::json;

use account::AccountCommand;
use database::Database;
use executor::ExecutorCommand;
use failed::failed;
use team::TeamCommand;

use crate::{context, failure::Outcome, output};

/// What operators manage.
#[derive(Debug, Subcommand)]
pub(crate) enum AdminCommand {
    /// Give executors their credentials, take them away, list executors
    #[command(subcommand)]
    Executor(ExecutorCommand),
    /// Make accounts; help people who cannot get into theirs
    #[command(subcommand)]
    Account(AccountCommand),
    /// Show and change the limits of teams
    #[command(subcommand)]
    Team(TeamCommand),
    /// After a backup was restored, and before anything starts: take back all that was handed out
    ///
    /// The database has gone back in time, and executors may hold what it handed out since. Every fence
    /// is raised, so that none of them can write, and all leases run out, so that their work starts
    /// again. Safe to repeat.
    RaiseFences {
        #[command(flatten)]
        database: Database,
    },
}

/// Runs the subcommand.
pub(crate) async fn admin(command: AdminCommand, as_json: bool) -> Outcome {
    match command {
        AdminCommand::Executor(command) => executor::executor(command, as_json).await,
        AdminCommand::Account(command) => account::account(command, as_json).await,
        AdminCommand::Team(command) => team::team(command, as_json).await,
        AdminCommand::RaiseFences { database } => raise_fences(&database.open().await?, as_json).await,
    }
}

async fn raise_fences(db: &Db, as_json: bool) -> Outcome {
    let RestoreReport { tasks, leases } =
        after_restore(db, &Ambient::system()).await.map_err(|error| failed(&error))?;
    db.close().await;
    if as_json {
        output::print(&context::json(&json!({ "tasks": tasks, "leases": leases }))?);
    } else {
        output::print(&format!("raised the fences of {tasks} open tasks; reclaimed {leases} leases"));
    }
    Ok(())
}
