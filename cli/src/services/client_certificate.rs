//! The client certificate of an executor, on the run API's listener. Any is taken, and none too: the handshake shows
//! that whoever sends it has its key, and an executor's credential may be bound to one by its fingerprint. No authority
//! has a say in it.

use std::{
    io,
    sync::Arc,
    task::{Context, Poll},
};

use axum::http::Request;
use axum_server::{
    accept::Accept,
    tls_rustls::{RustlsAcceptor, RustlsConfig},
};
use futures_util::future::BoxFuture;
use restroy_control_plane::runs::executor::ClientCertificate;
use rustls::{
    DigitallySignedStruct, DistinguishedName, Error, SignatureScheme,
    client::danger::HandshakeSignatureValid,
    crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature},
    pki_types::{CertificateDer, UnixTime},
    server::danger::{ClientCertVerified, ClientCertVerifier},
};
use sha2::{Digest as _, Sha256};
use tokio::net::TcpStream;
use tower_service::Service;

use super::listen::Pacing;

/// Takes any client certificate whose key the other side has.
#[derive(Debug)]
pub(super) struct AnyCertificate(pub(super) Arc<CryptoProvider>);

impl ClientCertVerifier for AnyCertificate {
    fn client_auth_mandatory(&self) -> bool {
        false
    }

    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn verify_client_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        // Whose it is, is looked up by its fingerprint; see `Executor` in the control-plane.
        Ok(ClientCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, certificate, signature, &self.0.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, certificate, signature, &self.0.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}

/// Accepts connections over TLS, and says with each request which certificate its connection came with.
#[derive(Debug, Clone)]
pub(super) struct WithCertificates(RustlsAcceptor<Pacing>);

impl WithCertificates {
    pub(super) fn new(tls: RustlsConfig, pacing: Pacing) -> Self {
        Self(RustlsAcceptor::new(tls).acceptor(pacing))
    }
}

impl<S: Send + 'static> Accept<TcpStream, S> for WithCertificates {
    type Stream = <RustlsAcceptor<Pacing> as Accept<TcpStream, S>>::Stream;
    type Service = Identified<S>;
    type Future = BoxFuture<'static, io::Result<(Self::Stream, Identified<S>)>>;

    fn accept(&self, stream: TcpStream, service: S) -> Self::Future {
        let accepting = self.0.accept(stream, service);
        Box::pin(async move {
            let (stream, service) = accepting.await?;
            let (_, connection) = stream.get_ref();
            let certificate = connection.peer_certificates().and_then(|chain| chain.first());
            let certificate = certificate.map(|certificate| ClientCertificate(Sha256::digest(certificate).into()));
            Ok((stream, Identified { service, certificate }))
        })
    }
}

/// A connection's service, which knows its client certificate.
#[derive(Debug, Clone)]
pub(super) struct Identified<S> {
    service: S,
    certificate: Option<ClientCertificate>,
}

impl<S: Service<Request<B>>, B> Service<Request<B>> for Identified<S> {
    type Response = S::Response;
    type Error = S::Error;
    type Future = S::Future;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.service.poll_ready(context)
    }

    fn call(&mut self, mut request: Request<B>) -> S::Future {
        if let Some(certificate) = self.certificate {
            request.extensions_mut().insert(certificate);
        }
        self.service.call(request)
    }
}

#[cfg(test)]
mod tests {
    use axum::{Extension, Router, routing::get};
    use rustls::{ClientConfig, RootCertStore, pki_types::PrivateKeyDer};

    use super::*;
    use crate::services::{
        listen::{Listener, RunningServers},
        tls::TlsFiles,
    };

    /// What a connection with a client certificate, or none, is known by.
    async fn known(url: &str, roots: &RootCertStore, identity: Option<&rcgen::CertifiedKey<rcgen::KeyPair>>) -> String {
        let tls = ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots.clone());
        let tls = match identity {
            None => tls.with_no_client_auth(),
            Some(identity) => {
                let key = PrivateKeyDer::try_from(identity.signing_key.serialize_der()).unwrap();
                tls.with_client_auth_cert(vec![identity.cert.der().clone()], key).unwrap()
            }
        };
        let client = reqwest::Client::builder().tls_backend_preconfigured(tls).no_proxy().build().unwrap();
        client.get(url).send().await.unwrap().text().await.unwrap()
    }

    #[tokio::test]
    async fn a_request_says_which_certificate_its_connection_came_with() {
        let made = |name: &str| rcgen::generate_simple_self_signed(vec![name.to_owned()]).unwrap();
        let (server, executor, other) = (made("127.0.0.1"), made("executor"), made("executor"));
        let folder = tempfile::tempdir().unwrap();
        let files = TlsFiles { certificate: folder.path().join("cert.pem"), key: folder.path().join("key.pem") };
        std::fs::write(&files.certificate, server.cert.pem()).unwrap();
        std::fs::write(&files.key, server.signing_key.serialize_pem()).unwrap();
        let listener = Listener::bind("127.0.0.1:0".parse().unwrap(), "none").unwrap();
        let url = format!("https://{}", listener.address);
        let shown = async |certificate: Option<Extension<ClientCertificate>>| {
            certificate.map_or_else(|| "nobody".to_owned(), |Extension(ClientCertificate(hash))| hex::encode(hash))
        };
        let mut serving = RunningServers::default();
        serving.serve("a test", listener, Router::new().route("/", get(shown)), Some(files.load().unwrap())).unwrap();
        let mut roots = RootCertStore::empty();
        roots.add(server.cert.der().clone()).unwrap();

        assert_eq!(known(&url, &roots, None).await, "nobody");
        for identity in [&executor, &other] {
            let hash = hex::encode(Sha256::digest(identity.cert.der()));
            assert_eq!(known(&url, &roots, Some(identity)).await, hash);
        }
        serving.stop(std::time::Duration::ZERO).await;
    }
}
