//! Sign-in by an OpenID provider. The API is the same in every binary; what speaks with a provider is there with the
//! feature `oidc` only, since it brings some fifty crates.

#[cfg(not(feature = "oidc"))]
#[path = "absent.rs"]
mod provider;
#[cfg(feature = "oidc")]
mod provider;

pub use provider::{Flow, Provider, begin};

use crate::{
    error::{ApiError, ApiResult},
    state::{AppState, OidcSettings},
};

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

/// The settings; 404 on an installation without a provider.
pub fn settings(state: &AppState) -> ApiResult<&OidcSettings> {
    state.settings.oidc.as_ref().filter(|_| cfg!(feature = "oidc")).ok_or_else(ApiError::not_found)
}
