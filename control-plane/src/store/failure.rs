//! What a failed statement means: whether its transaction may be done again.

use std::io::ErrorKind;

/// A COMMIT got no answer: what it would have made last may have been made, or not.
#[derive(Debug, thiserror::Error)]
#[error("the database went away while it committed: {0}")]
pub(super) struct CommitUnknown(#[source] pub(super) sqlx::Error);

/// Whether a failed transaction has surely changed nothing and may go well when it is done again:
/// a serialisation failure or deadlock (SQLSTATE class 40), or a connection that was lost before
/// COMMIT was sent.
pub(crate) fn may_repeat(error: &sqlx::Error) -> bool {
    match error {
        sqlx::Error::Database(database) => database.code().is_some_and(|code| {
            // 57P01–57P03: the server is shut down, crashed, starts. 55P03: a lock was not had in time.
            code.starts_with("40") || code.starts_with("57P0") || code == "55P03"
        }),
        sqlx::Error::Io(_) | sqlx::Error::WorkerCrashed => true,
        _ => false,
    }
}

/// Whether the database was not there, as opposed to a statement that it refused.
pub(crate) fn unavailable(error: &sqlx::Error) -> bool {
    may_repeat(error)
        || matches!(error, sqlx::Error::PoolTimedOut | sqlx::Error::PoolClosed | sqlx::Error::AnyDriverError(_))
}

/// Whether a BEGIN failed because of its connection.
pub(super) fn not_begun(error: &sqlx::Error) -> bool {
    match error {
        sqlx::Error::Io(error) => error.kind() != ErrorKind::PermissionDenied,
        sqlx::Error::Database(database) => database.code().is_some_and(|code| code.starts_with("57P0")),
        sqlx::Error::Protocol(_) | sqlx::Error::WorkerCrashed | sqlx::Error::BeginFailed => true,
        _ => false,
    }
}

/// What a COMMIT on Postgres failed with: an answer of class 40 or 23 says that nothing was made,
/// anything else says nothing.
pub(super) fn of_commit(error: sqlx::Error) -> sqlx::Error {
    let refused = error
        .as_database_error()
        .and_then(|database| database.code())
        .is_some_and(|code| code.starts_with("40") || code.starts_with("23"));
    if refused { error } else { sqlx::Error::AnyDriverError(Box::new(CommitUnknown(error))) }
}
