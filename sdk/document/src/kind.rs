//! The kinds of steps: what a step does, the field that says so, and the fields that only some kinds have.
//!
//! A kind is one field of the step, named as the kind: `script: scripts/send.lua`. What every kind has (`needs`, `if`,
//! `when`, …) belongs to [`Step`](super::Step).

use serde::{Deserialize, Serialize};

use super::DurationText;

/// What a step does.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum StepKind {
    /// Runs a Lua script: its path among the pipeline's files.
    Script(String),
    /// Waits, for at most 365 days, without a sandbox; a wait of five seconds or longer holds no slot either. Its output
    /// is null.
    Sleep(DurationText),
}

/// The fields that every step has, whatever its kind.
pub(super) const COMMON_FIELDS: [&str; 4] = ["needs", "if", "when", "continue_on_failure"];

/// The kinds by their fields, each with the fields that it has beside [`COMMON_FIELDS`].
pub(super) const KINDS: [(&str, &[&str]); 2] = [
    ("script", &["inputs_schema", "for_each", "max_parallel", "config", "secrets", "allow", "retry", "timeout"]),
    ("sleep", &[]),
];

/// Kinds that later versions will have.
pub(super) const RESERVED_KINDS: [&str; 3] = ["pipeline", "wait_until", "approval"];

impl StepKind {
    /// The script that the step runs, if it runs one: its path among the pipeline's files.
    pub fn script(&self) -> Option<&str> {
        match self {
            Self::Script(path) => Some(path),
            Self::Sleep(_) => None,
        }
    }
}
