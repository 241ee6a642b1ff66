//! The run API's certificates.

use std::{fs, path::Path, sync::Arc};

use super::{contents, refused};
use crate::composition::{Made, init, init_in, succeed};
use rustls::{
    ClientConfig, ClientConnection, RootCertStore, ServerConfig, ServerConnection,
    pki_types::{CertificateDer, PrivateKeyDer, ServerName, pem::PemObject as _},
};

/// Whether a TLS handshake with the run API's certificate, as a client who knows the authority and
/// calls it by this name, comes to its end.
fn handshake(folder: &Path, name: &str) -> Result<(), String> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let secrets = folder.join("secrets");
    let chain = CertificateDer::pem_file_iter(secrets.join("run-api-cert.pem")).unwrap().map(Result::unwrap).collect();
    let key = PrivateKeyDer::from_pem_file(secrets.join("run-api-key.pem")).unwrap();
    let server = ServerConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .unwrap();
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(secrets.join("run-api-ca.pem")).unwrap()).unwrap();
    let client = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let mut server = ServerConnection::new(Arc::new(server)).unwrap();
    let mut client = ClientConnection::new(Arc::new(client), ServerName::try_from(name.to_owned()).unwrap()).unwrap();
    while client.is_handshaking() || server.is_handshaking() {
        let mut flight = Vec::new();
        client.write_tls(&mut flight).unwrap();
        server.read_tls(&mut flight.as_slice()).unwrap();
        server.process_new_packets().map_err(|error| error.to_string())?;
        let mut flight = Vec::new();
        while server.wants_write() {
            server.write_tls(&mut flight).unwrap();
        }
        let mut rest = flight.as_slice();
        while !rest.is_empty() {
            client.read_tls(&mut rest).unwrap();
            client.process_new_packets().map_err(|error| error.to_string())?;
        }
    }
    Ok(())
}

#[test]
fn the_certificate_holds_for_every_name_of_the_run_api_and_no_other() {
    let Made { folder, .. } = init(&["--run-api-name", "restroy-1.internal", "--run-api-name", "192.0.2.7"]);
    for name in
        ["run-api", "control-plane-1", "control-plane-2", "localhost", "127.0.0.1", "restroy-1.internal", "192.0.2.7"]
    {
        handshake(folder.path(), name).unwrap_or_else(|error| panic!("{name}: {error}"));
    }
    assert!(handshake(folder.path(), "postgres").unwrap_err().contains("certificate"), "it is for no other name");
    // What another installation's authority signed is worth nothing here.
    let other = init(&[]).folder;
    fs::copy(other.path().join("secrets/run-api-ca.pem"), folder.path().join("secrets/other")).unwrap();
    fs::rename(folder.path().join("secrets/other"), folder.path().join("secrets/run-api-ca.pem")).unwrap();
    assert!(handshake(folder.path(), "run-api").is_err());
}

#[test]
fn certificates_are_renewed_and_nothing_else_is() {
    let Made { folder, .. } = init(&[]);
    let before = contents(folder.path());
    let told = succeed(&mut init_in(folder.path(), &["--renew-certificates"]));
    let after = contents(folder.path());
    handshake(folder.path(), "run-api").unwrap();
    let changed: Vec<_> =
        before.iter().filter(|(path, text)| after.get(*path) != Some(*text)).map(|(path, _)| path).collect();
    assert_eq!(changed, ["secrets/run-api-cert.pem", "secrets/run-api-key.pem"], "executors need not know: {told}");

    // Where the authority's key is kept elsewhere, a new authority takes its place.
    fs::remove_file(folder.path().join("secrets/run-api-ca-key.pem")).unwrap();
    let told = succeed(&mut init_in(folder.path(), &["--renew-certificates"]));
    assert!(told.contains("new authority"), "{told}");
    assert_ne!(contents(folder.path())["secrets/run-api-ca.pem"], before["secrets/run-api-ca.pem"]);
    handshake(folder.path(), "run-api").unwrap();

    let told = refused(&mut init_in(tempfile::tempdir().unwrap().path(), &["--renew-certificates"]));
    assert!(told.contains("is not there"), "{told}");
}
