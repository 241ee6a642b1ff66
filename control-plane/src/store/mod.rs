//! The database. One SQL text serves every backend: a statement is written once with `$1`
//! placeholders and run on whichever transaction it is by [`sql!`](crate::sql). What belongs to a
//! team is reached through a [`scope::TeamTx`], which carries the team into every statement.

pub mod configuration;
pub mod db;
mod error;
pub mod scope;
pub mod teams;
pub mod versions;

pub use db::{Db, Tx};
pub use error::StoreError;
pub use scope::TeamTx;
