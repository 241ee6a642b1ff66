//! What passes between guest and host. The guest includes this very file.
//!
//! The guest imports one function:
//!
//! ```text
//! restroy.door(op, head, head_len, body, body_len, answer, capacity) -> i64
//! ```
//!
//! `head` is JSON (except where an op says otherwise), `body` raw bytes. An op either answers with
//! the number it returns, or with bytes, and then returns their count: if that is not above
//! `capacity` they lie in `answer`, and otherwise the host keeps them until [`op::TAKE`]. The bytes
//! are: one of [`status`], the length of the answer's head (u32, little-endian), the head (JSON),
//! the body.

#![allow(dead_code, reason = "each side uses its half")]

/// The operations of host calls.
pub(crate) mod op {
    /// Gives the bytes of the last answer that did not fit.
    pub(crate) const TAKE: u32 = 0;
    /// Answers with the invocation: body only, records of [`super::record`].
    pub(crate) const INVOCATION: u32 = 1;
    /// Returns the fuel used so far.
    pub(crate) const FUEL: u32 = 2;
    /// Returns microseconds since 1970.
    pub(crate) const NOW: u32 = 3;
    /// Fills `answer` itself (no status, no head) with `capacity` random bytes.
    pub(crate) const RANDOM: u32 = 4;
    /// `head`: one byte, the level; `body`: text of one or more lines.
    pub(crate) const LOG: u32 = 5;
    /// `head`: `{fraction, message?}`.
    pub(crate) const PROGRESS: u32 = 6;
    /// Ends the sandbox: Lua ran out of memory.
    pub(crate) const OUT_OF_MEMORY: u32 = 7;
    /// `head`: `{zone, seconds}` or `{zone, local: [y,m,d,H,M,S]}`; answers `{offset, name, seconds}`.
    pub(crate) const ZONE: u32 = 8;
    /// The run's result: `body` is its JSON.
    pub(crate) const DONE: u32 = 9;
    /// The run's error: `head`, a [`super::Failure`].
    pub(crate) const FAILED: u32 = 10;

    /// Pays for an exception that is about to be thrown.
    pub(crate) const THROW: u32 = 11;

    /// `head`: the name of a module of the invocation; answers with its text (no status, no head).
    pub(crate) const MODULE: u32 = 12;

    /// From here on calls are counted.
    pub(crate) const COUNTED: u32 = 16;
    /// `{seconds}`.
    pub(crate) const SLEEP: u32 = 16;
    /// `{method, url, headers, timeout?, idempotency_key?, secrets?: [{token, key, form}]}` and body; `{status, headers}`
    /// and body. Each token stands for a secret in the URL's query, a header or the body.
    pub(crate) const HTTP: u32 = 17;
    /// `{to, subject, text, html?, reply_to?, idempotency_key?}`; `{id}`.
    pub(crate) const EMAIL: u32 = 18;
    /// `{key, reference?}`; the value of the secret as body, nothing for a reference.
    pub(crate) const SECRET: u32 = 19;
    /// `{key, algorithm}` and body; the message authentication code as body.
    pub(crate) const SECRET_HMAC: u32 = 20;
    /// `{key}`; `{value}`, absent when there is none. Values are strings that hold a JSON text.
    pub(crate) const KV_GET: u32 = 32;
    /// `{key, value, ttl?}`.
    pub(crate) const KV_SET: u32 = 33;
    /// `{key}`; `{existed}`.
    pub(crate) const KV_DELETE: u32 = 34;
    /// `{key, by, ttl?}`; `{value}`.
    pub(crate) const KV_INCR: u32 = 35;
    /// `{key, expected?, value?, ttl?}`; `{swapped}`.
    pub(crate) const KV_CAS: u32 = 36;
    /// `{prefix, after?, limit}`; `{entries: [{key, value}]}`.
    pub(crate) const KV_LIST: u32 = 37;
    /// `{path, mode}` (`r`, `w`, `a`, `r+`, `w+`, `a+`); `{handle, size}`.
    pub(crate) const FILE_OPEN: u32 = 48;
    /// `{handle}`.
    pub(crate) const FILE_CLOSE: u32 = 49;
    /// `{handle, offset, max}`; body.
    pub(crate) const FILE_READ: u32 = 50;
    /// `{handle, offset?}` (absent: at the end) and body; `{position}`.
    pub(crate) const FILE_WRITE: u32 = 51;
    /// `{path}`; `{existed}`.
    pub(crate) const FILE_REMOVE: u32 = 52;
    /// `{prefix}`; `{files: [{path, size}]}`.
    pub(crate) const FILE_LIST: u32 = 53;
    /// `{path, name, content_type?}`.
    pub(crate) const ARTIFACT: u32 = 54;
    /// `{path}`; `{size}`, absent when there is none.
    pub(crate) const FILE_SIZE: u32 = 55;
    /// `{handle}`; `{size}`.
    pub(crate) const FILE_HANDLE_SIZE: u32 = 56;
}

/// First byte of an answer.
pub(crate) mod status {
    /// The call succeeded.
    pub(crate) const OK: u8 = 0;
    /// The call failed; the head is `{code, message, retryable}`.
    pub(crate) const RAISE: u8 = 1;
}

/// Records of an invocation: tag (u8), name length (u32, little-endian), name, text length (u32),
/// text.
pub(crate) mod record {
    /// The script to run.
    pub(crate) const SCRIPT: u8 = 1;
    /// The expression to evaluate.
    pub(crate) const EXPRESSION: u8 = 2;
    /// The name of something that `require` can load; the text is empty, [`super::op::MODULE`] gives it.
    pub(crate) const MODULE: u8 = 3;
    /// A global variable: its text is JSON.
    pub(crate) const GLOBAL: u8 = 4;
    /// 16 bytes for `math.randomseed`.
    pub(crate) const SEED: u8 = 5;
    /// u64, little-endian: what Lua may allocate.
    pub(crate) const MEMORY: u8 = 6;
    /// A script to compile only.
    pub(crate) const CHECK_SCRIPT: u8 = 7;
    /// An expression to compile only.
    pub(crate) const CHECK_EXPRESSION: u8 = 8;
}

/// How a run failed inside the guest.
#[derive(serde::Serialize, serde::Deserialize)]
pub(crate) struct Failure {
    /// `script_error`, `syntax_error`, `result_not_json` or `input_not_json`.
    pub(crate) kind: String,
    pub(crate) message: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) traceback: Option<String>,
    /// JSON text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) details: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) retryable: Option<bool>,
}
