//! The client commands, and those that manage an installation, one file each.

mod admin;
mod artifacts;
mod audit;
mod boards;
mod check;
mod config;
mod diff;
mod exec;
mod grant;
mod invitations;
mod keys;
mod library;
mod login;
mod logs;
mod members;
mod migrate;
mod openapi;
mod outbox;
mod password;
mod publish;
mod pull;
mod push;
mod retention;
mod roles;
mod run;
mod runs;
mod second_factor;
mod settings;
mod teams;
mod tokens;
mod usage;
mod versions;

use restroy_sdk::ids::RunId;

pub(crate) use admin::{AdminCommand, admin};
pub(crate) use artifacts::artifacts;
pub(crate) use audit::audit;
pub(crate) use boards::boards;
pub(crate) use check::check;
pub(crate) use config::{configure, secrets};
pub(crate) use diff::diff;
pub(crate) use exec::exec;
pub(crate) use invitations::invitations;
pub(crate) use keys::{KeysCommand, keys};
pub(crate) use library::library;
pub(crate) use login::{login, logout, verify_email, whoami};
pub(crate) use logs::{cancel, logs};
pub(crate) use members::members;
pub(crate) use migrate::{MigrateArgs, migrate};
pub(crate) use openapi::openapi;
pub(crate) use outbox::outbox;
pub(crate) use password::password;
pub(crate) use publish::publish;
pub(crate) use pull::pull;
pub(crate) use push::push;
pub(crate) use retention::retention;
pub(crate) use roles::roles;
pub(crate) use run::run;
pub(crate) use runs::runs;
pub(crate) use second_factor::second_factor;
pub(crate) use settings::settings;
pub(crate) use teams::teams;
pub(crate) use tokens::tokens;
pub(crate) use usage::usage;
pub(crate) use versions::versions;

use crate::failure::{Failure, Outcome};

/// A run's id as it was typed.
fn run_id(text: &str) -> Outcome<RunId> {
    text.parse().map_err(|_| {
        Failure::usage(format!("`{text}` is not the id of a run")).help("`restroy runs` lists runs with their ids")
    })
}
