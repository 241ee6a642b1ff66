//! The control-plane: the only one that writes the database.
//!
//! [`store`] is the database and the scopes through which it is reached; [`auth`] says who asks and
//! what they may do; [`api`] is the REST and WebSocket surface; [`secrets`] seals what a team keeps to itself; [`runs`] starts, admits, hands out,
//! records and recovers runs. What tenants make expensive is done on the threads of [`restroy_tenant_executor`]. A request becomes a row; the dispatcher turns rows into tasks and
//! messages; executors report over the run API; reports become rows and what watchers see.

pub mod api;
pub mod auth;
pub mod clock;
pub mod error;
pub mod mail;
pub mod metrics;
pub mod ports;
pub mod runs;
pub mod state;

pub use restroy_store::{self as store, secrets, sql};
