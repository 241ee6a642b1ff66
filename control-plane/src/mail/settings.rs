//! Where e-mail goes out, and in whose name.

use std::fmt;

use lettre::{AsyncSmtpTransport, Tokio1Executor, message::Mailbox, transport::smtp::AsyncSmtpTransportBuilder};
use url::Url;

/// A mail server and a sender.
///
/// The URL is one of
///
/// | URL | connection |
/// |---|---|
/// | `smtps://user:password@host:465` | TLS from the first byte |
/// | `smtp://user:password@host:587?tls=required` | STARTTLS, or nothing is sent |
/// | `smtp://host:25?tls=opportunistic` | STARTTLS when the server offers it |
/// | `smtp://host:1025?tls=none` | in plain, for a server on the same machine or private network |
///
/// `tls` has no default but for loopback addresses, where it is `none`. Credentials need TLS that is
/// required, or a loopback address. User and password are percent-encoded.
#[derive(Clone)]
pub struct MailSettings {
    pub(super) server: AsyncSmtpTransportBuilder,
    pub(super) from: Mailbox,
    /// What may be shown of the URL.
    shown: String,
}

/// Why mail settings cannot be used. No message shows a password.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum MailSettingsError {
    /// Not a URL of a mail server.
    #[error(
        "the SMTP URL is not one: write smtps://user:password@host:465 or smtp://user:password@host:587?tls=required"
    )]
    NotAUrl,
    /// Nothing insecure by default.
    #[error(
        "the SMTP URL for {0} does not say whether to use TLS: add ?tls=required (STARTTLS), or ?tls=none for a \
         server on a private network; or write smtps://"
    )]
    TlsUnsaid(String),
    /// An unknown value.
    #[error("the SMTP URL says tls={0}: it is required, opportunistic or none")]
    TlsUnknown(String),
    /// Whoever listens would learn the password.
    #[error("the SMTP URL would send the password to {0} in plain: use smtps:// or ?tls=required")]
    PlainPassword(String),
    /// The sender's address.
    #[error("the sender of e-mails is not an address: write `Restroy <restroy@example.com>`")]
    From,
    /// No TLS on this machine.
    #[error("TLS for SMTP cannot be set up: {0}")]
    Tls(String),
}

impl MailSettings {
    /// Checks a URL and a sender such as `Restroy <restroy@example.com>`. Connects to nothing.
    pub fn new(url: &str, from: &str) -> Result<Self, MailSettingsError> {
        let mut url: Url = url.trim().parse().map_err(|_| MailSettingsError::NotAUrl)?;
        let host = url.host().ok_or(MailSettingsError::NotAUrl)?;
        let loopback = match &host {
            url::Host::Domain(name) => *name == "localhost",
            url::Host::Ipv4(ip) => ip.is_loopback(),
            url::Host::Ipv6(ip) => ip.is_loopback(),
        } || host_is_loopback(&host.to_string());
        let host = host.to_string();
        let tls = url.query_pairs().find(|(key, _)| key == "tls").map(|(_, value)| value.into_owned());
        let required = match (url.scheme(), tls.as_deref()) {
            ("smtps", None | Some("required")) | ("smtp", Some("required")) => true,
            ("smtp", Some("opportunistic" | "none")) => false,
            ("smtp", None) if loopback => false,
            ("smtp", None) => return Err(MailSettingsError::TlsUnsaid(host)),
            ("smtp" | "smtps", Some(other)) => return Err(MailSettingsError::TlsUnknown(other.to_owned())),
            _ => return Err(MailSettingsError::NotAUrl),
        };
        if url.password().is_some() && !required && !loopback {
            return Err(MailSettingsError::PlainPassword(host));
        }
        let shown =
            format!("{}://{host}:{}", url.scheme(), url.port().map_or("default".into(), |port| port.to_string()));
        if !matches!(tls.as_deref(), Some("required" | "opportunistic")) || url.scheme() == "smtps" {
            url.set_query(None); // the transport's own way to say "in plain", or what the scheme says already
        }
        let server = AsyncSmtpTransport::<Tokio1Executor>::from_url(url.as_str())
            .map_err(|error| MailSettingsError::Tls(error.to_string()))?;
        let from: Mailbox = from.trim().parse().map_err(|_| MailSettingsError::From)?;
        Ok(Self { server, from, shown })
    }

    /// Who the e-mails are from.
    pub fn from(&self) -> String {
        self.from.to_string()
    }
}

/// A URL of a scheme that is not special keeps IPv4 addresses as names.
fn host_is_loopback(host: &str) -> bool {
    host.trim_matches(['[', ']']).parse::<std::net::IpAddr>().is_ok_and(|ip| ip.is_loopback())
}

impl fmt::Debug for MailSettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The password never reaches a log.
        f.debug_struct("MailSettings").field("server", &self.shown).field("from", &self.from()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FROM: &str = "Restroy <restroy@example.com>";

    fn refused(url: &str) -> MailSettingsError {
        MailSettings::new(url, FROM).unwrap_err()
    }

    #[test]
    fn what_is_insecure_is_said_or_refused() {
        for good in [
            "smtps://user:p%40ss@mail.example.com",
            "smtp://user:pass@mail.example.com:587?tls=required",
            "smtp://mail.example.com?tls=opportunistic",
            "smtp://mail:1025?tls=none",
            "smtp://127.0.0.1:1025",
            "smtp://user:pass@localhost:1025",
            "smtp://[::1]:1025",
        ] {
            assert!(MailSettings::new(good, FROM).is_ok(), "{good}: {:?}", refused(good));
        }
        assert_eq!(refused("smtp://mail:1025"), MailSettingsError::TlsUnsaid("mail".into()));
        assert_eq!(refused("smtp://a:b@mail?tls=none"), MailSettingsError::PlainPassword("mail".into()));
        assert_eq!(refused("smtp://a:b@mail?tls=opportunistic"), MailSettingsError::PlainPassword("mail".into()));
        assert_eq!(refused("smtp://mail?tls=maybe"), MailSettingsError::TlsUnknown("maybe".into()));
        for bad in ["", "mail:25", "http://mail", "smtp:"] {
            assert_eq!(refused(bad), MailSettingsError::NotAUrl, "{bad}");
        }
        assert!(MailSettings::new("smtp://localhost", "Restroy <restroy@localhost>").is_ok());
        for bad in ["", "nobody", "a@b\r\nBcc: c@d"] {
            assert_eq!(MailSettings::new("smtp://localhost", bad).unwrap_err(), MailSettingsError::From, "{bad}");
        }
    }

    #[test]
    fn no_message_shows_the_password() {
        let settings = MailSettings::new("smtps://user:hush-hush@mail.example.com", FROM).unwrap();
        assert!(!format!("{settings:?}").contains("hush"));
        assert!(!format!("{:?} {}", refused("smtp://a:hush@mail"), refused("smtp://a:hush@mail")).contains("hush"));
    }
}
