//! The client commands, and those that manage an installation, one file each.

mod admin;
mod artifacts;
mod boards;
mod check;
mod config;
mod exec;
mod login;
mod logs;
mod migrate;
mod outbox;
mod password;
mod push;
mod run;
mod runs;
mod settings;
mod tokens;

use restroy_sdk::ids::RunId;

pub(crate) use admin::{AdminCommand, admin};
pub(crate) use artifacts::artifacts;
pub(crate) use boards::boards;
pub(crate) use check::check;
pub(crate) use config::{configure, secret};
pub(crate) use exec::exec;
pub(crate) use login::{login, logout, verify_email, whoami};
pub(crate) use logs::{cancel, logs};
pub(crate) use migrate::{MigrateArgs, migrate};
pub(crate) use outbox::outbox;
pub(crate) use password::password;
pub(crate) use push::push;
pub(crate) use run::run;
pub(crate) use runs::runs;
pub(crate) use settings::settings;
pub(crate) use tokens::tokens;

use crate::failure::{Failure, Outcome};

/// A run's id as it was typed.
fn run_id(text: &str) -> Outcome<RunId> {
    text.parse().map_err(|_| {
        Failure::usage(format!("`{text}` is not the id of a run")).help("`restroy runs` lists runs with their ids")
    })
}
