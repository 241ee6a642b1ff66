//! The private authority of the run API and the certificates it signs (RFC 5280).
//!
//! Executors trust this authority and no other, so a certificate of a public one is of no use to an
//! impostor. ECDSA on P-256, by ring.

use std::path::Path;

use jiff::{ToSpan as _, civil::Date, tz::TimeZone};
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, date_time_ymd,
};
use restroy_sdk::time::Ambient;
use zeroize::Zeroizing;

use super::{FileMode, NewFile};
use crate::failure::{Failure, Outcome};

/// The authority's key; needed to renew certificates, and by no service.
pub(super) const AUTHORITY_KEY: &str = "run-api-ca-key.pem";
/// The name of the authority. It is part of every certificate it signs: a new name is a new authority.
const AUTHORITY: &str = "Restroy run API authority";
/// How the containers of `docker-compose.yml` are reached, and this machine.
const NAMES: [&str; 6] = ["run-api", "control-plane-1", "control-plane-2", "localhost", "127.0.0.1", "::1"];
/// How many further names a certificate may have.
const MOST_NAMES: usize = 32;
/// How long the authority is valid.
const AUTHORITY_DAYS: i32 = 3650;
/// How long a certificate is valid.
const CERTIFICATE_DAYS: i32 = 397;

/// The authority.
pub(super) struct CertificateAuthority {
    issuer: Issuer<'static, KeyPair>,
    certificate: String,
    /// Its last day.
    pub(super) valid_to: String,
}

/// A certificate of the run API.
pub(super) struct ServerCertificate {
    certificate: String,
    key: Zeroizing<String>,
    /// Its last day.
    pub(super) valid_to: String,
}

/// All names that a certificate is for.
pub(super) fn names(further: &[String]) -> Outcome<Vec<String>> {
    if further.len() > MOST_NAMES {
        return Err(Failure::usage(format!("a certificate has at most {MOST_NAMES} further names")));
    }
    let named = |name: &String| {
        let fits = !name.is_empty()
            && name.len() <= 253
            && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b".-:".contains(&byte));
        if fits {
            Ok(name.clone())
        } else {
            Err(Failure::usage(format!("`{name}` is neither a host name nor an address")))
        }
    };
    NAMES.iter().map(|name| Ok((*name).to_owned())).chain(further.iter().map(named)).collect()
}

/// A new authority.
pub(super) fn authority(ambient: &Ambient) -> Outcome<CertificateAuthority> {
    let key = KeyPair::generate().map_err(failed)?;
    let (params, valid_to) = authority_params(Some(today(ambient)));
    let certificate = params.self_signed(&key).map_err(failed)?.pem();
    Ok(CertificateAuthority { issuer: Issuer::new(params, key), certificate, valid_to })
}

/// The authority whose key was kept. Its certificate need not be read: what it signs names it, and
/// its key.
pub(super) fn existing(key: &str, path: &Path) -> Outcome<CertificateAuthority> {
    let key = KeyPair::from_pem(key).map_err(|error| {
        Failure::new(format!("{} is not a key: {error}", path.display()))
            .help("restore it from a backup, or move it away to create a new authority")
    })?;
    let (params, _) = authority_params(None);
    Ok(CertificateAuthority { issuer: Issuer::new(params, key), certificate: String::new(), valid_to: String::new() })
}

fn authority_params(from: Option<Date>) -> (CertificateParams, String) {
    let mut params = CertificateParams::default();
    params.distinguished_name = name(AUTHORITY);
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    let mut last = String::new();
    if let Some(from) = from {
        last = valid(&mut params, from, AUTHORITY_DAYS);
    }
    (params, last)
}

impl CertificateAuthority {
    /// Signs a certificate for a new key.
    pub(super) fn certificate(&self, ambient: &Ambient, names: &[String]) -> Outcome<ServerCertificate> {
        let key = KeyPair::generate().map_err(failed)?;
        let mut params = CertificateParams::new(names).map_err(failed)?;
        params.distinguished_name = name("Restroy run API");
        params.is_ca = IsCa::ExplicitNoCa;
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        params.use_authority_key_identifier_extension = true;
        let valid_to = valid(&mut params, today(ambient), CERTIFICATE_DAYS);
        let certificate = params.signed_by(&key, &self.issuer).map_err(failed)?.pem();
        Ok(ServerCertificate { certificate, key: Zeroizing::new(key.serialize_pem()), valid_to })
    }

    /// The authority as files.
    pub(super) fn files(&self) -> Vec<NewFile> {
        vec![
            NewFile {
                name: "run-api-ca.pem",
                what: "the run API's own authority, which executors trust",
                mode: FileMode::Mounted,
                content: Zeroizing::new(self.certificate.clone()),
            },
            NewFile {
                name: AUTHORITY_KEY,
                what: "its key; in no container",
                mode: FileMode::Owner,
                content: Zeroizing::new(self.issuer.key().serialize_pem()),
            },
        ]
    }
}

impl ServerCertificate {
    /// The certificate as files.
    pub(super) fn files(&self) -> Vec<NewFile> {
        vec![
            NewFile {
                name: "run-api-cert.pem",
                what: "the run API's certificate",
                mode: FileMode::Mounted,
                content: Zeroizing::new(self.certificate.clone()),
            },
            NewFile { name: "run-api-key.pem", what: "its key", mode: FileMode::Mounted, content: self.key.clone() },
        ]
    }
}

/// Sets the days; gives the last one. From the day before: clocks differ.
fn valid(params: &mut CertificateParams, from: Date, days: i32) -> String {
    let (first, last) = (from.saturating_sub(1.day()), from.saturating_add(days.days()));
    let moment = |date: Date| date_time_ymd(date.year().into(), date.month().unsigned_abs(), date.day().unsigned_abs());
    params.not_before = moment(first);
    params.not_after = moment(last);
    last.to_string()
}

fn today(ambient: &Ambient) -> Date {
    ambient.now().to_jiff().to_zoned_datetime(TimeZone::UTC).date()
}

fn name(text: &str) -> DistinguishedName {
    let mut name = DistinguishedName::new();
    name.push(DnType::CommonName, text);
    name
}

#[allow(clippy::needless_pass_by_value, reason = "as `map_err` wants it")]
fn failed(error: rcgen::Error) -> Failure {
    Failure::new(format!("cannot make a certificate: {error}"))
}
