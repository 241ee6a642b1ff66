//! Host calls that the control-plane carries out.

use restroy_sdk::event::StepRef;
use serde::{Deserialize, Serialize};

/// `POST /run/v1/tasks/{id}/calls`: a host call that the control-plane carries out.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Call {
    /// Who calls.
    pub step: StepRef,
    /// Counts the calls of the attempt, from 1.
    pub call_number: u64,
    /// The idempotency key: an effect under a key that was seen before is not done again, and gets
    /// the stored answer.
    pub key: String,
    /// What to do.
    pub call: CallKind,
}

/// A host call that the control-plane carries out.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(tag = "method", rename_all = "snake_case")]
pub enum CallKind {
    /// Answers `{value, version}` or null. Not an effect: not journaled.
    KvGet {
        /// 1 to 512 bytes.
        key: String,
    },
    /// Answers `{items: [{key, value, version}]}`, by key. Not an effect.
    KvList {
        /// Keys that start with it.
        prefix: String,
        /// Keys after it.
        after: Option<String>,
        /// 1 to 1,000.
        limit: u32,
    },
    /// Answers `{version}`.
    KvSet {
        /// 1 to 512 bytes.
        key: String,
        /// Up to 64 KiB of JSON.
        value: serde_json::Value,
        /// Milliseconds until it goes away.
        ttl_ms: Option<u64>,
    },
    /// Answers `{deleted: bool}`.
    KvDelete {
        /// 1 to 512 bytes.
        key: String,
    },
    /// Adds to an integer (0 when absent; another value is refused with `kv_not_an_integer`);
    /// answers `{value, version}`.
    KvIncr {
        /// 1 to 512 bytes.
        key: String,
        /// What to add.
        by: i64,
        /// Milliseconds until it goes away; counts only when this call makes the key.
        #[serde(default)]
        ttl_ms: Option<u64>,
    },
    /// Writes when what is there equals `expected`; answers `{swapped}`.
    KvCas {
        /// 1 to 512 bytes.
        key: String,
        /// What must be there; the field's absence: nothing. (`null` is a value.)
        #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "present")]
        expected: Option<serde_json::Value>,
        /// Up to 64 KiB of JSON; the field's absence removes the key.
        #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "present")]
        value: Option<serde_json::Value>,
        /// Milliseconds until it goes away.
        ttl_ms: Option<u64>,
    },
    /// Puts an e-mail into the outbox; answers `{message_id}`.
    EmailSend {
        /// 1 to 50 addresses.
        to: Vec<String>,
        /// Up to 998 bytes, one line.
        subject: String,
        /// The plain text.
        text: String,
        /// The HTML alternative.
        html: Option<String>,
        /// Where answers go, if not to the sender.
        #[serde(default)]
        reply_to: Option<String>,
    },
    /// Records the answer to an HTTP request; answers null.
    HttpAnswered {
        /// The digest of the request, of the executor's own making.
        request: String,
        /// The answer, unless it is longer than [`MAX_HTTP_ANSWER`].
        answer: Option<HttpAnswer>,
    },
    /// Asks for the answer that [`CallKind::HttpAnswered`] recorded under the same key and digest. Answers an
    /// [`HttpAnswer`], or null where none is stored. Not an effect.
    HttpRecall {
        /// The digest of the request.
        request: String,
    },
}

/// The longest answer to an HTTP request that is stored: bytes of its headers and its body.
pub const MAX_HTTP_ANSWER: usize = 64 * 1024;

/// The answer to an HTTP request, as it is stored.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HttpAnswer {
    /// The status code.
    pub status: u16,
    /// As received; a name may repeat.
    pub headers: Vec<(String, String)>,
    /// The body, decompressed, in Base64 (RFC 4648, section 4).
    pub body: String,
}

impl HttpAnswer {
    /// Whether it may be stored: at most [`MAX_HTTP_ANSWER`] bytes, Base64 not counted.
    pub fn fits(&self) -> bool {
        let headers: usize = self.headers.iter().map(|(name, value)| name.len() + value.len()).sum();
        headers + self.body.len() / 4 * 3 <= MAX_HTTP_ANSWER + 3
    }
}

/// Keeps a `null` that is there apart from a field that is not.
fn present<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Option<serde_json::Value>, D::Error> {
    serde_json::Value::deserialize(deserializer).map(Some)
}

/// The answer to a call.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CallAnswer {
    /// It was done, now or before.
    Ok(serde_json::Value),
    /// It was refused: raised in the script as a table that `pcall` can catch.
    Refused(CallError),
}

/// Why a call was refused.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct CallError {
    /// A stable code, such as `kv_value_limit`.
    pub code: String,
    /// For people.
    pub message: String,
    /// Whether trying again may help.
    pub retryable: bool,
}
