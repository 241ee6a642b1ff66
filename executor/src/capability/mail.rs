//! E-mail: into the control-plane's outbox.

use async_trait::async_trait;
use lua_wasm_host::{CallContext, CallResult, Email, Mail};
use restroy_run_queue::run_api::CallKind;
use serde::Deserialize;

use super::attempt::AttemptContext;
use crate::mask::{Budget, Masker};

#[derive(Deserialize)]
struct SendAnswer {
    message_id: String,
}

#[async_trait]
impl Mail for AttemptContext {
    async fn send(&self, call: &CallContext, email: Email) -> CallResult<String> {
        let find = |email: &Email, masker: &Masker, budget: &Budget| {
            parts(email).any(|part| masker.contains_secret(part.as_bytes(), budget))
        };
        let bytes = parts(&email).map(String::len).sum();
        let email = self.refuse_secrets("an e-mail", bytes, email, find).await?;
        let Email { to, subject, text, html, reply_to, .. } = email;
        let sent: SendAnswer = self.call(call, CallKind::EmailSend { to, subject, text, html, reply_to }).await?;
        Ok(sent.message_id)
    }
}

fn parts(email: &Email) -> impl Iterator<Item = &String> {
    email.to.iter().chain([&email.subject, &email.text]).chain(&email.html).chain(&email.reply_to)
}
