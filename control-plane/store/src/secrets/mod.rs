//! Secrets at rest: XChaCha20-Poly1305 under a data key per team, which is itself sealed under a
//! master key of the installation's key ring. What is sealed is bound to its place: moved to
//! another team, script, key or version it does not open.

mod context;
mod ring;
mod seal;
mod team_key;

pub use context::SealContext;
pub use ring::{KeyRing, MasterKey};
pub use team_key::{TeamKey, TeamKeys};

/// Why something cannot be sealed or opened. Says nothing about the content.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SecretsError {
    /// The key ring holds no key of that id.
    #[error("the key ring holds no master key `{0}`: add the key that the data was sealed with")]
    UnknownKey(String),
    /// The content is not what was sealed here, or the key is another.
    #[error("a sealed value cannot be opened: it was changed or moved, or sealed with another key")]
    Broken,
    /// A master key is not written as it should be.
    #[error("a master key is written `id:key`: an id of a-z, 0-9, `-` and `_`, and 32 bytes in hex")]
    Malformed,
    /// The key ring is empty or names a key twice.
    #[error("the key ring needs at least one master key, each with an id of its own")]
    BadRing,
}
