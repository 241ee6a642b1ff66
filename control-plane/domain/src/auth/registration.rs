//! Who may make an account.

use restroy_sdk::time::Timestamp;

use crate::store::{Tx, invitations, users};

/// Who may make an account by registering, or by signing in at the OpenID provider for the first time. An operator
/// makes accounts whatever this is; see [`operator`](super::operator).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Registration {
    /// Anybody may register.
    Open,
    /// Whoever has an address of these domains (in lower case), and whoever is invited.
    Domains(Vec<String>),
    /// Whoever has an address that an invitation into a team waits for.
    Invited,
    /// Nobody may register.
    Closed,
}

impl Registration {
    /// Whether an address that no account has may get one.
    pub async fn allows(&self, tx: &mut Tx, email: &str, now: Timestamp) -> Result<bool, sqlx::Error> {
        match self {
            Self::Open => Ok(true),
            Self::Domains(domains) if in_domains(email, domains) => Ok(true),
            Self::Domains(_) | Self::Invited => {
                invitations::any_team_has_pending_for(tx, &users::fold(email), now).await
            }
            Self::Closed => Ok(false),
        }
    }
}

/// Whether an address is of one of the domains; those below them are others.
fn in_domains(email: &str, domains: &[String]) -> bool {
    let folded = users::fold(email);
    let Some((_, host)) = folded.rsplit_once('@') else { return false };
    domains.iter().any(|domain| domain == host)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_domain_is_the_whole_of_what_stands_behind_the_at() {
        let domains = ["example.com".to_owned(), "example.org".to_owned()];
        for (email, within) in [
            ("ann@example.com", true),
            (" Ann@EXAMPLE.org ", true),
            ("ann@evil-example.com", false),
            ("ann@sub.example.com", false),
            ("ann@example.com.evil.example", false),
            ("ann@example.com@evil.example", false),
            ("example.com", false),
        ] {
            assert_eq!(in_domains(email, &domains), within, "{email}");
        }
    }
}
