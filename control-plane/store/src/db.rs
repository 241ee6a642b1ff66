//! The database, whichever it is, and its transactions.

use std::path::Path;

use restroy_sdk::ids::{Id as _, TeamId};
use restroy_tenant_executor::Permit;
use sqlx::Transaction;
use tokio::sync::OwnedMutexGuard;

use super::{
    TeamTx, failure,
    postgres::{DatabaseRole, Postgres, PostgresOptions},
    sqlite::Sqlite,
};

/// The database. Cheap to clone.
///
/// What belongs to a team is reached by a transaction for that team; `system` transactions are for
/// the few queries that know no team yet or serve all of them: login and token lookup, admission,
/// recovery, purge.
#[derive(Debug, Clone)]
pub struct Db(Backend);

#[derive(Debug, Clone)]
enum Backend {
    Sqlite(Sqlite),
    Postgres(Postgres),
}

/// A transaction on whichever backend; rolled back unless committed.
#[derive(Debug)]
pub enum Tx {
    /// SQLite, and the team's turn.
    Sqlite(Transaction<'static, sqlx::Sqlite>, Permit),
    /// Postgres, and the team's turn; what acts for all teams needs none.
    Postgres(Transaction<'static, sqlx::Postgres>, Option<Permit>),
}

/// What a committed write survives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Durability {
    /// The death of the process. On SQLite a power cut may undo the last moments, as a whole; on Postgres a commit
    /// is a commit.
    Commit,
    /// A power cut too: what starts a run or records an effect.
    Fsync,
}

/// The right to wait for a team's row; see [`Db::queue_for_team_row`].
#[derive(Debug)]
#[must_use]
pub struct TeamRowPermit {
    _held: Option<OwnedMutexGuard<()>>,
}

/// What a statement changed.
#[derive(Debug, Clone, Copy)]
pub struct QueryResult(u64);

impl QueryResult {
    /// From a backend's count.
    #[doc(hidden)]
    pub fn new(rows: u64) -> Self {
        Self(rows)
    }

    /// How many rows were inserted, updated or deleted.
    pub fn rows_affected(self) -> u64 {
        self.0
    }
}

/// Runs one statement on a [`Tx`]: `sql!(tx, fetch_one, query_as::<_, Row>("…").bind(id))`.
///
/// The statement is written once and compiled for each backend.
#[macro_export]
macro_rules! sql {
    ($tx:expr, execute, $query:expr) => {
        match $tx {
            $crate::Tx::Sqlite(tx, _) => {
                $query.execute(&mut **tx).await.map(|done| $crate::QueryResult::new(done.rows_affected()))
            }
            $crate::Tx::Postgres(tx, _) => {
                $query.execute(&mut **tx).await.map(|done| $crate::QueryResult::new(done.rows_affected()))
            }
        }
    };
    ($tx:expr, $method:ident, $query:expr) => {
        match $tx {
            $crate::Tx::Sqlite(tx, _) => $query.$method(&mut **tx).await,
            $crate::Tx::Postgres(tx, _) => $query.$method(&mut **tx).await,
        }
    };
}

impl Db {
    /// Opens, and makes when it is not there, the SQLite database in a file.
    pub async fn open_sqlite(path: &Path) -> Result<Self, sqlx::Error> {
        Sqlite::open(path).await.map(|sqlite| Self(Backend::Sqlite(sqlite)))
    }

    /// Opens a Postgres database that [`super::migrate::postgres`] has brought up to date.
    pub async fn open_postgres(options: &PostgresOptions) -> Result<Self, sqlx::Error> {
        Postgres::open(options).await.map(|postgres| Self(Backend::Postgres(postgres)))
    }

    /// Brings SQLite's schema up to date; that of Postgres belongs to another role, and is only
    /// looked at. Safe to repeat.
    pub async fn migrate(&self) -> Result<(), super::migrate::MigrateError> {
        match &self.0 {
            Backend::Sqlite(sqlite) => Ok(sqlite.migrate().await?),
            Backend::Postgres(postgres) => super::migrate::check_postgres(postgres).await,
        }
    }

    /// Whether it is Postgres, where several replicas may write at once.
    pub fn is_shared(&self) -> bool {
        matches!(self.0, Backend::Postgres(_))
    }

    /// The file of an SQLite database.
    pub(super) fn file(&self) -> Option<&Path> {
        match &self.0 {
            Backend::Sqlite(sqlite) => Some(sqlite.file()),
            Backend::Postgres(_) => None,
        }
    }

    /// Connections in use and idle.
    pub fn connections(&self) -> (u32, u32) {
        match &self.0 {
            Backend::Sqlite(_) => (0, 0),
            Backend::Postgres(postgres) => {
                let idle = u32::try_from(postgres.pool().num_idle()).unwrap_or(u32::MAX);
                (postgres.pool().size().saturating_sub(idle), idle)
            }
        }
    }

    /// A transaction that only reads, for all teams; many at once, each on one snapshot.
    pub async fn system_read(&self) -> Result<Tx, sqlx::Error> {
        self.begin_read(DatabaseRole::System).await
    }

    /// A transaction that writes, for all teams.
    pub async fn system_write(&self) -> Result<Tx, sqlx::Error> {
        self.begin_write(DatabaseRole::System).await
    }

    /// The same while nobody else writes for a team through the API, whose row it holds; see
    /// [`Self::begin_team_exclusive`].
    pub async fn begin_system_exclusive(&self, team: TeamId) -> Result<Tx, sqlx::Error> {
        self.begin_write(DatabaseRole::SystemExclusive(team)).await
    }

    /// Waits to be the one who may wait for a team's row in a transaction that holds something else already. Keep
    /// it from before the transaction begins until the row is held: others wait without a connection.
    pub async fn queue_for_team_row(&self, team: TeamId) -> Result<TeamRowPermit, sqlx::Error> {
        match &self.0 {
            Backend::Sqlite(_) => Ok(TeamRowPermit { _held: None }),
            Backend::Postgres(postgres) => Ok(TeamRowPermit { _held: Some(postgres.wait(team).await?) }),
        }
    }

    /// A transaction that only reads, within a team.
    pub async fn team_read(&self, team: TeamId) -> Result<TeamTx, sqlx::Error> {
        Ok(TeamTx::new(self.begin_read(DatabaseRole::Team(team)).await?, team))
    }

    /// A transaction that writes within a team. On SQLite, what it commits survives the death of
    /// the process; the last moments before a power cut may be lost, as a whole. On Postgres a
    /// commit is a commit.
    pub async fn team_write(&self, team: TeamId) -> Result<TeamTx, sqlx::Error> {
        Ok(TeamTx::new(self.begin_write(DatabaseRole::Team(team)).await?, team))
    }

    /// The same for what must survive a power cut too: records of effects.
    pub async fn team_write_durably(&self, team: TeamId) -> Result<TeamTx, sqlx::Error> {
        let tx = match &self.0 {
            Backend::Sqlite(sqlite) => sqlite.write_durably(team.uuid()).await?,
            Backend::Postgres(postgres) => postgres.write(DatabaseRole::Team(team)).await?,
        };
        Ok(TeamTx::new(tx, team))
    }

    /// A transaction that writes within a team while no other of this kind does: what it counts and
    /// then changes is not changed by another meanwhile. Holds the team's row (see
    /// [`TeamTx::lock_run`] for the order of locks).
    pub async fn begin_team_exclusive(&self, team: TeamId, durability: Durability) -> Result<TeamTx, sqlx::Error> {
        let tx = match (&self.0, durability) {
            (Backend::Sqlite(sqlite), Durability::Fsync) => sqlite.write_durably(team.uuid()).await?,
            (Backend::Postgres(_), _) | (Backend::Sqlite(_), Durability::Commit) => {
                self.begin_write(DatabaseRole::TeamExclusive(team)).await?
            }
        };
        Ok(TeamTx::new(tx, team))
    }

    async fn begin_read(&self, role: DatabaseRole) -> Result<Tx, sqlx::Error> {
        match &self.0 {
            Backend::Sqlite(sqlite) => sqlite.read(role.team()).await,
            Backend::Postgres(postgres) => postgres.read(role).await,
        }
    }

    async fn begin_write(&self, role: DatabaseRole) -> Result<Tx, sqlx::Error> {
        match &self.0 {
            Backend::Sqlite(sqlite) => sqlite.write(role.team()).await,
            Backend::Postgres(postgres) => postgres.write(role).await,
        }
    }

    /// Closes every connection.
    pub async fn close(&self) {
        match &self.0 {
            Backend::Sqlite(sqlite) => sqlite.close().await,
            Backend::Postgres(postgres) => postgres.close().await,
        }
    }
}

impl Tx {
    /// Makes what was written last. On Postgres a failure may leave open whether it did.
    pub async fn commit(self) -> Result<(), sqlx::Error> {
        match self {
            Self::Sqlite(tx, _turn) => tx.commit().await,
            Self::Postgres(tx, _turn) => tx.commit().await.map_err(failure::commit_error),
        }
    }

    /// The statement for the backend at hand, where one text cannot serve both.
    pub fn pick(&self, sqlite: &'static str, postgres: &'static str) -> &'static str {
        match self {
            Self::Sqlite(..) => sqlite,
            Self::Postgres(..) => postgres,
        }
    }
}
