//! E-mail.

use async_trait::async_trait;

use super::{CallContext, CallResult};

/// Sends e-mail from the installation's own address.
#[async_trait]
pub trait Mail: Send + Sync {
    /// Accepts one message for delivery and gives its message id.
    async fn send(&self, call: &CallContext, email: Email) -> CallResult<String>;
}

/// A message. Every field is free of control characters where a header could be injected.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Email {
    /// 1 to 50 addresses, not checked beyond that they hold an `@` and no line break.
    pub to: Vec<String>,
    /// One line.
    pub subject: String,
    /// Plain text.
    pub text: String,
    /// An HTML alternative.
    pub html: Option<String>,
    /// Where answers go.
    pub reply_to: Option<String>,
}
