//! What the control-plane answers, as a failure of a command.

use restroy_control_plane::error::ApiError;

use crate::failure::Failure;

/// An answer that is a problem.
pub(super) fn failed(error: &ApiError) -> Failure {
    Failure::new(error.0.to_string())
}
