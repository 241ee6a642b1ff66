//! The executor from outside: a real engine and a real queue, against a run API in memory.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::result_large_err, reason = "these are tests")]

mod effects;
mod graph;
mod hostile;
mod items;
mod latency;
mod leases;
mod lifecycle;
mod metrics;
mod modules;
mod protocol;
mod retries;
mod secrets;
mod sleeping;
mod support;
