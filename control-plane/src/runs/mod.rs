//! Runs: started, admitted, handed out, recorded, watched, recovered.
//!
//! One way round: [`start`] turns a request into a run and a pending task; [`dispatch`] admits the
//! task and pushes its id; an executor claims it over the [`run_api`] and reports batches, which
//! become rows ([`events`]) and what watchers see ([`watch`]). [`reconcile`] takes back what an
//! executor lost; [`boot`] does so at once where no other process can hold a lease. [`schedule`]
//! starts runs by the clock. The database alone decides: every step of a run's life is one
//! transaction that checks the state it starts from.

pub(crate) mod announce;
pub mod api;
pub mod boot;
mod cancel;
mod cascade_delete;
mod cron;
pub mod dispatch;
pub(crate) mod effects;
mod end;
pub mod events;
pub mod executors;
mod keep;
mod leader;
mod lease;
mod lease_expiry;
pub mod limits;
mod machine;
pub mod params;
mod plan;
pub mod published;
pub mod purge;
pub mod purge_deleted;
pub mod purge_teams;
pub mod reconcile;
pub(crate) mod removed;
pub mod retention;
mod rows;
pub mod run_api;
pub mod schedule;
mod services;
pub mod start;
mod steps;
pub mod storage;
mod suspend;
pub mod trigger;
pub mod watch;

pub use services::{Services, spawn_services};
