//! Runs: started, admitted, handed out, recorded, watched, recovered.
//!
//! One way round: [`start`] turns a request into a run and a pending task; [`dispatch`] admits the
//! task and pushes its id; an executor takes it with a [`claim`] and sends batches ([`report`]), which
//! become rows ([`events`]) and what watchers see. [`reconcile`] takes back what an
//! executor lost; [`boot`] does so at once where no other process can hold a lease. [`schedule`]
//! starts runs by the clock. The database alone decides: every step of a run's life is one
//! transaction that checks the state it starts from.

pub mod announce;
pub mod artifacts;
pub mod boot;
pub mod cancel;
mod cascade_delete;
pub mod claim;
mod cron;
pub mod dispatch;
pub mod effects;
mod end;
pub mod events;
pub mod executor;
pub mod executors;
pub mod keep;
pub mod lane;
mod leader;
pub mod lease;
pub mod lease_expiry;
pub mod limits;
mod machine;
pub mod outputs;
pub mod params;
mod plan;
pub mod purge;
pub mod purge_deleted;
pub mod purge_teams;
pub mod read;
pub mod reconcile;
pub mod removed;
pub mod report;
pub mod retention;
pub mod rows;
pub mod schedule;
pub mod schedules;
mod services;
pub mod start;
mod steps;
pub mod storage;
pub mod suspend;
pub mod trigger;

pub use services::{Services, spawn_loops};
