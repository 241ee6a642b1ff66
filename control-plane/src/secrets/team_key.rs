//! A team's data key.

use restroy_sdk::{ids::TeamId, time::Ambient};
use secrecy::SecretBox;
use zeroize::Zeroizing;

use super::{Context, SecretsError, seal};

/// A team's data key, open. Not kept longer than the request or claim that needs it.
pub struct TeamKey {
    team: TeamId,
    key: SecretBox<[u8; 32]>,
}

impl TeamKey {
    pub(super) fn new(team: TeamId, key: SecretBox<[u8; 32]>) -> Self {
        Self { team, key }
    }

    /// Seals a value for its place.
    pub fn seal(&self, ambient: &Ambient, context: Context<'_>, plain: &[u8]) -> Result<Vec<u8>, SecretsError> {
        seal::seal(&self.key, ambient, &context.bytes(self.team), plain)
    }

    /// Opens a value that was sealed for that place.
    pub fn open(&self, context: Context<'_>, sealed: &[u8]) -> Result<Zeroizing<Vec<u8>>, SecretsError> {
        seal::open(&self.key, &context.bytes(self.team), sealed)
    }
}

impl std::fmt::Debug for TeamKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TeamKey").field("team", &self.team).finish_non_exhaustive()
    }
}
