//! Executes runs: claims tasks, walks their graphs, drives a sandbox for every attempt of every
//! step, and reports what happened.
//!
//! [`Executor::run`] takes task ids from the queue, claims each on the run API and drives it. A task
//! in hand is made of four parts that know little of one another:
//!
//! - [`run`]: what is to be done next, decided by a pure core from what has ended so far;
//! - [`report`]: what happened, on its way to the control-plane in order and in batches;
//! - [`lease`]: whether there is progress, and so a reason to keep the lease;
//! - [`capability`]: what scripts may reach outside of their sandbox.
//!
//! An executor holds the data of the tasks it leases and nothing else. What may not live here:
//! knowledge of the database, or of anything that the plan of a task does not say.

mod capability;
mod client;
mod config;
mod egress;
mod health;
mod json;
mod lease;
mod mask;
mod memory;
pub mod metrics;
mod report;
mod run;
mod signals;
mod tenant_work;
mod worker;

pub use capability::http::{HttpPolicy, OutboundHttp};
pub use config::{ClientIdentity, DEFAULT_SCRATCH_TOTAL, ExecutorConfig, ExecutorError};
pub use health::Health;
pub use worker::Executor;
