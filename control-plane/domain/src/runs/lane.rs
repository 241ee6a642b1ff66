//! What requests of one executor have in common, whichever of its tokens they show: its lane.

use std::fmt;

use sha2::{Digest as _, Sha256};

use crate::auth::token::hash;

/// An executor, as its credential and the tokens of its tasks name it: a part of a hash of its credential's hash.
/// Known to the executor alone, so that nobody else takes its turns; it grants nothing.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Lane([u8; 16]);

impl Lane {
    /// Of the executor with a credential, by the credential's [`hash`].
    pub fn from_credential(hash: &[u8]) -> Self {
        let digest: [u8; 32] = Sha256::new().chain_update(b"restroy/lane/1").chain_update(hash).finalize().into();
        let (lane, _) = digest.split_first_chunk::<16>().unwrap_or((&[0; 16], &[]));
        Self(*lane)
    }

    /// The lane of a bearer token: the one that a task's token names, or that of an executor's credential.
    pub fn from_bearer(token: &str) -> Self {
        let named = || {
            let (_, rest) = token.split_once('.')?;
            let (lane, _) = rest.split_once('.')?;
            hex::decode(lane).ok()?.try_into().ok().map(Self)
        };
        named().unwrap_or_else(|| Self::from_credential(&hash(token)))
    }
}

impl fmt::Display for Lane {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.0))
    }
}

impl fmt::Debug for Lane {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Lane")
    }
}
