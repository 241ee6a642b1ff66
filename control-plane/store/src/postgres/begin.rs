//! How a transaction begins: in one round trip, and so that none is left open on a connection that goes back to the
//! pool.
//!
//! The pool knows of a transaction once its BEGIN was answered, and only then rolls it back. Two things keep
//! connections clean before that:
//!
//! - What may fail comes first and the BEGIN last. Postgres executes the statements of one message in an implicit
//!   transaction, which BEGIN turns into a lasting one. A statement before it that fails (a team's row that is not had
//!   in time) ends the implicit transaction, and leaves nothing.
//! - A [`Begin`] whose caller goes away is carried to its end and rolled back.
//!
//! What remains is an operator who cancels a statement in the moment after its BEGIN was executed. The connection is
//! then in a failed transaction, which the next that uses it is told of: [`Suspects`].

use std::{
    future::Future,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    task::{Context, Poll, ready},
};

use futures_util::future::BoxFuture;
use sqlx::{AssertSqlSafe, Postgres, SqlSafeStr as _, Transaction, pool::PoolConnection};
use tokio::{runtime::Handle, sync::OwnedMutexGuard};

use super::DatabaseRole;

/// What a transaction does.
#[derive(Debug, Clone, Copy)]
pub(super) enum Access {
    /// It reads, on one snapshot.
    Read,
    /// It writes.
    Write,
}

/// The statements that begin a transaction; first a ROLLBACK, where the connection may be in a failed one.
pub(super) fn statement(access: Access, role: DatabaseRole, suspect: bool) -> String {
    let rollback = if suspect { "ROLLBACK; " } else { "" };
    let level = match access {
        Access::Read => "REPEATABLE READ, READ ONLY",
        Access::Write => "READ COMMITTED",
    };
    // The only text in here that is not ours is an id, printed by the uuid crate.
    let alone = |team| format!("SELECT 1 FROM teams WHERE id = '{team}' FOR NO KEY UPDATE; ");
    let within = |team| format!("SET LOCAL ROLE restroy_app; SELECT set_config('app.team_id', '{team}', true); ");
    let role = match role {
        DatabaseRole::System => "SET LOCAL ROLE restroy_system; ".to_owned(),
        DatabaseRole::SystemExclusive(team) => format!("SET LOCAL ROLE restroy_system; {}", alone(team)),
        DatabaseRole::Team(team) => within(team),
        DatabaseRole::TeamExclusive(team) => format!("{}{}", within(team), alone(team)),
    };
    format!("{rollback}SET TRANSACTION ISOLATION LEVEL {level}; {role}BEGIN")
}

/// The beginning of a transaction. Dropped before its end it goes on by itself, and the transaction is rolled back.
pub(super) struct Begin(Option<BoxFuture<'static, Result<Transaction<'static, Postgres>, sqlx::Error>>>);

impl Begin {
    /// Whoever waits for a team's row with a connection in hand keeps the team's turn for as long.
    pub(super) fn new(
        connection: PoolConnection<Postgres>,
        statement: String,
        turn: Option<Arc<OwnedMutexGuard<()>>>,
    ) -> Self {
        let statement = AssertSqlSafe(statement).into_sql_str();
        Self(Some(Box::pin(async move {
            let _turn = turn;
            Transaction::begin(connection, Some(statement)).await
        })))
    }
}

impl Future for Begin {
    type Output = Result<Transaction<'static, Postgres>, sqlx::Error>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let Some(begin) = &mut self.0 else { return Poll::Pending };
        let begun = ready!(begin.as_mut().poll(cx));
        self.0 = None;
        Poll::Ready(begun)
    }
}

impl Drop for Begin {
    fn drop(&mut self) {
        if let Some(begin) = self.0.take()
            && let Ok(runtime) = Handle::try_current()
        {
            runtime.spawn(async move { drop(begin.await) });
        }
    }
}

/// How many of the next transactions begin with a ROLLBACK, because one of the pool's connections is in a failed
/// transaction. Connections are used in turn, so twice as many as there are find it.
#[derive(Debug, Default)]
pub(super) struct Suspects(AtomicU32);

impl Suspects {
    pub(super) fn suspect(&self, connections: u32) {
        self.0.fetch_max(connections.saturating_mul(2), Ordering::Relaxed);
    }

    /// Whether the next connection is suspect.
    pub(super) fn take(&self) -> bool {
        self.0.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1)).is_ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn as_many_as_there_are_suspects_begin_with_a_rollback() {
        let suspects = Suspects::default();
        assert!(!suspects.take());
        suspects.suspect(2);
        assert_eq!((0..6).filter(|_| suspects.take()).count(), 4);
        assert!(statement(Access::Write, DatabaseRole::System, true).starts_with("ROLLBACK; SET TRANSACTION"));
        assert!(statement(Access::Read, DatabaseRole::System, false).ends_with("; BEGIN"));
    }
}
