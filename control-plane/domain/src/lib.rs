//! The domain rules of Restroy, for all their callers: requests, the scheduler, jobs and the operator's commands.
//!
//! [`auth`] says who asks and what they may do; [`runs`] starts, admits, hands out, records and recovers runs; [`mail`]
//! sends what was queued. What a rule needs beside its arguments is in [`state`], and what it needs from outside is a
//! port ([`ports`]).
//!
//! Nothing here knows HTTP: no status codes, no handlers, no framework. What a rule refuses, it refuses with a
//! [`DomainError`]; the server maps that to a problem document.

pub mod auth;
mod caches;
pub mod clock;
mod error;
pub mod fields;
pub mod mail;
pub mod metrics;
pub mod ports;
pub mod quotas;
pub mod runs;
mod scheduler_cursor;
pub mod settings;
pub mod state;
pub mod tokens;

pub use error::{DomainError, DomainResult};
pub(crate) use restroy_store::{self as store, secrets, sql};
