//! Sign-in by an OpenID provider. The API is the same in every binary; what speaks with a provider is there with the
//! feature `oidc` only, since it brings some fifty crates.

#[cfg(not(feature = "oidc"))]
#[path = "absent.rs"]
mod provider;
#[cfg(feature = "oidc")]
mod provider;

pub use provider::{Flow, Provider};
use secrecy::SecretString;

/// The OpenID provider that people may sign in by.
#[derive(Debug, Clone)]
pub struct OidcSettings {
    /// Its issuer, exactly as it says itself.
    pub issuer: String,
    /// What it knows this installation as.
    pub client_id: String,
    /// The secret that goes with that.
    pub client_secret: SecretString,
}

/// Who the provider says that somebody is.
#[derive(Debug, Clone)]
pub struct Identity {
    /// The provider.
    pub issuer: String,
    /// Who, there.
    pub subject: String,
    /// Their address, if the provider has verified it.
    pub email: Option<String>,
    /// Their name.
    pub name: Option<String>,
}
