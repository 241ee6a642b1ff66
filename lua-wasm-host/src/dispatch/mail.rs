//! E-mail.

use serde::Deserialize;
use serde_json::json;

use super::http::check_key;
use super::{Answer, CallTime, Dispatcher, parse, require_service};
use crate::{CallError, CallKind, CallResult, Email};

/// Most recipients of one message.
const MAX_RECIPIENTS: usize = 50;

#[derive(Deserialize)]
struct EmailRequest {
    to: Vec<String>,
    subject: String,
    text: String,
    html: Option<String>,
    reply_to: Option<String>,
    idempotency_key: Option<String>,
}

impl Dispatcher {
    pub(super) async fn email(&mut self, head: &[u8]) -> CallResult<Answer> {
        let mail = require_service(self.host_context.grants.email, "email", self.host_context.mail.as_deref())?;
        let request: EmailRequest = parse(head)?;
        if request.to.is_empty() || request.to.len() > MAX_RECIPIENTS {
            return Err(invalid(format!("a message has 1 to {MAX_RECIPIENTS} recipients")));
        }
        for address in request.to.iter().chain(&request.reply_to) {
            if !address.contains('@') || address.len() > 320 || address.chars().any(char::is_control) {
                return Err(invalid(format!("{address:?} is not an address")));
            }
        }
        if request.subject.len() > 998 || request.subject.chars().any(char::is_control) {
            return Err(invalid("a subject is one line of at most 998 bytes"));
        }
        check_key(request.idempotency_key.as_deref())?;
        let call = self.context(CallKind::Email, request.to.join(", "), &[head], request.idempotency_key);
        let email = Email {
            to: request.to,
            subject: request.subject,
            text: request.text,
            html: request.html,
            reply_to: request.reply_to,
        };
        let act = mail.send(&call, email);
        let id = self.perform(&call, CallTime::Stands, head.len(), act, |id| (id.len(), None)).await?;
        Ok(Answer::head(&json!({ "id": id }))?)
    }
}

fn invalid(message: impl Into<String>) -> crate::CallFailure {
    CallError::new("invalid_argument", message).into()
}
