//! Errors of the API: `application/problem+json` (RFC 9457) with a stable code.

use std::fmt::{self, Write as _};

use serde::{Deserialize, Serialize};

use crate::time::Timestamp;

/// The media type of a problem.
pub const MEDIA_TYPE: &str = "application/problem+json";

macro_rules! codes {
    ($($(#[$doc:meta])* $variant:ident = $text:literal $status:literal $title:literal;)*) => {
        /// The stable codes of the API's errors.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
        #[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
        #[serde(rename_all = "snake_case")]
        pub enum ProblemCode {
            $($(#[$doc])* $variant,)*
            /// A code that this client does not know.
            #[serde(other)]
            Unknown,
        }

        impl ProblemCode {
            /// Every code that the API gives.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)*];

            /// The name in JSON.
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $text,)* Self::Unknown => "unknown" }
            }

            /// The HTTP status that goes with it.
            pub fn status(self) -> u16 {
                match self { $(Self::$variant => $status,)* Self::Unknown => 500 }
            }

            /// What it means, in a few words.
            pub fn title(self) -> &'static str {
                match self { $(Self::$variant => $title,)* Self::Unknown => "Unknown error" }
            }
        }
    };
}

codes! {
    /// The request is not of the form that the route takes.
    BadRequest = "bad_request" 400 "The request cannot be read";
    /// No valid credentials came with the request.
    Unauthorized = "unauthorized" 401 "Sign in first";
    /// The e-mail address and password do not belong together, or nobody has verified the address.
    InvalidCredentials = "invalid_credentials" 401 "Wrong e-mail address or password";
    /// The password is right; the account has a second factor: continue with `challenge` and a code.
    SecondFactorRequired = "second_factor_required" 401 "A second factor is required";
    /// The caller's role does not allow it.
    Forbidden = "forbidden" 403 "Your role does not allow this";
    /// No such thing, or not the caller's.
    NotFound = "not_found" 404 "Not found";
    /// Method not allowed.
    MethodNotAllowed = "method_not_allowed" 405 "Method not allowed";
    /// The thing is not in a state that allows it.
    Conflict = "conflict" 409 "Conflicts with the current state";
    /// The name is taken.
    NameTaken = "name_taken" 409 "The name is taken";
    /// A request with the same idempotency key is being worked on.
    IdempotencyInFlight = "idempotency_in_flight" 409 "The same request is in progress";
    /// The fence is not the task's: the lease was lost.
    LeaseLost = "lease_lost" 409 "The lease was lost";
    /// The run of the task has ended: nothing of it is left to do.
    RunEnded = "run_ended" 409 "The run has ended";
    /// The task is not there to be claimed.
    NotClaimable = "not_claimable" 409 "The task cannot be claimed";
    /// `If-Match` does not name the present version.
    VersionMismatch = "version_mismatch" 412 "The resource was changed meanwhile";
    /// The body is larger than the route takes.
    TooLarge = "too_large" 413 "The request is too large";
    /// The body's media type is not JSON.
    UnsupportedMediaType = "unsupported_media_type" 415 "Send application/json";
    /// A field of the body is wrong; `errors` says which.
    Invalid = "invalid" 422 "The request has invalid fields";
    /// The pipeline document is wrong; `errors` says where.
    InvalidDefinition = "invalid_definition" 422 "The pipeline definition is invalid";
    /// The run's parameters do not match their schema; `errors` says where.
    InvalidParams = "invalid_params" 422 "The parameters do not match the pipeline's schema";
    /// The idempotency key came before with another body.
    IdempotencyMismatch = "idempotency_mismatch" 422 "The idempotency key was used for another request";
    /// `If-Match` is required here.
    PreconditionRequired = "precondition_required" 428 "Send If-Match";
    /// Too many requests, or a quota is used up.
    RateLimited = "rate_limited" 429 "Too many requests";
    /// The account or the network address has too many requests under way.
    TooManyConcurrentRequests = "too_many_concurrent_requests" 429 "Too many requests at once";
    /// A limit of the team was reached.
    QuotaExceeded = "quota_exceeded" 429 "A limit of the team was reached";
    /// The executor holds as many tasks as its operator lets it.
    SlotsExhausted = "slots_exhausted" 429 "The executor has no slot free";
    /// Our error.
    Internal = "internal" 500 "Internal server error";
    /// Something we need is not there; try again.
    Unavailable = "unavailable" 503 "Temporarily unavailable";
    /// The installation's disk is full; its operator has to see to it.
    InsufficientStorage = "insufficient_storage" 507 "No space is left";
}

impl fmt::Display for ProblemCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A problem document.
#[derive(Debug, Clone, Serialize, Deserialize, thiserror::Error)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[error("{}", self.summary())]
pub struct Problem {
    /// A URI that names the kind of problem; relative to the installation.
    #[serde(rename = "type")]
    pub kind: String,
    /// What the code means, in a few words.
    pub title: String,
    /// The HTTP status.
    pub status: u16,
    /// What is wrong here, and what to do about it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
    /// The stable code.
    pub code: ProblemCode,
    /// The places in the body that are wrong.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub errors: Vec<FieldError>,
    /// The limit that was reached.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit: Option<LimitHit>,
    /// With `second_factor_required`: what `POST /v1/auth/login/second-factor` takes together with a code.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub challenge: Option<String>,
    /// The request's id, to be quoted when asking for help.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request_id: Option<String>,
}

/// A limit of the team that was reached.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct LimitHit {
    /// Its name, such as `fuel_per_day`.
    pub name: String,
    /// Its effective value.
    pub value: i64,
    /// When some of it is free again, where time alone frees it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub free_at: Option<Timestamp>,
}

/// An invalid field of a request's body.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct FieldError {
    /// Where: a JSON pointer (RFC 6901) into the body; for a pipeline, into the document, or
    /// `/files/<path>` for a file (the path escaped as a part of a pointer: `/files/scripts~1a.lua`).
    pub pointer: String,
    /// What is wrong, and what would be right.
    pub detail: String,
    /// For a script or a YAML text: the line, from 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub line: Option<u32>,
    /// The column, from 1: bytes in a script, characters in a YAML text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub column: Option<u32>,
}

impl FieldError {
    /// An error at a pointer.
    pub fn new(pointer: impl Into<String>, detail: impl Into<String>) -> Self {
        Self { pointer: pointer.into(), detail: detail.into(), line: None, column: None }
    }
}

impl Problem {
    /// A problem of the given code.
    pub fn new(code: ProblemCode) -> Self {
        Self {
            kind: format!("/problems/{code}"),
            title: code.title().into(),
            status: code.status(),
            detail: None,
            code,
            errors: Vec::new(),
            limit: None,
            challenge: None,
            request_id: None,
        }
    }

    /// With what is wrong here.
    #[must_use]
    pub fn detail(mut self, detail: impl Into<String>) -> Self {
        self.detail = Some(detail.into());
        self
    }

    /// With the places that are wrong.
    #[must_use]
    pub fn errors(mut self, errors: Vec<FieldError>) -> Self {
        self.errors = errors;
        self
    }

    /// With the limit that was reached.
    #[must_use]
    pub fn limit(mut self, limit: LimitHit) -> Self {
        self.limit = Some(limit);
        self
    }

    fn summary(&self) -> String {
        let mut text = self.title.clone();
        if let Some(detail) = &self.detail {
            text.push_str(": ");
            text.push_str(detail);
        }
        for fault in &self.errors {
            text.push_str("\n  ");
            text.push_str(if fault.pointer.is_empty() { "/" } else { &fault.pointer });
            if let Some(line) = fault.line {
                let _ = write!(text, ":{line}");
                if let Some(column) = fault.column {
                    let _ = write!(text, ":{column}");
                }
            }
            text.push_str(": ");
            text.push_str(&fault.detail);
        }
        text
    }
}
