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
    accept::{Accept, NoDelayAcceptor},
    tls_rustls::{RustlsAcceptor, RustlsConfig},
};
use futures_util::future::BoxFuture;
use restroy_control_plane::runs::executors::ClientCertificate;
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
pub(super) struct WithCertificates(RustlsAcceptor<NoDelayAcceptor>);

impl WithCertificates {
    pub(super) fn new(tls: RustlsConfig) -> Self {
        Self(RustlsAcceptor::new(tls).acceptor(NoDelayAcceptor))
    }
}

impl<S: Send + 'static> Accept<TcpStream, S> for WithCertificates {
    type Stream = <RustlsAcceptor<NoDelayAcceptor> as Accept<TcpStream, S>>::Stream;
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
