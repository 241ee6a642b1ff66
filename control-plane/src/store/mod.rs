//! The database. One SQL text serves every backend: a statement is written once with `$1`
//! placeholders and run on whichever transaction it is by [`sql!`](crate::sql). What belongs to a
//! team is reached through a [`scope::TeamTx`], which carries the team into every statement.
//! Accounts, sessions and one-time tokens belong to no team: their modules take a [`Tx`].

pub mod audit;
pub mod boards;
pub mod configuration;
pub mod db;
mod error;
pub(crate) mod failure;
pub mod kv;
pub mod migrate;
pub mod one_time;
pub mod outbox;
pub mod pipelines;
pub mod postgres;
pub mod schedules;
pub mod scope;
pub mod scripts;
pub mod sessions;
mod sqlite;
pub mod teams;
pub mod users;
pub mod versions;

pub use db::{Db, Done, Tx};
pub use error::StoreError;
pub use postgres::PostgresOptions;
pub use scope::TeamTx;
