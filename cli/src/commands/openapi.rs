//! `restroy openapi`.

use crate::{context, failure::Outcome, output};

/// Prints the document of the API that this program serves.
pub(crate) fn openapi() -> Outcome {
    output::print(&context::json(&restroy_control_plane::api::document())?);
    Ok(())
}
