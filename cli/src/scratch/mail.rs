//! E-mail that goes nowhere but the screen.

use async_trait::async_trait;
use lua_wasm_host::{CallContext, CallResult, Email, Mail};
use restroy_sdk::time::Ambient;

use crate::style::{Paint, clean, clean_lines};

/// Shows e-mails in place of sending them.
pub(crate) struct MemoryMail {
    /// For the message's id.
    pub(crate) ambient: Ambient,
    /// How to colour.
    pub(crate) paint: Paint,
}

#[async_trait]
impl Mail for MemoryMail {
    async fn send(&self, _: &CallContext, email: Email) -> CallResult<String> {
        let head = format!("e-mail to {} (not sent): {}", clean(&email.to.join(", ")), clean(&email.subject));
        eprintln!("{}\n{}", self.paint.cyan(&head), clean_lines(&email.text));
        Ok(format!("<{}@localhost>", self.ambient.uuid()))
    }
}
