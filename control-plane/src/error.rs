//! One error type at the edge: whatever goes wrong in a handler becomes a problem document. This is the one place
//! where a failure of the domain gets a problem code, and with it a status.

use std::time::Duration;

use axum::{
    Json,
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use restroy_domain::auth::limit::TooManyAttempts;
use restroy_sdk::problem::{FieldError, LimitHit, MEDIA_TYPE, Problem, ProblemCode};
use restroy_tenant_executor::TenantError;

use crate::{
    DomainError,
    secrets::SecretsError,
    store::{
        DbError, StoreError,
        failure::{self, ReadOnlyReason, is_unique_violation},
    },
};

/// What a handler fails with, whether its request may be done again by us at once, and after how long
/// by the caller.
#[derive(Debug)]
pub struct ApiError(pub Box<Problem>, pub(crate) RetrySafety, Option<Duration>);

/// Whether a request that failed may be done again, at once, by us: its transaction has surely
/// changed nothing, and what was in its way may be gone. Travels with the answer as an extension.
///
/// This rests on a rule: a handler commits at most one transaction that writes what the request asks
/// for, and reads nothing from the database after it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum RetrySafety {
    Never,
    AtOnce,
}

/// What a handler gives.
pub type ApiResult<T> = Result<T, ApiError>;

impl ApiError {
    /// A problem of the given code.
    pub fn new(code: ProblemCode) -> Self {
        Self(Box::new(Problem::new(code)), RetrySafety::Never, None)
    }

    /// A problem of the given code, with what is wrong here.
    pub fn with(code: ProblemCode, detail: impl Into<String>) -> Self {
        Self(Box::new(Problem::new(code).detail(detail)), RetrySafety::Never, None)
    }

    /// A thing that does not exist or belongs to somebody else: the two look the same.
    pub fn not_found() -> Self {
        Self::new(ProblemCode::NotFound)
    }

    /// A request that came between what another did: done again at once, it finds things settled.
    pub(crate) fn conflict() -> Self {
        DomainError::ConcurrentChange.into()
    }

    /// Says after how long it may work (`Retry-After`).
    #[must_use]
    pub(crate) fn retry_after(mut self, wait: Duration) -> Self {
        self.2 = Some(wait);
        self
    }

    /// Its code.
    pub fn code(&self) -> ProblemCode {
        self.0.code
    }
}

impl From<Problem> for ApiError {
    fn from(problem: Problem) -> Self {
        Self(Box::new(problem), RetrySafety::Never, None)
    }
}

impl From<DomainError> for ApiError {
    fn from(error: DomainError) -> Self {
        let code = match error {
            // What the database, a stored document or a key did wrong is for the log.
            DomainError::Database(error) => return database_problem(&error),
            DomainError::Document(error) => {
                tracing::error!(%error, "a stored document cannot be read or written");
                return Self::new(ProblemCode::Internal);
            }
            DomainError::Secrets(error) => {
                tracing::error!(%error, "a secret cannot be sealed or opened");
                return Self::new(ProblemCode::Internal);
            }
            DomainError::Internal(error) => {
                tracing::error!(%error, "a request failed");
                return Self::new(ProblemCode::Internal);
            }
            DomainError::Tenant(error) => return tenant_problem(&error),
            DomainError::NotFound => return Self::not_found(),
            DomainError::ConcurrentChange => {
                let mut again = Self::with(ProblemCode::Unavailable, error.to_string());
                again.1 = RetrySafety::AtOnce;
                return again;
            }
            DomainError::Invalid { detail, errors } => {
                let problem = Problem { detail: detail.map(Into::into), ..Problem::new(ProblemCode::Invalid) };
                return problem.errors(errors).into();
            }
            DomainError::InvalidParams(errors) => {
                return Problem::new(ProblemCode::InvalidParams).errors(errors).into();
            }
            DomainError::TooLarge { detail, limit } => {
                return Problem { limit, ..Problem::new(ProblemCode::TooLarge) }.detail(detail).into();
            }
            DomainError::LimitReached { detail, limit, wait } => {
                let problem = Problem { limit, ..Problem::new(ProblemCode::QuotaExceeded) }.detail(detail);
                return Self(Box::new(problem), RetrySafety::Never, wait);
            }
            DomainError::TooManyAttempts { detail, wait } => {
                let problem = Problem::new(ProblemCode::RateLimited).detail(detail);
                return Self(Box::new(problem), RetrySafety::Never, wait);
            }
            DomainError::Unauthenticated(_) => ProblemCode::Unauthorized,
            DomainError::Forbidden(_) => ProblemCode::Forbidden,
            DomainError::Conflict(_) => ProblemCode::Conflict,
            DomainError::KeyReused(_) => ProblemCode::IdempotencyMismatch,
            DomainError::NoSlot(_) => ProblemCode::SlotsExhausted,
            DomainError::LeaseLost => ProblemCode::LeaseLost,
            DomainError::RunEnded => ProblemCode::RunEnded,
            DomainError::NotClaimable => ProblemCode::NotClaimable,
            DomainError::Overloaded(_) => ProblemCode::Unavailable,
        };
        // Of these the message is the detail.
        Self::with(code, error.to_string())
    }
}

/// Failures that a handler passes on with `?`, by way of the domain's error.
macro_rules! from_domain {
    ($($failure:ty),* $(,)?) => {$(
        impl From<$failure> for ApiError {
            fn from(error: $failure) -> Self {
                DomainError::from(error).into()
            }
        }
    )*};
}

from_domain!(TooManyAttempts, DbError, TenantError, serde_json::Error, StoreError, SecretsError);

/// What a failed statement answers: 503 where it may go well later, 507 when the disk is full, or 500.
fn database_problem(error: &DbError) -> ApiError {
    if failure::is_retryable(error) {
        tracing::info!(%error, "a transaction failed and can be retried");
        let mut unavailable =
            ApiError::with(ProblemCode::Unavailable, "The database is busy or restarting. Try again.");
        unavailable.1 = RetrySafety::AtOnce;
        unavailable
    } else if failure::is_commit_unknown(error) {
        tracing::warn!(%error, "the outcome of a transaction is not known");
        ApiError::with(
            ProblemCode::Unavailable,
            "The database connection failed during the commit. Whether the request took effect is unknown: retry \
             it with an `Idempotency-Key`.",
        )
    } else if let Some(unwritable) = ReadOnlyReason::from_error(error) {
        tracing::error!(%error, "the database takes no writes: {}", unwritable.reason());
        let code = match unwritable {
            ReadOnlyReason::DiskFull => ProblemCode::InsufficientStorage,
            ReadOnlyReason::ReadOnly | ReadOnlyReason::Io | ReadOnlyReason::OutOfMemory => ProblemCode::Unavailable,
        };
        let detail =
            format!("Nothing was changed: {}. The operator of this installation has to fix it.", unwritable.reason());
        ApiError::with(code, detail)
    } else if failure::is_unavailable(error) {
        tracing::warn!(%error, "the database cannot serve");
        ApiError::with(
            ProblemCode::Unavailable,
            "The database is busy or unavailable, and the request changed nothing. Try again.",
        )
    } else {
        tracing::error!(%error, "a query failed");
        ApiError::new(ProblemCode::Internal)
    }
}

/// What a request answers that got no turn on the threads for expensive work: 429 when too much of the team's work
/// waits, 503 when a turn does not come in time.
fn tenant_problem(error: &TenantError) -> ApiError {
    match error {
        TenantError::TeamQueueFull(most) => {
            let detail = format!(
                "{most} requests of this team wait for a processor already (checks of definitions and parameters, \
                 comparisons): send the next when one is answered."
            );
            let value = i64::try_from(*most).unwrap_or(i64::MAX);
            let limit = LimitHit { name: "tenant_work_waiting".into(), value, free_at: None };
            let problem = Problem::new(ProblemCode::RateLimited).detail(detail).limit(limit);
            ApiError::from(problem).retry_after(Duration::from_secs(1))
        }
        TenantError::QueueFull | TenantError::Timeout => ApiError::with(
            ProblemCode::Unavailable,
            "Too many requests wait for a processor (checks of definitions and parameters, comparisons). Try again shortly.",
        ),
        TenantError::Failed => ApiError::new(ProblemCode::Internal),
    }
}

impl IntoResponse for ApiError {
    /// The layer around the router ([`crate::api::http`]) takes the problem from the extensions and
    /// adds the request's id; without that layer the body is whole as well.
    fn into_response(self) -> Response {
        let status = StatusCode::from_u16(self.0.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let mut response = (status, Json(&self.0)).into_response();
        response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(MEDIA_TYPE));
        if let Some(wait) = self.2 {
            response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(whole_seconds(wait)));
        }
        response.extensions_mut().insert(*self.0);
        response.extensions_mut().insert(self.1);
        response
    }
}

/// So many seconds that the time has surely passed.
pub(crate) fn whole_seconds(span: Duration) -> u64 {
    span.as_secs() + u64::from(span.subsec_nanos() > 0)
}

/// A unique violation means that the name is taken; anything else is what it is.
pub fn name_taken(error: DbError, by: &str, name: &str) -> ApiError {
    if !is_unique_violation(&error) {
        return error.into();
    }
    let problem = Problem::new(ProblemCode::NameTaken).detail(format!("`{name}` is the name of {by}; choose another."));
    problem.errors(vec![FieldError::new("/name", "taken")]).into()
}
