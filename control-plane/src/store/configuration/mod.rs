//! The configuration of scripts: plain values and sealed secrets, every revision of each.

mod edit;
mod for_run;

pub use edit::{Change, Value, count, in_force, list, write};
pub use for_run::{SecretRead, for_run};
