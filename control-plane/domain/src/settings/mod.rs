//! What the operator of an installation decides about the rules.

mod mail;

use std::time::Duration;

pub(crate) use mail::Tls;
pub use mail::{MailSettings, MailSettingsError};

/// What the operator of an installation decides about the rules.
#[derive(Debug, Clone)]
pub struct DomainSettings {
    /// Where people reach the installation, without a slash at the end; in links of e-mails.
    pub public_url: String,
    /// How e-mail goes out: if not at all, it stays in the outbox as `held`.
    pub mail: Option<MailSettings>,
    /// How many runs an account may have running at once in all the teams that it owns; 0: no limit beside those of
    /// the teams.
    pub runs_per_owner: u32,
    /// How long an executor keeps a task that it says nothing about.
    pub lease: Duration,
}
