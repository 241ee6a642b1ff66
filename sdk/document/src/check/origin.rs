//! Origins that a step may call.

use url::{Host, Url};

/// Why `text` is not an origin that a step can be allowed.
pub(super) fn origin_error(text: &str) -> Option<&'static str> {
    if text.len() > 300 {
        return Some("it is longer than 300 bytes");
    }
    let Some((scheme, rest)) = text.split_once("://") else {
        return Some("write the scheme too, as in `https://…`");
    };
    if !matches!(scheme, "http" | "https") {
        return Some("the scheme is `http` or `https`");
    }
    if rest.contains(['/', '?', '#', '\\']) {
        return Some("it has no path, query or fragment, and no slash at its end");
    }
    if rest.contains('@') {
        return Some("it has no user name or password");
    }
    let wild = rest.starts_with("*.");
    let host = rest.strip_prefix("*.").unwrap_or(rest);
    if host.contains('*') {
        return Some("a star stands for the leftmost part of the host only, as in `https://*.example.com`");
    }
    let Ok(url) = Url::parse(&format!("{scheme}://{host}")) else {
        return Some("the host or the port cannot be read");
    };
    if scheme == "http" && !url.host().is_some_and(|host| is_loopback(&host)) {
        return Some("plain `http` is for services on one's own machine (`http://localhost:8000`): write `https`");
    }
    match url.host() {
        None => Some("it has no host"),
        Some(Host::Domain(name)) if wild && !name.contains('.') => {
            Some("a star needs at least two parts after it, as in `https://*.example.com`")
        }
        Some(Host::Ipv4(_) | Host::Ipv6(_)) if wild => Some("an address has no names below it"),
        Some(_) => None,
    }
}

/// Whether a host as written is this very machine; what its name resolves to is checked at each
/// request.
fn is_loopback(host: &Host<&str>) -> bool {
    match host {
        Host::Domain(name) => *name == "localhost",
        Host::Ipv4(address) => address.is_loopback(),
        Host::Ipv6(address) => address.is_loopback(),
    }
}

#[cfg(test)]
mod tests {
    use super::origin_error;

    #[test]
    fn takes_origins() {
        for text in [
            "https://a.example",
            "http://localhost:9000",
            "https://*.example.com",
            "https://*.example.com:8443",
            "http://127.0.0.1:81",
            "http://[::1]:81",
        ] {
            assert_eq!(origin_error(text), None, "{text}");
        }
    }

    #[test]
    fn refuses_the_rest() {
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
            assert!(origin_error(text).is_some(), "{text}");
        }
    }
}
