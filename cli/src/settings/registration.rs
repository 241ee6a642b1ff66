//! Who may make an account, as it is set.

use restroy_control_plane::auth::Registration;

use super::value::Value;

/// Who may make an account.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum RegistrationMode {
    /// Anybody may register.
    Open,
    /// Those with addresses of some domains, and those who are invited.
    Domains,
    /// Those who are invited.
    Invited,
    /// Nobody may register.
    Closed,
}

impl RegistrationMode {
    /// With the domains that go with it.
    pub(crate) fn with(self, domains: &Domains) -> Registration {
        match self {
            Self::Open => Registration::Open,
            Self::Domains => Registration::Domains(domains.0.clone()),
            Self::Invited => Registration::Invited,
            Self::Closed => Registration::Closed,
        }
    }
}

impl Value for RegistrationMode {
    fn read(text: &str) -> Result<Self, String> {
        match text {
            "open" => Ok(Self::Open),
            "domains" => Ok(Self::Domains),
            "invited" => Ok(Self::Invited),
            "closed" => Ok(Self::Closed),
            _ => Err(format!("`{text}` is none of `open`, `domains`, `invited` and `closed`")),
        }
    }

    fn shown(&self) -> toml::Value {
        match self {
            Self::Open => "open",
            Self::Domains => "domains",
            Self::Invited => "invited",
            Self::Closed => "closed",
        }
        .into()
    }
}

/// Domains of addresses, with commas between them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Domains(pub(crate) Vec<String>);

impl Value for Domains {
    fn read(text: &str) -> Result<Self, String> {
        let domain = |text: &str| {
            let plain = |c: char| c.is_alphanumeric() || matches!(c, '-' | '.');
            let ends = text.starts_with(['.', '-']) || text.ends_with(['.', '-']);
            if ends || !text.chars().all(plain) {
                return Err(format!("`{text}` is not a domain, such as example.com"));
            }
            Ok(text.to_lowercase())
        };
        let domains = text.split(',').map(str::trim).filter(|domain| !domain.is_empty());
        domains.map(domain).collect::<Result<_, _>>().map(Self)
    }

    fn shown(&self) -> toml::Value {
        self.0.clone().into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn domains_are_lower_case_names() {
        assert_eq!(Domains::read("Example.com, example.ORG").unwrap().0, ["example.com", "example.org"]);
        assert_eq!(Domains::read("").unwrap().0, Vec::<String>::new());
        for bad in ["@example.com", "a b", ".example.com", "example.com.", "*.example.com"] {
            assert!(Domains::read(bad).is_err(), "{bad}");
        }
    }
}
