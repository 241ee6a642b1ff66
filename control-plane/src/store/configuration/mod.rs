//! The configuration of scripts, boards and teams: plain values and sealed secrets, every revision of each.
//! What a script's own configuration has under a key goes before what its board has, and that before what
//! its team has.

mod edit;
mod for_run;
mod place;
mod read;

pub use edit::{Change, Value, forget_old, forget_removed, write};
pub use for_run::{Pinned, SecretRead, for_run};
pub use place::{Level, Place};
pub use read::{Count, count, get, history, list, revisions, scripts_have_secrets};
