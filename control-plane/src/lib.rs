//! The control-plane's server: the only process that writes the database.
//!
//! [`api`] is the REST surface, with streams of runs, and [`executor_api`] what executors speak to; [`auth`] reads what
//! a request says of its caller. A handler reads a request, calls the domain ([`restroy_domain`]) and writes the answer; [`error`] maps what the
//! domain refuses to problem documents. [`state`] is the composition root: it alone puts the parts together.
//!
//! The layers are crates: this server stands on the domain, the domain on the store ([`restroy_store`]). For those who
//! use the control-plane as a library, what they need of the lower layers is exported here too.

pub mod api;
pub mod auth;
mod background;
pub mod concurrency;
pub mod error;
pub mod executor_api;
pub mod metrics;
mod readiness;
pub mod state;
pub mod streams;

pub use background::spawn_services;
pub use restroy_domain::{DomainError, DomainResult, clock, mail, ports, runs};
pub use restroy_store::{self as store, secrets, sql};
