//! The configuration of scripts, boards and teams: plain values and sealed secrets, every revision of each.
//! What a script's own configuration has under a key goes before what its board has, and that before what
//! its team has.

mod edit;
mod for_run;
mod owner;
mod read;

pub use edit::{ConfigurationChange, NewValue, prune_removed, prune_revisions, write};
pub use for_run::{RunPins, SecretRead, for_run};
pub use owner::{ConfigOwner, OwnerLevel};
pub use read::{KeyCount, count, get, history, list, revisions, scripts_have_secrets};
