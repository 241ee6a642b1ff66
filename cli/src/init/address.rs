//! Where people reach an installation, and what follows for the proxy.

use std::net::IpAddr;

use url::{Host, Url};

use crate::failure::{Failure, Outcome};

/// A public address that makes sense.
#[derive(Debug)]
pub(super) struct Address {
    url: Url,
    local: bool,
}

impl Address {
    /// Reads a URL: scheme, host, perhaps a port, and nothing more.
    pub(super) fn parse(text: &str) -> Outcome<Self> {
        let wrong = |why: &str| {
            Failure::usage(format!("the public URL `{text}` {why}")).help("such as https://restroy.example.com")
        };
        let url = Url::parse(text).map_err(|error| wrong(&format!("is not a URL: {error}")))?;
        let Some(host) = url.host() else { return Err(wrong("names no host")) };
        let bare = matches!(url.path(), "" | "/") && url.query().is_none() && url.fragment().is_none();
        if !matches!(url.scheme(), "http" | "https") || !bare || !url.username().is_empty() || url.password().is_some()
        {
            return Err(wrong("must be http or https, a host, perhaps a port, and nothing more"));
        }
        let local = match host {
            Host::Domain(name) => name == "localhost" || name.ends_with(".localhost"),
            Host::Ipv4(address) => IpAddr::from(address).is_loopback(),
            Host::Ipv6(address) => IpAddr::from(address).is_loopback(),
        };
        if url.scheme() == "http" && !local {
            return Err(wrong("is plain http: passwords and tokens would cross the network for anybody to read")
                .help("use https; the proxy gets its certificate by itself"));
        }
        if url.scheme() == "https" && url.port().is_some() {
            return Err(wrong("has a port: the proxy serves https on 443, where certificates are issued")
                .help("behind a proxy of your own, change the ports in .env afterwards"));
        }
        Ok(Self { url, local })
    }

    fn public_url(&self) -> &str {
        self.url.as_str().trim_end_matches('/')
    }

    /// The environment file of `docker compose`: settings, no secrets.
    pub(super) fn environment(&self) -> String {
        let public_url = self.public_url();
        // Plain http is served under any name: the proxy's port decides who reaches it.
        let site = if self.url.scheme() == "http" { ":80" } else { public_url };
        let (http, https) = if self.local {
            (
                format!("127.0.0.1:{}", self.url.port().filter(|_| self.url.scheme() == "http").unwrap_or(80)),
                "127.0.0.1:443",
            )
        } else {
            ("80".to_owned(), "443")
        };
        format!(
            "# Settings of docker-compose.yml, made by `restroy init`. Secrets lie in the folder `secrets`, not here.

# Where people reach the installation; in the links of e-mails, and the only origin of browsers.
RESTROY_PUBLIC_URL={public_url}
# What the proxy serves (a Caddy site address), and where on this machine.
RESTROY_SITE={site}
RESTROY_HTTP={http}
RESTROY_HTTPS={https}
# Whom e-mail is from. Where it goes stands in secrets/smtp-url; the catcher's page is for trying out.
RESTROY_SMTP_FROM=Restroy <restroy@{host}>
RESTROY_MAIL_PAGE=127.0.0.1:8025
# Who may make an account: open, invited, closed. `restroy admin account create` makes the first one.
RESTROY_REGISTRATION=invited
# The image that is built here, or pulled.
RESTROY_IMAGE=restroy:{version}
",
            host = self.url.host_str().unwrap_or("localhost"),
            version = env!("CARGO_PKG_VERSION"),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_http_is_for_this_machine_only() {
        for fine in ["http://localhost:8080", "http://127.0.0.1", "http://[::1]:9", "https://restroy.example.com/"] {
            assert!(Address::parse(fine).is_ok(), "{fine}");
        }
        for refused in [
            "restroy.example.com",
            "http://restroy.example.com",
            "https://restroy.example.com:8443",
            "https://restroy.example.com/app",
            "https://user@restroy.example.com",
            "ftp://localhost",
        ] {
            assert!(Address::parse(refused).is_err(), "{refused}");
        }
    }

    #[test]
    fn others_reach_it_only_where_it_is_meant_for_them() {
        let local = Address::parse("http://localhost:8080").unwrap().environment();
        assert!(local.contains("\nRESTROY_SITE=:80\nRESTROY_HTTP=127.0.0.1:8080\n"), "{local}");
        let public = Address::parse("https://restroy.example.com/").unwrap().environment();
        assert!(
            public.contains("\nRESTROY_SITE=https://restroy.example.com\nRESTROY_HTTP=80\nRESTROY_HTTPS=443\n"),
            "{public}"
        );
    }
}
