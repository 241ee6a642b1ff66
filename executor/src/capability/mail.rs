//! E-mail: into the control-plane's outbox.

use async_trait::async_trait;
use lua_wasm_host::{CallContext, CallResult, Email, Mail};
use restroy_run_queue::run_api::CallKind;
use serde::Deserialize;

use super::attempt::{Attempting, refuse_secrets};

#[derive(Deserialize)]
struct Sent {
    message_id: String,
}

#[async_trait]
impl Mail for Attempting {
    async fn send(&self, call: &CallContext, email: Email) -> CallResult<String> {
        let masker = &self.task.masker;
        let parts = email.to.iter().chain([&email.subject, &email.text]).chain(&email.html).chain(&email.reply_to);
        refuse_secrets("an e-mail", parts.map(String::as_bytes).any(|part| masker.finds(part)))?;
        let Email { to, subject, text, html, reply_to, .. } = email;
        let sent: Sent = self.call(call, CallKind::EmailSend { to, subject, text, html, reply_to }).await?;
        Ok(sent.message_id)
    }
}
