//! What can go wrong between a client and an installation.

use std::{error::Error as _, io};

use url::Url;

use restroy_sdk::problem::Problem;

/// Why a request gave nothing.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The installation refused it and says why.
    #[error(transparent)]
    Problem(#[from] Box<Problem>),
    /// The installation could not be reached, or the connection broke.
    #[error("cannot reach {address}: {reason}; check the address and that the server runs")]
    Unreachable {
        /// The address that was tried.
        address: String,
        /// What happened.
        reason: String,
        /// Whether the server may have taken the request before the connection broke.
        sent: bool,
    },
    /// Something answered that is not this API.
    #[error("{address} answered with something that is not Restroy's API: {reason}; check the address")]
    Answer {
        /// The address that answered.
        address: String,
        /// What is wrong with the answer.
        reason: String,
    },
    /// The request needs an account and nobody is signed in, or the session ended.
    #[error("not signed in at {address}; sign in first")]
    SignedOut {
        /// The installation.
        address: String,
    },
    /// The API token was refused.
    #[error("the API token for {address} is invalid, expired or revoked; create another")]
    ApiToken {
        /// The installation.
        address: String,
    },
    /// The text is not the address of an installation.
    #[error("`{text}` is not the address of an installation: {reason}; write it such as http://127.0.0.1:8080")]
    Address {
        /// What was given.
        text: String,
        /// What is wrong with it.
        reason: String,
    },
    /// The machine's certificates or TLS settings cannot be used.
    #[error("cannot set up TLS: {0}")]
    Tls(String),
    /// The tokens cannot be read or kept.
    #[error("cannot use the stored session: {0}")]
    Store(#[from] io::Error),
}

/// What a request gives.
pub type Result<T, E = Error> = std::result::Result<T, E>;

impl Error {
    /// The installation's own words, if it spoke.
    pub fn problem(&self) -> Option<&Problem> {
        match self {
            Self::Problem(problem) => Some(problem),
            _ => None,
        }
    }

    /// Whether the same request may succeed a little later.
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Unreachable { .. } => true,
            Self::Problem(problem) => matches!(problem.status, 429 | 502..=504),
            Self::Answer { .. }
            | Self::SignedOut { .. }
            | Self::ApiToken { .. }
            | Self::Address { .. }
            | Self::Tls(_)
            | Self::Store(_) => false,
        }
    }

    pub(super) fn unreachable(base: &Url, error: &reqwest::Error) -> Self {
        // The innermost cause says it best: "connection refused", "certificate has expired".
        let mut reason = error.to_string();
        let mut source = error.source();
        while let Some(inner) = source {
            reason = inner.to_string();
            source = inner.source();
        }
        if error.is_timeout() {
            reason = String::from("no answer in time");
        }
        Self::Unreachable { address: base.to_string(), reason, sent: !error.is_connect() }
    }

    pub(super) fn answer(base: &Url, reason: impl Into<String>) -> Self {
        Self::Answer { address: base.to_string(), reason: reason.into() }
    }
}
