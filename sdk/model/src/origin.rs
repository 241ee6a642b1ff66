//! Where HTTP requests may go: the one type that reads origins, matches addresses, and compares origins.

use std::{fmt, str::FromStr};

use url::{Host, Url};

/// The longest text of an origin in a document, in bytes.
const MAX_DECLARED: usize = 300;

/// A set of HTTP addresses, by scheme, host and port:
///
/// - `https://api.example.com`: this host, at the scheme's own port;
/// - `http://localhost:9000`: another port;
/// - `https://*.example.com`: every name below the host, not the host itself;
/// - `*`: every `http` and `https` address.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Origin(Pattern);

#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
enum Pattern {
    Any,
    Exact {
        scheme: String,
        host: String,
        port: u16,
    },
    /// `suffix` begins with a dot.
    Below {
        scheme: String,
        suffix: String,
        port: u16,
    },
}

impl Origin {
    /// Reads an origin that the document of a pipeline may declare. Beyond what [`Origin::from_str`] takes, it has at
    /// most 300 bytes, is not `*`, has no slash at its end, uses plain `http` for this machine only, and has at least
    /// two parts after a star.
    pub fn declared(text: &str) -> Result<Self, InvalidOrigin> {
        let invalid = |reason| InvalidOrigin { text: text.chars().take(MAX_DECLARED).collect(), reason };
        if text.len() > MAX_DECLARED {
            return Err(invalid("it is longer than 300 bytes"));
        }
        let Some((scheme, rest)) = text.split_once("://") else {
            return Err(invalid("write the scheme too, as in `https://…`"));
        };
        if !matches!(scheme, "http" | "https") {
            return Err(invalid("the scheme is `http` or `https`"));
        }
        if rest.contains(['/', '?', '#', '\\']) {
            return Err(invalid("it has no path, query or fragment, and no slash at its end"));
        }
        let origin: Self = text.parse()?;
        let (host, wild) = match &origin.0 {
            Pattern::Any => return Err(invalid("write the scheme too, as in `https://…`")),
            Pattern::Exact { host, .. } => (host.as_str(), false),
            Pattern::Below { suffix, .. } => (suffix.trim_start_matches('.'), true),
        };
        let host = Host::parse(host).map_err(|_| invalid("the host or the port cannot be read"))?;
        if scheme == "http" && !is_loopback(&host) {
            return Err(invalid(
                "plain `http` is for services on one's own machine (`http://localhost:8000`): write `https`",
            ));
        }
        match host {
            Host::Domain(name) if wild && !name.contains('.') => {
                Err(invalid("a star needs at least two parts after it, as in `https://*.example.com`"))
            }
            _ => Ok(origin),
        }
    }

    /// Whether `url` is one of its addresses.
    pub fn matches(&self, url: &Url) -> bool {
        let (Some(host), Some(port)) = (url.host_str(), url.port_or_known_default()) else { return false };
        match &self.0 {
            Pattern::Any => matches!(url.scheme(), "http" | "https"),
            Pattern::Exact { scheme, host: wanted, port: at } => {
                url.scheme() == scheme && host == wanted && port == *at
            }
            Pattern::Below { scheme, suffix, port: at } => {
                url.scheme() == scheme && port == *at && is_below(host, suffix)
            }
        }
    }

    /// Whether it stands for more than one host.
    pub fn is_pattern(&self) -> bool {
        !matches!(self.0, Pattern::Exact { .. })
    }

    /// Whether every address of `other` is one of its own.
    pub fn covers(&self, other: &Self) -> bool {
        match (&self.0, &other.0) {
            (Pattern::Any, _) => true,
            (_, Pattern::Any) | (Pattern::Exact { .. }, Pattern::Below { .. }) => false,
            (Pattern::Exact { .. }, Pattern::Exact { .. }) => self == other,
            (Pattern::Below { scheme, suffix, port }, Pattern::Exact { scheme: of, host, port: at }) => {
                scheme == of && port == at && is_below(host, suffix)
            }
            (Pattern::Below { scheme, suffix, port }, Pattern::Below { scheme: of, suffix: below, port: at }) => {
                scheme == of && port == at && below.ends_with(suffix.as_str())
            }
        }
    }
}

/// Whether a host is a name below a suffix that begins with a dot.
fn is_below(host: &str, suffix: &str) -> bool {
    host.strip_suffix(suffix).is_some_and(|name| !name.is_empty())
}

/// Whether a host as written is this very machine; what its name resolves to is checked at each request.
fn is_loopback(host: &Host) -> bool {
    match host {
        Host::Domain(name) => name == "localhost",
        Host::Ipv4(address) => address.is_loopback(),
        Host::Ipv6(address) => address.is_loopback(),
    }
}

/// Not an origin: the reason, for people.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("\"{text}\" is not an origin such as https://api.example.com: {reason}")]
pub struct InvalidOrigin {
    text: String,
    reason: &'static str,
}

impl InvalidOrigin {
    /// What is wrong with it.
    pub fn reason(&self) -> &'static str {
        self.reason
    }
}

impl FromStr for Origin {
    type Err = InvalidOrigin;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let invalid = |reason| InvalidOrigin { text: text.to_owned(), reason };
        if text == "*" {
            return Ok(Self(Pattern::Any));
        }
        let wild = text.contains("://*.");
        let url = Url::parse(&text.replacen("://*.", "://", 1))
            .map_err(|_| invalid("the scheme, the host or the port cannot be read"))?;
        if !matches!(url.scheme(), "http" | "https") {
            return Err(invalid("the scheme is `http` or `https`"));
        }
        if !matches!(url.path(), "" | "/") || url.query().is_some() || url.fragment().is_some() {
            return Err(invalid("it has no path, query or fragment"));
        }
        if !url.username().is_empty() || url.password().is_some() {
            return Err(invalid("it has no user name or password"));
        }
        let (Some(host), Some(port)) = (url.host(), url.port_or_known_default()) else {
            return Err(invalid("it has no host"));
        };
        if wild && !matches!(host, Host::Domain(_)) {
            return Err(invalid("an address has no names below it"));
        }
        let host = host.to_string();
        if host.contains('*') {
            return Err(invalid("a star stands for the leftmost part of the host only, as in `https://*.example.com`"));
        }
        let scheme = url.scheme().to_owned();
        Ok(Self(if wild {
            Pattern::Below { scheme, suffix: format!(".{host}"), port }
        } else {
            Pattern::Exact { scheme, host, port }
        }))
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (scheme, star, host, port) = match &self.0 {
            Pattern::Any => return f.write_str("*"),
            Pattern::Exact { scheme, host, port } => (scheme, "", host, port),
            Pattern::Below { scheme, suffix, port } => (scheme, "*", suffix, port),
        };
        write!(f, "{scheme}://{star}{host}")?;
        let default = if scheme == "https" { 443 } else { 80 };
        if *port == default { Ok(()) } else { write!(f, ":{port}") }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn origin(text: &str) -> Origin {
        text.parse().unwrap()
    }

    fn allows(origin: &str, url: &str) -> bool {
        origin.parse::<Origin>().unwrap().matches(&Url::parse(url).unwrap())
    }

    #[test]
    fn matches_scheme_host_and_port() {
        for (origin, url, expected) in [
            ("https://a.example", "https://a.example/x?y", true),
            ("https://a.example", "https://A.EXAMPLE:443/", true),
            ("https://a.example", "http://a.example/", false),
            ("https://a.example", "https://a.example:8443/", false),
            ("https://a.example", "https://a.example.evil.example/", false),
            ("https://a.example", "https://a.example@evil.example/", false),
            ("https://*.example.com", "https://x.example.com/", true),
            ("https://*.example.com", "https://example.com/", false),
            ("https://*.example.com", "https://evilexample.com/", false),
            ("http://localhost:9000", "http://localhost:9000/", true),
            ("http://[::1]:9000", "http://[::1]:9000/", true),
            ("*", "https://anything.example/", true),
            ("*", "ftp://anything.example/", false),
        ] {
            assert_eq!(allows(origin, url), expected, "{origin} {url}");
        }
    }

    #[test]
    fn covers_what_lies_within() {
        for (outer, inner, expected) in [
            ("https://a.example", "https://A.example:443", true),
            ("https://*.b.example", "https://a.b.example", true),
            ("https://*.b.example", "https://*.a.b.example", true),
            ("https://*.b.example", "https://*.b.example", true),
            ("https://*.b.example:8443", "https://a.b.example:8443", true),
            ("*", "https://*.b.example", true),
            ("https://*.b.example", "https://b.example", false),
            ("https://*.b.example", "http://a.b.example", false),
            ("https://*.b.example", "https://a.b.example:8443", false),
            ("https://*.b.example", "https://evilb.example", false),
            ("https://a.b.example", "https://*.b.example", false),
            ("https://*.a.b.example", "https://*.b.example", false),
            ("https://a.example", "*", false),
        ] {
            assert_eq!(origin(outer).covers(&origin(inner)), expected, "{outer} {inner}");
        }
    }

    #[test]
    fn refuses_what_is_not_an_origin() {
        for text in [
            "",
            "example.com",
            "ftp://a.example",
            "https://a.example/path",
            "https://a.*.b",
            "https://u@a.example",
            "https://*.10.0.0.1",
            "https://*.[::1]",
            "https://*.*.example.com",
        ] {
            assert!(text.parse::<Origin>().is_err(), "{text}");
        }
    }

    #[test]
    fn shows_as_written() {
        for text in ["*", "https://a.example", "https://*.a.example", "http://a.example:81", "http://[::1]:81"] {
            assert_eq!(origin(text).to_string(), text);
        }
    }

    #[test]
    fn a_document_declares_less() {
        for text in [
            "https://a.example",
            "http://localhost:9000",
            "https://*.example.com",
            "https://*.example.com:8443",
            "http://127.0.0.1:81",
            "http://[::1]:81",
        ] {
            assert_eq!(Origin::declared(text), Ok(origin(text)), "{text}");
        }
        for text in [
            "",
            "*",
            "a.example",
            "ftp://a.example",
            "http://a.example",
            "http://10.0.0.1",
            "https://",
            "https://a.example/",
            "https://a.example/x",
            "https://a.example?x",
            "https://u:p@a.example",
            "https://a.*.example",
            "https://*",
            "https://*.com",
            "https://*.10.0.0.1",
            "https://a.example:99999",
        ] {
            assert!(Origin::declared(text).is_err(), "{text}");
        }
        assert!(Origin::declared(&format!("https://{}.example", "a.".repeat(200))).is_err());
    }

    /// Origins and addresses of few parts, so that they often meet.
    fn host() -> impl Strategy<Value = String> {
        prop::collection::vec(prop::sample::select(vec!["a", "b", "ab", "com"]), 1..4).prop_map(|parts| parts.join("."))
    }

    fn port() -> impl Strategy<Value = &'static str> {
        prop::sample::select(vec!["", ":443", ":80", ":8443"])
    }

    fn any_origin() -> impl Strategy<Value = Origin> {
        let pattern = (prop::sample::select(vec!["http", "https"]), any::<bool>(), host(), port())
            .prop_map(|(scheme, wild, host, port)| format!("{scheme}://{}{host}{port}", if wild { "*." } else { "" }));
        prop_oneof![1 => Just("*".to_owned()), 9 => pattern].prop_map(|text| origin(&text))
    }

    fn any_url() -> impl Strategy<Value = Url> {
        (prop::sample::select(vec!["http", "https", "HTTPS"]), host(), port())
            .prop_map(|(scheme, host, port)| Url::parse(&format!("{scheme}://{host}{port}/path")).unwrap())
    }

    /// An address of the origin, other than any that [`any_url`] makes where it is a wildcard.
    fn witness(origin: &Origin) -> Url {
        let text = match &origin.0 {
            Pattern::Any => "http://witness.invalid:1".to_owned(),
            Pattern::Exact { scheme, host, port } => format!("{scheme}://{host}:{port}"),
            Pattern::Below { scheme, suffix, port } => format!("{scheme}://witness{suffix}:{port}"),
        };
        Url::parse(&text).unwrap()
    }

    proptest! {
        #[test]
        fn what_is_covered_is_matched(outer in any_origin(), inner in any_origin(), url in any_url()) {
            if outer.covers(&inner) && inner.matches(&url) {
                prop_assert!(outer.matches(&url), "{outer} covers {inner}, which has {url}");
            }
            prop_assert!(inner.matches(&witness(&inner)));
            // The other way round: each of the witness and what is covered decides for the other.
            prop_assert_eq!(outer.covers(&inner), outer.matches(&witness(&inner)) && (inner.0 != Pattern::Any || outer.0 == Pattern::Any));
        }

        #[test]
        fn covering_is_an_order(a in any_origin(), b in any_origin(), c in any_origin()) {
            prop_assert!(a.covers(&a));
            if a.covers(&b) && b.covers(&a) {
                prop_assert_eq!(&a, &b);
            }
            if a.covers(&b) && b.covers(&c) {
                prop_assert!(a.covers(&c), "{} {} {}", a, b, c);
            }
        }

        #[test]
        fn the_text_of_an_origin_is_the_origin(origin in any_origin()) {
            prop_assert_eq!(origin.to_string().parse::<Origin>().unwrap(), origin);
        }
    }
}
