//! The database. One SQL text serves every backend: a statement is written once with `$1`
//! placeholders and run on whichever transaction it is by [`sql!`](crate::sql). What belongs to a
//! team is reached through a [`scope::TeamTx`], which carries the team into every statement.
//! Accounts, sessions and one-time tokens belong to no team: their modules take a [`Tx`].

pub mod audit;
pub mod boards;
pub mod configuration;
pub mod db;
mod error;
pub mod kv;
pub mod one_time;
pub mod outbox;
pub mod pipelines;
pub mod schedules;
pub mod scope;
pub mod scripts;
pub mod sessions;
pub mod teams;
pub mod users;
pub mod versions;

pub use db::{Db, Tx};
pub use error::StoreError;
pub use scope::TeamTx;
