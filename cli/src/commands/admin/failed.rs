//! Why the domain does not do what an operator asks, as a failure of a command.

use std::fmt::Display;

use crate::failure::Failure;

/// What went wrong.
pub(super) fn failed(error: &impl Display) -> Failure {
    Failure::new(error.to_string())
}
