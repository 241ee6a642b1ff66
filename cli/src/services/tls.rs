//! The run API's certificate: read at the start, and again when its files change.

use std::{path::Path, path::PathBuf, sync::Arc, time::Duration};

use axum_server::tls_rustls::RustlsConfig;
use rustls::{
    ServerConfig,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject as _},
};

use super::{client_certificate::AnyCertificate, signals};

/// How often the files are looked at.
const RELOAD_INTERVAL: Duration = Duration::from_secs(30);

/// Where certificate and key are.
#[derive(Debug, Clone)]
pub(super) struct TlsFiles {
    /// The certificate and those between it and its authority, as PEM.
    pub(super) certificate: PathBuf,
    /// The private key, as PEM.
    pub(super) key: PathBuf,
}

/// What the files hold.
#[derive(PartialEq, Eq)]
struct TlsContents {
    certificate: Vec<u8>,
    key: Vec<u8>,
}

impl TlsFiles {
    /// Reads them; the error names the file.
    pub(super) fn load(&self) -> Result<RustlsConfig, String> {
        self.read()?.config(self).map(RustlsConfig::from_config)
    }

    fn read(&self) -> Result<TlsContents, String> {
        let read =
            |path: &Path| std::fs::read(path).map_err(|error| format!("cannot read {}: {error}", path.display()));
        Ok(TlsContents { certificate: read(&self.certificate)?, key: read(&self.key)? })
    }

    /// Keeps the certificate in force the one that the files hold: looks every half minute, and at
    /// once on SIGHUP. Files that do not fit together, as in the middle of a change, leave the one
    /// before in force.
    pub(super) async fn keep_fresh(self, config: RustlsConfig) {
        let mut hangups = signals::hangups();
        let mut known = self.read().ok();
        loop {
            tokio::select! {
                () = tokio::time::sleep(RELOAD_INTERVAL) => {}
                () = hung_up(&mut hangups) => {}
            }
            let files = self.clone();
            let read = tokio::task::spawn_blocking(move || files.read()).await;
            let read = match read {
                Ok(Ok(contents)) if known.as_ref() == Some(&contents) => continue,
                Ok(read) => read,
                Err(error) => Err(error.to_string()),
            };
            match read.and_then(|contents| contents.config(&self).map(|config| (contents, config))) {
                Ok((contents, fresh)) => {
                    config.reload_from_config(fresh);
                    known = Some(contents);
                    tracing::info!(certificate = %self.certificate.display(), "the run API's certificate was \
                        reloaded");
                }
                Err(error) => {
                    tracing::error!(
                        error,
                        "the run API's certificate cannot be reloaded; the previous one stays in \
                        use"
                    );
                }
            }
        }
    }
}

async fn hung_up(hangups: &mut Option<tokio::signal::unix::Signal>) {
    let heard = match hangups {
        Some(signal) => signal.recv().await,
        None => None,
    };
    if heard.is_none() {
        std::future::pending::<()>().await;
    }
}

impl TlsContents {
    fn config(&self, files: &TlsFiles) -> Result<Arc<ServerConfig>, String> {
        let (certificate, key) = (files.certificate.display(), files.key.display());
        let chain: Vec<_> = CertificateDer::pem_slice_iter(&self.certificate)
            .collect::<Result<_, _>>()
            .map_err(|error| format!("{certificate} holds no certificates as PEM: {error}"))?;
        if chain.is_empty() {
            return Err(format!("{certificate} holds no certificate as PEM"));
        }
        let private = PrivateKeyDer::from_pem_slice(&self.key)
            .map_err(|error| format!("{key} holds no private key as PEM: {error}"))?;
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let clients = Arc::new(AnyCertificate(Arc::clone(&provider)));
        let mut config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .and_then(|builder| builder.with_client_cert_verifier(clients).with_single_cert(chain, private))
            .map_err(|error| format!("{certificate} and {key} cannot be used together: {error}"))?;
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(Arc::new(config))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_certificate_and_its_key_are_taken_and_others_are_not() {
        let folder = tempfile::tempdir().unwrap();
        let one = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
        let other = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
        let files = TlsFiles { certificate: folder.path().join("cert.pem"), key: folder.path().join("key.pem") };
        assert!(files.load().unwrap_err().contains("cert.pem"), "there is none yet");
        std::fs::write(&files.certificate, one.cert.pem()).unwrap();
        std::fs::write(&files.key, other.signing_key.serialize_pem()).unwrap();
        assert!(files.load().unwrap_err().contains("together"));
        std::fs::write(&files.key, "no key").unwrap();
        assert!(files.load().unwrap_err().contains("key.pem"));
        std::fs::write(&files.key, one.signing_key.serialize_pem()).unwrap();
        files.load().unwrap();
    }
}
