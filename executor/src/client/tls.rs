//! How an executor and the run API know each other: an authority of the operator's own, if there is one, and the
//! certificate that the executor shows.

use std::path::Path;

use rustls::{
    RootCertStore,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject as _},
};

use crate::{
    capability::http::{client_with, own_roots, system_roots},
    config::{ClientIdentity, ExecutorError},
};

/// A builder of clients that trust the authority, or the system's, and show the certificate, if there is one.
pub(super) fn builder(
    authority: Option<&Path>,
    identity: Option<&ClientIdentity>,
) -> Result<reqwest::ClientBuilder, ExecutorError> {
    let trusting = match authority {
        Some(path) => {
            own_roots(authorities(path).map_err(|error| ExecutorError::Authority { path: path.to_owned(), error })?)
        }
        None => system_roots(),
    };
    let trusting = trusting.map_err(ExecutorError::Http)?;
    let Some(ClientIdentity { certificate, key }) = identity else {
        return Ok(client_with(trusting.with_no_client_auth()));
    };
    let unusable = |path: &Path, error: String| ExecutorError::Certificate { path: path.to_owned(), error };
    let chain = certificates(certificate).map_err(|error| unusable(certificate, error))?;
    let private = PrivateKeyDer::from_pem_file(key).map_err(|error| unusable(key, error.to_string()))?;
    let tls =
        trusting.with_client_auth_cert(chain, private).map_err(|error| unusable(certificate, error.to_string()))?;
    Ok(client_with(tls))
}

/// The certificates in a file.
fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, String> {
    let certificates = CertificateDer::pem_file_iter(path).map_err(|error| error.to_string())?;
    let certificates: Vec<_> =
        certificates.collect::<Result<_, _>>().map_err(|error| format!("it is not PEM: {error}"))?;
    if certificates.is_empty() { Err("it holds no certificate as PEM".to_owned()) } else { Ok(certificates) }
}

fn authorities(path: &Path) -> Result<RootCertStore, String> {
    let mut roots = RootCertStore::empty();
    for certificate in certificates(path)? {
        roots.add(certificate).map_err(|error| error.to_string())?;
    }
    Ok(roots)
}
