//! What a call answers, as the guest reads it.

use serde::Serialize;

use crate::wire::status;
use crate::{CallError, ErrorCode, StepError};

/// An answer: a status, a head (JSON, may be empty) and a body.
pub(crate) struct Answer {
    status: u8,
    head: Vec<u8>,
    body: Vec<u8>,
}

impl Answer {
    /// Where the body begins in the bytes of an answer without a head.
    pub(crate) const BODY: usize = 5;

    /// Success, nothing to say.
    pub(crate) fn empty() -> Self {
        Self { status: status::OK, head: Vec::new(), body: Vec::new() }
    }

    /// Success with a head.
    pub(crate) fn head(head: &impl Serialize) -> Result<Self, StepError> {
        Self::with_body(head, Vec::new())
    }

    /// Success with a head and a body.
    pub(crate) fn with_body(head: &impl Serialize, body: Vec<u8>) -> Result<Self, StepError> {
        let head =
            serde_json::to_vec(head).map_err(|_| StepError::new(ErrorCode::Internal, "an answer has no JSON form"))?;
        Ok(Self { status: status::OK, head, body })
    }

    /// Success with a body alone.
    pub(crate) fn body(body: Vec<u8>) -> Self {
        Self { status: status::OK, head: Vec::new(), body }
    }

    /// A failure that the script sees.
    pub(crate) fn raise(error: &CallError) -> Self {
        let head = serde_json::json!({
            "code": error.code,
            "message": error.message,
            "retryable": error.retryable,
        });
        Self { status: status::RAISE, head: head.to_string().into_bytes(), body: Vec::new() }
    }

    /// The failure of a call that carries more than it may.
    pub(crate) fn too_large(carried: u64, limit: u64) -> Self {
        Self::raise(&CallError::new(
            "host_call_bytes_limit",
            format!("the call carries {carried} bytes (limit: {})", crate::outcome::bytes(limit)),
        ))
    }

    /// The bytes the guest reads.
    pub(crate) fn into_bytes(self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(5 + self.head.len() + self.body.len());
        bytes.push(self.status);
        bytes.extend_from_slice(&u32::try_from(self.head.len()).unwrap_or(u32::MAX).to_le_bytes());
        bytes.extend_from_slice(&self.head);
        bytes.extend_from_slice(&self.body);
        bytes
    }
}
