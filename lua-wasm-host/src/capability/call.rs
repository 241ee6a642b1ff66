//! One host calls: what it is, and how it fails.

use std::borrow::Cow;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::StepError;

/// What a call does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum CallKind {
    /// `http.*`
    Http,
    /// `kv.get`
    KvGet,
    /// `kv.list`
    KvList,
    /// `kv.set`
    KvSet,
    /// `kv.delete`
    KvDelete,
    /// `kv.incr`
    KvIncr,
    /// `kv.cas`
    KvCas,
    /// `email.send`
    Email,
    /// Anything on the scratch folder.
    Files,
    /// `files.artifact`
    Artifact,
    /// `sleep`
    Sleep,
}

impl CallKind {
    /// The name that stands in journals and traces.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::KvGet => "kv_get",
            Self::KvList => "kv_list",
            Self::KvSet => "kv_set",
            Self::KvDelete => "kv_delete",
            Self::KvIncr => "kv_incr",
            Self::KvCas => "kv_cas",
            Self::Email => "email",
            Self::Files => "files",
            Self::Artifact => "artifact",
            Self::Sleep => "sleep",
        }
    }

    /// Whether the world outside can notice it: it waits for
    /// [`EffectGate::ready`](crate::EffectGate::ready).
    pub fn effectful(self) -> bool {
        matches!(
            self,
            Self::Http | Self::KvSet | Self::KvDelete | Self::KvIncr | Self::KvCas | Self::Email | Self::Artifact
        )
    }
}

/// One counted call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CallContext {
    /// Which counted call of the run it is, from 1. The same in every repetition that got the same
    /// answers.
    pub number: u32,
    /// What it does.
    pub kind: CallKind,
    /// On what: `GET https://api.example.com/x`, a key, a file name, a recipient.
    pub target: String,
    /// SHA-256 over the request (for http: method, URL and body), for an idempotency key.
    pub digest: [u8; 32],
    /// What the script gave as `idempotency_key`.
    pub idempotency_key: Option<String>,
}

/// A failed call. In Lua a table `{code, message, retryable}` that `pcall` can catch.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{code}: {message}")]
pub struct CallError {
    /// A stable name in snake_case (`http_timeout`, `not_granted`).
    pub code: Cow<'static, str>,
    /// For the script's author.
    pub message: String,
    /// Whether the same call may succeed later.
    pub retryable: bool,
}

impl CallError {
    /// An error that will not go away by itself.
    pub fn new(code: impl Into<Cow<'static, str>>, message: impl Into<String>) -> Self {
        Self { code: code.into(), message: message.into(), retryable: false }
    }

    /// An error that may go away by itself.
    pub fn retryable(code: impl Into<Cow<'static, str>>, message: impl Into<String>) -> Self {
        Self { retryable: true, ..Self::new(code, message) }
    }
}

/// How a capability fails: to the script, or past it.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum CallFailure {
    /// The script sees it and may catch it.
    #[error(transparent)]
    Raise(#[from] CallError),
    /// The sandbox ends at once with this error; the script cannot catch it. For what must not continue: a lost lease,
    /// a secret in a value.
    #[error(transparent)]
    EndStep(Box<StepError>),
}

impl From<StepError> for CallFailure {
    fn from(error: StepError) -> Self {
        Self::EndStep(Box::new(error))
    }
}

/// What a capability answers.
pub type CallResult<T> = Result<T, CallFailure>;

/// A call that came to its end, for the journal.
#[derive(Debug, Clone, PartialEq)]
pub struct CallRecord {
    /// Which call.
    pub call: CallContext,
    /// Its code when it failed.
    pub error: Option<String>,
    /// The HTTP status, if it was a request that got an answer.
    pub http_status: Option<u16>,
    /// Bytes the call carried out.
    pub bytes_out: u64,
    /// Bytes its answer carried in.
    pub bytes_in: u64,
    /// How long it took, the gate included.
    pub took: Duration,
}
