//! What a failed statement means: whether its transaction may be done again, and whether the
//! database could serve at all.

use std::{borrow::Cow, io::ErrorKind};

/// A COMMIT got no answer: what it would have made last may have been made, or not.
#[derive(Debug, thiserror::Error)]
#[error("the database went away while it committed: {0}")]
pub(super) struct CommitUnknown(#[source] pub(super) sqlx::Error);

/// Whether a failed transaction has surely changed nothing and may go well when it is done again:
/// a serialisation failure or deadlock, or a connection that was lost before COMMIT was sent.
pub(crate) fn may_repeat(error: &sqlx::Error) -> bool {
    match error {
        sqlx::Error::Database(_) => sqlstate(error).is_some_and(|code| code.starts_with("40") || ended(&code)),
        sqlx::Error::Io(_) | sqlx::Error::WorkerCrashed => true,
        _ => false,
    }
}

/// Whether the database could not serve, as opposed to a statement that it refused. What took too
/// long already is not done again for the same caller.
pub(crate) fn unavailable(error: &sqlx::Error) -> bool {
    let busy = |code: &str| {
        // 25006: a standby takes no writes. 53: disk, memory or connections are used up. 55P03: a row
        // was not had within `lock_timeout`. 57014: `statement_timeout`.
        matches!(code, "25006" | "55P03" | "57014") || code.starts_with("53")
    };
    may_repeat(error)
        || matches!(error, sqlx::Error::PoolTimedOut | sqlx::Error::PoolClosed | sqlx::Error::AnyDriverError(_))
        || sqlstate(error).is_some_and(|code| busy(&code))
}

/// Whether a statement was ended because it took longer than a statement may: less may go.
pub(crate) fn took_too_long(error: &sqlx::Error) -> bool {
    sqlstate(error).is_some_and(|code| code == "57014")
}

/// Whether it was a COMMIT that got no answer.
pub(crate) fn commit_unknown(error: &sqlx::Error) -> bool {
    matches!(error, sqlx::Error::AnyDriverError(cause) if cause.is::<CommitUnknown>())
}

/// Whether a BEGIN failed because of its connection; another connection may do.
pub(super) fn not_begun(error: &sqlx::Error) -> bool {
    match error {
        sqlx::Error::Io(error) => error.kind() != ErrorKind::PermissionDenied,
        sqlx::Error::Database(_) => sqlstate(error).is_some_and(|code| ended(&code)),
        sqlx::Error::Protocol(_) | sqlx::Error::WorkerCrashed | sqlx::Error::BeginFailed => true,
        _ => false,
    }
}

/// What a COMMIT on Postgres failed with: an answer of class 40 or 23 says that nothing was made,
/// anything else says nothing.
pub(super) fn of_commit(error: sqlx::Error) -> sqlx::Error {
    let refused = sqlstate(&error).is_some_and(|code| code.starts_with("40") || code.starts_with("23"));
    if refused { error } else { sqlx::Error::AnyDriverError(Box::new(CommitUnknown(error))) }
}

/// Whether the server ended the connection: 08 it broke, 25P03 it stood still in a transaction,
/// 57P01 to 57P05 the server was shut down, crashed, starts, or cut the connection off.
fn ended(code: &str) -> bool {
    code.starts_with("08") || code.starts_with("57P0") || code == "25P03"
}

/// Postgres's five characters; SQLite's codes are shorter numbers.
fn sqlstate(error: &sqlx::Error) -> Option<Cow<'_, str>> {
    error.as_database_error()?.code().filter(|code| code.len() == 5)
}
