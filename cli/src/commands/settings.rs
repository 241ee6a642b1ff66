//! `restroy config`, about the services.

use crate::{
    failure::Outcome,
    output,
    settings::{GivenFlags, ResolvedSettings, Service, environment},
};

/// Prints the settings that a service would have, secrets masked.
pub(crate) fn settings<S: Service>(given: &GivenFlags<S>, as_json: bool) -> Outcome {
    let in_force = ResolvedSettings::resolve(given, &environment())?;
    output::print(&if as_json { in_force.json().to_string() } else { in_force.to_string() });
    Ok(())
}
