//! What a failed statement means: whether its transaction may be done again, and whether the
//! database could serve at all.

use std::{borrow::Cow, io::ErrorKind};

/// A COMMIT got no answer: what it would have made last may have been made, or not.
#[derive(Debug, thiserror::Error)]
#[error("the database went away while it committed: {0}")]
pub(super) struct CommitUnknown(#[source] pub(super) sqlx::Error);

/// Whether a failed transaction has surely changed nothing and may go well when it is done again:
/// a serialisation failure or deadlock, or a connection that was lost before COMMIT was sent.
pub fn is_retryable(error: &sqlx::Error) -> bool {
    match error {
        sqlx::Error::Database(_) => {
            sqlstate(error).is_some_and(|code| code.starts_with("40") || is_connection_ended(&code))
        }
        sqlx::Error::Io(_) | sqlx::Error::WorkerCrashed => true,
        _ => false,
    }
}

/// Why a database takes no writes that should take them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReadOnlyReason {
    /// Its disk is full.
    DiskFull,
    /// It is read-only, or in recovery.
    ReadOnly,
    /// Its files cannot be read or written.
    Io,
    /// It is out of memory.
    OutOfMemory,
}

impl ReadOnlyReason {
    /// What a failed statement says of it, if anything.
    pub fn from_error(error: &sqlx::Error) -> Option<Self> {
        if let Some(code) = sqlstate(error) {
            // 25006: read-only transaction. 53100: disk full. 53200: out of memory. 58030: I/O error.
            return match &*code {
                "25006" => Some(Self::ReadOnly),
                "53100" => Some(Self::DiskFull),
                "53200" => Some(Self::OutOfMemory),
                "58030" => Some(Self::Io),
                _ => None,
            };
        }
        // https://sqlite.org/rescode.html
        match sqlite_code(error)? {
            7 => Some(Self::OutOfMemory),
            8 => Some(Self::ReadOnly),
            10 | 14 => Some(Self::Io),
            13 => Some(Self::DiskFull),
            _ => None,
        }
    }

    /// What is wrong, as part of a sentence.
    pub fn reason(self) -> &'static str {
        match self {
            Self::DiskFull => "the database's disk is full",
            Self::ReadOnly => "the database is read-only",
            Self::Io => "the database's files cannot be read or written",
            Self::OutOfMemory => "the database is out of memory",
        }
    }
}

/// Whether the database could not serve, as opposed to a statement that it refused. What took too
/// long already is not done again for the same caller.
pub fn is_unavailable(error: &sqlx::Error) -> bool {
    let busy = |code: &str| {
        // 25006: a standby takes no writes. 53: disk, memory or connections are used up. 55P03: a row
        // was not had within `lock_timeout`. 57014: `statement_timeout`.
        matches!(code, "25006" | "55P03" | "57014") || code.starts_with("53")
    };
    is_retryable(error)
        || matches!(error, sqlx::Error::PoolTimedOut | sqlx::Error::PoolClosed | sqlx::Error::AnyDriverError(_))
        || sqlstate(error).is_some_and(|code| busy(&code))
        // Another process holds SQLite's lock.
        || matches!(sqlite_code(error), Some(5 | 6))
        || ReadOnlyReason::from_error(error).is_some()
}

/// Whether the same may go well a moment later although nothing about it changes. A full disk does not empty itself.
pub fn is_temporary(error: &sqlx::Error) -> bool {
    (is_unavailable(error) || is_commit_unknown(error))
        && ReadOnlyReason::from_error(error) != Some(ReadOnlyReason::DiskFull)
}

/// Whether a statement was ended because it took longer than a statement may: less may go.
pub fn is_statement_timeout(error: &sqlx::Error) -> bool {
    sqlstate(error).is_some_and(|code| code == "57014")
}

/// Whether an error says that a UNIQUE constraint was hit.
pub fn is_unique_violation(error: &sqlx::Error) -> bool {
    error.as_database_error().is_some_and(sqlx::error::DatabaseError::is_unique_violation)
}

/// Whether it was a COMMIT that got no answer.
pub fn is_commit_unknown(error: &sqlx::Error) -> bool {
    matches!(error, sqlx::Error::AnyDriverError(cause) if cause.is::<CommitUnknown>())
}

/// Whether a BEGIN failed because of its connection; another connection may do.
pub(super) fn is_failed_begin(error: &sqlx::Error) -> bool {
    match error {
        sqlx::Error::Io(error) => error.kind() != ErrorKind::PermissionDenied,
        sqlx::Error::Database(_) => {
            in_failed_transaction(error) || sqlstate(error).is_some_and(|code| is_connection_ended(&code))
        }
        sqlx::Error::Protocol(_) | sqlx::Error::WorkerCrashed | sqlx::Error::BeginFailed => true,
        _ => false,
    }
}

/// Whether the statement found its connection in a transaction that failed before.
pub(super) fn in_failed_transaction(error: &sqlx::Error) -> bool {
    sqlstate(error).is_some_and(|code| code == "25P02")
}

/// What a COMMIT on Postgres failed with: an answer of class 40 or 23 says that nothing was made,
/// anything else says nothing.
pub(super) fn commit_error(error: sqlx::Error) -> sqlx::Error {
    let refused = sqlstate(&error).is_some_and(|code| code.starts_with("40") || code.starts_with("23"));
    if refused { error } else { sqlx::Error::AnyDriverError(Box::new(CommitUnknown(error))) }
}

/// Whether the server ended the connection: 08 it broke, 25P03 it stood still in a transaction,
/// 57P01 to 57P05 the server was shut down, crashed, starts, or cut the connection off.
fn is_connection_ended(code: &str) -> bool {
    code.starts_with("08") || code.starts_with("57P0") || code == "25P03"
}

/// SQLite's primary result code, if the error is SQLite's.
fn sqlite_code(error: &sqlx::Error) -> Option<u32> {
    let error = error.as_database_error()?.try_downcast_ref::<sqlx::sqlite::SqliteError>()?;
    // The low byte of an extended code.
    sqlx::error::DatabaseError::code(error)?.parse::<u32>().ok().map(|code| code & 0xff)
}

/// Postgres's five characters; SQLite's codes are shorter numbers.
fn sqlstate(error: &sqlx::Error) -> Option<Cow<'_, str>> {
    error.as_database_error()?.code().filter(|code| code.len() == 5)
}
