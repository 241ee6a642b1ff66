//! Why the domain refuses, or fails to do, what it is asked: by kind of failure, without status codes.

use std::{borrow::Cow, fmt, time::Duration};

use restroy_sdk::{
    problem::{FieldError, LimitHit},
    time::Timestamp,
};
use restroy_store::{
    StoreError, failure, quota::Limit, secrets::SecretsError, storage::StorageUsage, usage::LimitExceeded,
};
use restroy_tenant_executor::TenantError;

/// What a rule gives.
pub type DomainResult<T> = Result<T, DomainError>;

/// A text of an error: usually fixed.
type Text = Cow<'static, str>;

/// Why the domain does not do what it is asked. Unless a variant says otherwise, nothing was changed.
#[derive(Debug, thiserror::Error)]
pub enum DomainError {
    /// It does not exist or belongs to somebody else: the two look the same.
    #[error("not found")]
    NotFound,
    /// The credentials are missing, expired or revoked.
    #[error("{0}")]
    Unauthenticated(Text),
    /// The caller's role or token does not allow it.
    #[error("{0}")]
    Forbidden(Text),
    /// Its state does not allow it.
    #[error("{0}")]
    Conflict(Text),
    /// Another transaction changed what this one was built on. Repeated at once, it finds things settled.
    #[error("Somebody changed this concurrently. Try again.")]
    ConcurrentChange,
    /// Fields of the request are wrong.
    #[error("{}", Fields(.detail.as_deref(), .errors))]
    Invalid {
        /// What follows from it, if that needs saying.
        detail: Option<Text>,
        /// The fields.
        errors: Vec<FieldError>,
    },
    /// A run's parameters do not match the pipeline's schema.
    #[error("{}", Fields(None, .0))]
    InvalidParams(Vec<FieldError>),
    /// It is larger than it may be.
    #[error("{detail}")]
    TooLarge {
        /// What is too large, and what would do.
        detail: Text,
        /// The limit, where it has a name.
        limit: Option<LimitHit>,
    },
    /// An idempotency key stands for another request already.
    #[error("{0}")]
    KeyReused(Text),
    /// A limit of the team, or of the installation, is reached.
    #[error("{detail}")]
    LimitReached {
        /// Which limit, and what to do.
        detail: Text,
        /// The limit, where it has a name.
        limit: Option<LimitHit>,
        /// After how long some of it is free again, where time alone frees it.
        wait: Option<Duration>,
    },
    /// Too many attempts in too little time.
    #[error("{detail}")]
    TooManyAttempts {
        /// How many are allowed.
        detail: Text,
        /// After how long the next one is allowed, where that is known.
        wait: Option<Duration>,
    },
    /// The executor holds as many tasks as it may.
    #[error("{0}")]
    NoSlot(Text),
    /// The fence is not the task's.
    #[error("The task is leased to another executor: stop working on it and drop what was not reported.")]
    LeaseLost,
    /// The task's run has ended.
    #[error("The task's run has ended: stop working on it, drop what was not reported and remove its files.")]
    RunEnded,
    /// The task is not there to be claimed.
    #[error("The task is leased to another executor, done, or not admitted: acknowledge the message and continue.")]
    NotClaimable,
    /// Too much is in front of it.
    #[error("{0}")]
    Overloaded(Text),
    /// The database refuses or is not there. After a failed commit, the change may have been made; see
    /// [`failure::is_commit_unknown`].
    #[error(transparent)]
    Database(#[from] sqlx::Error),
    /// A stored document cannot be read or written.
    #[error("a stored document cannot be read or written: {0}")]
    Document(#[from] serde_json::Error),
    /// A secret cannot be sealed or opened.
    #[error(transparent)]
    Secrets(#[from] SecretsError),
    /// The threads for expensive work of teams did not do it.
    #[error(transparent)]
    Tenant(#[from] TenantError),
    /// A fault of ours.
    #[error("{0}")]
    Internal(Text),
}

impl DomainError {
    /// The caller's role or token does not allow it.
    pub fn forbidden(detail: impl Into<Text>) -> Self {
        Self::Forbidden(detail.into())
    }

    /// Its state does not allow it.
    pub fn conflict(detail: impl Into<Text>) -> Self {
        Self::Conflict(detail.into())
    }

    /// One field of the request is wrong.
    pub fn invalid_field(pointer: impl Into<String>, detail: impl Into<String>) -> Self {
        Self::Invalid { detail: None, errors: vec![FieldError::new(pointer, detail)] }
    }

    /// A limit without a name in the plan is reached.
    pub fn limit_reached(detail: impl Into<Text>) -> Self {
        Self::LimitReached { detail: detail.into(), limit: None, wait: None }
    }

    /// A limit is reached that time alone does not free.
    pub fn named_limit_reached(name: &str, value: i64, detail: impl Into<Text>) -> Self {
        let limit = LimitHit { name: name.into(), value, free_at: None };
        Self::LimitReached { detail: detail.into(), limit: Some(limit), wait: None }
    }

    /// A limit of the team by the hour or the day is used up.
    pub fn exceeded(exceeded: &LimitExceeded, now: Timestamp) -> Self {
        let free_at = Some(exceeded.free_at);
        Self::LimitReached {
            detail: exceeded.message().into(),
            limit: Some(LimitHit { name: exceeded.limit.name().into(), value: exceeded.value, free_at }),
            wait: Some(exceeded.free_at.since(now)),
        }
    }

    /// The team stores more than it may.
    pub fn storage_full(stored: StorageUsage) -> Self {
        Self::named_limit_reached(Limit::StorageBytes.name(), stored.limit, stored.message())
    }

    /// Whether it may go well a moment later, although nothing about the request changes: the database or another
    /// part of ours was busy or away, or somebody else came between.
    pub fn is_temporary(&self) -> bool {
        match self {
            Self::ConcurrentChange | Self::Overloaded(_) => true,
            Self::Database(error) => failure::is_temporary(error),
            Self::Tenant(error) => matches!(error, TenantError::QueueFull | TenantError::Timeout),
            _ => false,
        }
    }
}

impl From<StoreError> for DomainError {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Sql(error) => Self::Database(error),
            StoreError::Json(error) => Self::Document(error),
            StoreError::Secrets(error) => Self::Secrets(error),
        }
    }
}

/// Wrong fields, for people.
struct Fields<'a>(Option<&'a str>, &'a [FieldError]);

impl fmt::Display for Fields<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0.unwrap_or("invalid fields"))?;
        for error in self.1 {
            write!(f, "\n  {}: {}", if error.pointer.is_empty() { "/" } else { &error.pointer }, error.detail)?;
        }
        Ok(())
    }
}
