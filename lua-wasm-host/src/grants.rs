//! What a script may do outside its sandbox.

use std::fmt;
use std::str::FromStr;

use url::Url;

/// Capabilities granted to one run. The default grants nothing.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Grants {
    /// Where HTTP requests may go.
    pub http: Vec<Origin>,
    /// `kv.*`.
    pub kv: bool,
    /// `email.send`.
    pub email: bool,
    /// `files.*` and `io` on the scratch folder.
    pub files: bool,
}

impl Grants {
    /// Whether a request may go to `url`.
    pub fn allows_url(&self, url: &Url) -> bool {
        self.http.iter().any(|origin| origin.matches(url))
    }
}

/// Scheme, host and port: `https://api.example.com`, `https://*.example.com` (any name below, not
/// the domain itself), `http://localhost:9000`, or `*` (any http and https address that the
/// implementor of [`Http`](crate::Http) will connect to).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Origin(Pattern);

#[derive(Debug, Clone, PartialEq, Eq)]
enum Pattern {
    Any,
    Exact { scheme: String, host: String, port: u16 },
    Below { scheme: String, suffix: String, port: u16 },
}

impl Origin {
    /// Whether `url` has this origin.
    pub fn matches(&self, url: &Url) -> bool {
        let (Some(host), Some(port)) = (url.host_str(), url.port_or_known_default()) else {
            return false;
        };
        match &self.0 {
            Pattern::Any => matches!(url.scheme(), "http" | "https"),
            Pattern::Exact { scheme, host: wanted, port: wanted_port } => {
                url.scheme() == scheme && host == wanted && port == *wanted_port
            }
            Pattern::Below { scheme, suffix, port: wanted_port } => {
                url.scheme() == scheme
                    && port == *wanted_port
                    && host.strip_suffix(suffix.as_str()).is_some_and(|name| !name.is_empty())
            }
        }
    }
}

/// Not an origin: the reason, for people.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("\"{text}\" is not an origin such as https://api.example.com: {reason}")]
pub struct InvalidOrigin {
    text: String,
    reason: &'static str,
}

impl FromStr for Origin {
    type Err = InvalidOrigin;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let invalid = |reason| InvalidOrigin { text: text.to_owned(), reason };
        if text == "*" {
            return Ok(Self(Pattern::Any));
        }
        let wild = text.contains("://*.");
        let url = Url::parse(&text.replacen("://*.", "://", 1)).map_err(|_| invalid("it has no scheme and host"))?;
        if !matches!(url.scheme(), "http" | "https") {
            return Err(invalid("the scheme must be http or https"));
        }
        if !matches!(url.path(), "" | "/") || url.query().is_some() || url.fragment().is_some() {
            return Err(invalid("it must have no path, query or fragment"));
        }
        if !url.username().is_empty() || url.password().is_some() {
            return Err(invalid("it must have no user name or password"));
        }
        let (Some(host), Some(port)) = (url.host_str(), url.port_or_known_default()) else {
            return Err(invalid("it has no host"));
        };
        if host.contains('*') {
            return Err(invalid("a star may only stand for the leftmost part of the host"));
        }
        let scheme = url.scheme().to_owned();
        Ok(Self(if wild {
            Pattern::Below { scheme, suffix: format!(".{host}"), port }
        } else {
            Pattern::Exact { scheme, host: host.to_owned(), port }
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
    use super::*;

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
            ("*", "https://anything.example/", true),
            ("*", "ftp://anything.example/", false),
        ] {
            assert_eq!(allows(origin, url), expected, "{origin} {url}");
        }
    }

    #[test]
    fn refuses_what_is_not_an_origin() {
        for text in
            ["", "example.com", "ftp://a.example", "https://a.example/path", "https://a.*.b", "https://u@a.example"]
        {
            assert!(text.parse::<Origin>().is_err(), "{text}");
        }
    }

    #[test]
    fn shows_as_written() {
        for text in ["*", "https://a.example", "https://*.a.example", "http://a.example:81"] {
            assert_eq!(text.parse::<Origin>().unwrap().to_string(), text);
        }
    }
}
