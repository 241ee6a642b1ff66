//! TLS with the machine's own certificates.

use std::sync::Arc;

use rustls::{ClientConfig, RootCertStore, crypto::ring};
use rustls_platform_verifier::BuilderVerifierExt as _;

use super::error::{Error, Result};

/// The settings for an installation whose address has this scheme.
pub fn config(scheme: &str) -> Result<ClientConfig> {
    let failed = |error: rustls::Error| Error::Tls(error.to_string());
    // The provider is named here: a library must not rely on one that the process installed.
    let builder = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(failed)?;
    if scheme != "https" {
        // Plain HTTP works on machines without certificates too; nothing is trusted then.
        return Ok(builder.with_root_certificates(RootCertStore::empty()).with_no_client_auth());
    }
    Ok(builder.with_platform_verifier().map_err(failed)?.with_no_client_auth())
}
