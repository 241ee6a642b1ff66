//! A team's data keys.

use restroy_sdk::{ids::TeamId, time::Ambient};
use secrecy::SecretBox;
use zeroize::Zeroizing;

use super::{SealContext, SecretsError, seal};

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
    pub fn seal(&self, ambient: &Ambient, context: SealContext<'_>, plain: &[u8]) -> Result<Vec<u8>, SecretsError> {
        seal::seal(&self.key, ambient, &context.bytes(self.team), plain)
    }

    /// Opens a value that was sealed for that place.
    pub fn open(&self, context: SealContext<'_>, sealed: &[u8]) -> Result<Zeroizing<Vec<u8>>, SecretsError> {
        seal::open(&self.key, &context.bytes(self.team), sealed)
    }
}

impl std::fmt::Debug for TeamKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TeamKey").field("team", &self.team).finish_non_exhaustive()
    }
}

/// The data keys of a team, by number: the one that seals, and, while what it sealed is sealed anew, the one
/// before it.
#[derive(Debug)]
pub struct TeamKeys {
    number: i64,
    newest: TeamKey,
    before: Option<TeamKey>,
}

impl TeamKeys {
    /// Of the key that seals, which has that number.
    pub fn new(number: i64, newest: TeamKey, before: Option<TeamKey>) -> Self {
        Self { number, newest, before }
    }

    /// The number of the key that seals.
    pub fn number(&self) -> i64 {
        self.number
    }

    /// Whether something is still sealed with the key before.
    pub fn is_rotating(&self) -> bool {
        self.before.is_some()
    }

    /// Seals a value for its place, with the key of [`Self::number`].
    pub fn seal(&self, ambient: &Ambient, context: SealContext<'_>, plain: &[u8]) -> Result<Vec<u8>, SecretsError> {
        self.newest.seal(ambient, context, plain)
    }

    /// Opens a value that was sealed for that place with the key of that number.
    pub fn open(
        &self,
        context: SealContext<'_>,
        number: i64,
        sealed: &[u8],
    ) -> Result<Zeroizing<Vec<u8>>, SecretsError> {
        if number == self.number {
            return self.newest.open(context, sealed);
        }
        // There is one before at most: another one begins when nothing is sealed with it any more.
        self.before.as_ref().filter(|_| number < self.number).ok_or(SecretsError::Broken)?.open(context, sealed)
    }
}
