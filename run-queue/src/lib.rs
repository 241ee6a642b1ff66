//! What passes between the control-plane and its executors.
//!
//! [`run_api`]: the bodies of the run API, over which an executor claims a task, gets its plan and
//! reports. [`queue`]: the port through which a task's id reaches some executor; [`memory`], the queue
//! within one process, and [`redis`], the one of an installation. [`wake`]: the port through which
//! replicas tell one another that there is something new to read.
//!
//! The database is the truth and the queue a hint: what passes here carries ids, never a secret, a
//! source or an output, and losing all of it loses no run.

pub mod memory;
pub mod queue;
pub mod redis;
pub mod run_api;
pub mod wake;
mod work;
