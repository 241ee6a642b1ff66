//! E-mail on its way out: from the outbox to a mail server.
//!
//! Whoever has something to say writes a row in its own transaction (`queued`), and calls
//! [`DomainState::mail_queued`](crate::state::DomainState::mail_queued) after the commit. The [`sender`]
//! takes what is due, by a compare-and-set that is a lease at the same time; [`message`] makes the
//! RFC 5322 text of a row; [`exchange`] speaks with the mail server; [`MailSettings`] are its address; [`quoted()`] is
//! how names stand in texts.
//!
//! An e-mail is sent once, unless a process dies between the mail server's answer and its record:
//! then it is sent again under the same Message-ID, by which a mailbox can tell.

mod exchange;
mod message;
mod quoted;
pub mod sender;

pub use crate::settings::{MailSettings, MailSettingsError};
pub use quoted::quoted;
pub use sender::Mailer;
