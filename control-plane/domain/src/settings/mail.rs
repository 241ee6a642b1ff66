//! Where e-mail goes out, and in whose name.

use std::fmt;

use lettre::{
    message::Mailbox,
    transport::smtp::{authentication::Credentials, client::TlsParameters},
};
use url::Url;

/// The ports of mail servers: between servers, for TLS from the first byte (RFC 8314), for who hands mail in.
const SMTP: u16 = 25;
const SUBMISSIONS: u16 = 465;
const SUBMISSION: u16 = 587;

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
    pub(crate) host: String,
    pub(crate) port: u16,
    pub(crate) tls: Tls,
    pub(crate) credentials: Option<Credentials>,
    pub(crate) from: Mailbox,
    /// Whom the e-mail of teams is from; the name is what stands behind that of the team.
    pub(crate) from_teams: Mailbox,
    /// Whether teams may send HTML.
    pub(crate) html_of_teams: bool,
    /// What may be shown of the URL.
    shown: String,
}

/// How a connection is encrypted.
#[derive(Clone)]
pub(crate) enum Tls {
    /// Not at all.
    None,
    /// From the first byte.
    AtOnce(TlsParameters),
    /// By STARTTLS.
    Upgrade {
        parameters: TlsParameters,
        /// Or nothing is sent; otherwise where the server offers it.
        required: bool,
    },
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
    /// The sender of the e-mail of teams.
    #[error("the sender of teams' e-mails is not an address: write `Scripts <scripts@example.com>`")]
    FromTeams,
    /// No TLS on this machine.
    #[error("TLS for SMTP cannot be set up: {0}")]
    Tls(String),
}

impl MailSettings {
    /// Checks a URL and a sender such as `Restroy <restroy@example.com>`. Connects to nothing.
    pub fn new(url: &str, from: &str) -> Result<Self, MailSettingsError> {
        let url: Url = url.trim().parse().map_err(|_| MailSettingsError::NotAUrl)?;
        let host = url.host().ok_or(MailSettingsError::NotAUrl)?.to_string();
        let host = host.trim_matches(['[', ']']).to_owned();
        // A URL of a scheme that is not special keeps addresses as names.
        let loopback =
            host == "localhost" || host.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback());
        let said = url.query_pairs().find(|(key, _)| key == "tls").map(|(_, value)| value.into_owned());
        let parameters = || TlsParameters::new(host.clone()).map_err(|error| MailSettingsError::Tls(error.to_string()));
        let (tls, port) = match (url.scheme(), said.as_deref()) {
            ("smtps", None | Some("required")) => (Tls::AtOnce(parameters()?), SUBMISSIONS),
            ("smtp", Some("required")) => (Tls::Upgrade { parameters: parameters()?, required: true }, SUBMISSION),
            ("smtp", Some("opportunistic")) => {
                (Tls::Upgrade { parameters: parameters()?, required: false }, SUBMISSION)
            }
            ("smtp", Some("none")) => (Tls::None, SMTP),
            ("smtp", None) if loopback => (Tls::None, SMTP),
            ("smtp", None) => return Err(MailSettingsError::TlsUnsaid(host)),
            ("smtp" | "smtps", Some(other)) => return Err(MailSettingsError::TlsUnknown(other.to_owned())),
            _ => return Err(MailSettingsError::NotAUrl),
        };
        let required = matches!(tls, Tls::AtOnce(_) | Tls::Upgrade { required: true, .. });
        if url.password().is_some() && !required && !loopback {
            return Err(MailSettingsError::PlainPassword(host));
        }
        let plain = |text: &str| percent_decoded(text).ok_or(MailSettingsError::NotAUrl);
        let credentials = match url.password() {
            Some(password) => Some(Credentials::new(plain(url.username())?, plain(password)?)),
            None => None,
        };
        let shown =
            format!("{}://{host}:{}", url.scheme(), url.port().map_or("default".into(), |port| port.to_string()));
        let from: Mailbox = from.trim().parse().map_err(|_| MailSettingsError::From)?;
        let from_teams = Mailbox::new(None, from.email.clone());
        let port = url.port().unwrap_or(port);
        Ok(Self { host, port, tls, credentials, from, from_teams, html_of_teams: false, shown })
    }

    /// Whom the e-mail of teams' scripts is from, where it is another address, and whether it may be HTML.
    pub fn for_teams(self, from: Option<&str>, html: bool) -> Result<Self, MailSettingsError> {
        let from_teams = match from {
            Some(from) => from.trim().parse().map_err(|_| MailSettingsError::FromTeams)?,
            None => self.from_teams,
        };
        Ok(Self { from_teams, html_of_teams: html, ..self })
    }

    /// Whether an address is one that the installation itself sends from.
    pub(crate) fn is_own_address(&self, address: &str) -> bool {
        [&self.from, &self.from_teams].iter().any(|own| own.email.to_string().eq_ignore_ascii_case(address))
    }

    /// Who the e-mails are from.
    pub fn from(&self) -> String {
        self.from.to_string()
    }
}

/// A part of a URL as it was meant (RFC 3986, section 2.1); nothing when that is not a text.
fn percent_decoded(text: &str) -> Option<String> {
    let mut decoded = Vec::with_capacity(text.len());
    let mut bytes = text.as_bytes();
    while let [byte, rest @ ..] = bytes {
        let code = match rest {
            [high, low, ..] if *byte == b'%' => {
                std::str::from_utf8(&[*high, *low]).ok().and_then(|code| u8::from_str_radix(code, 16).ok())
            }
            _ => None,
        };
        decoded.push(code.unwrap_or(*byte));
        bytes = if code.is_some() { &rest[2..] } else { rest };
    }
    String::from_utf8(decoded).ok()
}

impl fmt::Debug for MailSettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The password never reaches a log.
        f.debug_struct("MailSettings").field("server", &self.shown).field("from", &self.from()).finish_non_exhaustive()
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
        for (url, host, port) in [
            ("smtps://mail.example.com", "mail.example.com", 465),
            ("smtp://mail.example.com?tls=required", "mail.example.com", 587),
            ("smtp://mail.example.com:2525?tls=none", "mail.example.com", 2525),
            ("smtp://[::1]", "::1", 25),
        ] {
            let settings = MailSettings::new(url, FROM).unwrap();
            assert_eq!((settings.host.as_str(), settings.port), (host, port), "{url}");
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
    fn user_and_password_are_what_was_meant() {
        assert_eq!(percent_decoded("a%40b%25+%zz%4").as_deref(), Some("a@b%+%zz%4"));
        assert_eq!(percent_decoded("gr%C3%BC%C3%9Fe").as_deref(), Some("grüße"));
        assert_eq!(percent_decoded("%FF"), None);
    }

    #[test]
    fn no_message_shows_the_password() {
        let settings = MailSettings::new("smtps://user:hush-hush@mail.example.com", FROM).unwrap();
        assert!(!format!("{settings:?}").contains("hush"));
        assert!(!format!("{:?} {}", refused("smtp://a:hush@mail"), refused("smtp://a:hush@mail")).contains("hush"));
    }
}
