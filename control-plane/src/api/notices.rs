//! E-mails that tell the owner of an account what was done to it: whoever does it in their place is found out.

use std::{
    fmt::{self, Display, Formatter},
    net::IpAddr,
};

use restroy_sdk::time::Timestamp;

use crate::{
    error::ApiResult,
    state::AppState,
    store::{Tx, outbox},
};

/// When something was done, and where the request came from.
#[derive(Debug, Clone, Copy)]
pub(super) struct NoticeContext {
    /// The time of the event.
    pub(super) at: Timestamp,
    /// From where, as far as that is known.
    pub(super) from: Option<IpAddr>,
}

impl Display for NoticeContext {
    /// Such as `2026-01-31 08:00 UTC, from 192.0.2.1`.
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let at: String = self.at.to_string().chars().take(16).collect();
        write!(f, "{} UTC", at.replace('T', " "))?;
        match self.from {
            Some(address) => write!(f, ", from {}", address.to_canonical()),
            None => f.write_str(", from an address that is not known"),
        }
    }
}

/// Notifies the owner of `to` in the transaction that does it; after its commit [`AppState::mail_queued`] is to be
/// called. `what` is a sentence or two.
pub(super) async fn queue_notice(
    state: &AppState,
    tx: &mut Tx,
    to: &str,
    subject: &str,
    what: &str,
    happened: NoticeContext,
) -> ApiResult<()> {
    let url = &state.settings.public_url;
    let text = format!(
        "{what}\n\nIt was done at {url}: {happened}.\n\n\
         If it was not you, choose another password at once (\"forgot password\"), and look at your sessions and API \
         tokens.\n"
    );
    outbox::insert_own(tx, &state.ambient, state.new_mail_status(), to, subject, &text).await?;
    Ok(())
}
