//! The SQLite backend: one writer, many readers.
//!
//! A write transaction begins IMMEDIATE, so that a reader never turns into a writer and fails.
//! Readers have a pool of their own (WAL).
//!
//! SQLite rolls a transaction back by itself when the disk is full, on an I/O error and out of memory. The
//! ROLLBACK that follows then fails, and sqlx counts the connection as within a transaction for ever. Such a
//! connection is closed before it is used again, and the pool opens a new one.

use std::{path::Path, sync::Arc, time::Duration};

use restroy_tenant_executor::{FairLimits, FairSemaphore};
use sqlx::{
    Connection as _, SqlitePool,
    sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous},
};
use uuid::Uuid;

use super::Tx;

static MIGRATIONS: sqlx::migrate::Migrator = sqlx::migrate!("../../migrations/sqlite");

/// Prepared statements that a connection keeps: more than there are, so that none is prepared twice.
const STATEMENTS: usize = 512;
/// How many connections read at once.
const READERS: u32 = 4;

/// A pool that closes a connection on which a transaction is still open: its ROLLBACK failed. When a connection
/// was released its ROLLBACK was waited for.
fn pool(connections: u32) -> SqlitePoolOptions {
    SqlitePoolOptions::new().max_connections(connections).before_acquire(|connection, _| {
        let usable = !connection.is_in_transaction();
        if !usable {
            tracing::warn!("a connection to the database is closed: its last transaction could not be rolled back");
        }
        Box::pin(std::future::ready(Ok(usable)))
    })
}

/// Connections to a database file. Cheap to clone.
#[derive(Debug, Clone)]
pub(super) struct Sqlite {
    writer: SqlitePool,
    durable_writer: SqlitePool,
    readers: SqlitePool,
    /// Writers queue here instead of polling SQLite's lock: teams have their turns one after the other, so that none
    /// waits for more than one transaction of each of the others.
    turn: FairSemaphore,
    /// The same for readers, of which one team never has all.
    reading: FairSemaphore,
    file: Arc<Path>,
}

impl Sqlite {
    pub(super) async fn open(path: &Path) -> Result<Self, sqlx::Error> {
        let options = SqliteConnectOptions::new()
            .filename(path)
            .create_if_missing(true)
            .foreign_keys(true)
            .journal_mode(SqliteJournalMode::Wal)
            .synchronous(SqliteSynchronous::Normal)
            .busy_timeout(Duration::from_secs(10))
            .statement_cache_capacity(STATEMENTS)
            .pragma("temp_store", "memory")
            .pragma("cache_size", "-16000");
        let writer = pool(1).connect_with(options.clone()).await?;
        let durable_writer = pool(1).connect_with(options.clone().synchronous(SqliteSynchronous::Full)).await?;
        let readers = pool(READERS).connect_with(options).await?;
        let turns = |permits: u32, per_team: u32| {
            FairSemaphore::new(FairLimits {
                permits: permits as usize,
                per_team: per_team as usize,
                waiting_per_team: usize::MAX,
                waiting: usize::MAX,
            })
        };
        let (turn, reading) = (turns(1, 1), turns(READERS, READERS - 1));
        Ok(Self { writer, durable_writer, readers, turn, reading, file: path.into() })
    }

    /// Where the database is.
    pub(super) fn file(&self) -> &Path {
        &self.file
    }

    pub(super) async fn migrate(&self) -> Result<(), sqlx::migrate::MigrateError> {
        MIGRATIONS.run(&self.writer).await
    }

    pub(super) async fn read(&self, team: Uuid) -> Result<Tx, sqlx::Error> {
        let turn = self.reading.acquire(team).await.map_err(|_| sqlx::Error::PoolClosed)?;
        Ok(Tx::Sqlite(self.readers.begin().await?, turn))
    }

    pub(super) async fn write(&self, team: Uuid) -> Result<Tx, sqlx::Error> {
        self.begin(&self.writer, team).await
    }

    pub(super) async fn write_durably(&self, team: Uuid) -> Result<Tx, sqlx::Error> {
        self.begin(&self.durable_writer, team).await
    }

    async fn begin(&self, pool: &SqlitePool, team: Uuid) -> Result<Tx, sqlx::Error> {
        let turn = self.turn.acquire(team).await.map_err(|_| sqlx::Error::PoolClosed)?;
        Ok(Tx::Sqlite(pool.begin_with("BEGIN IMMEDIATE").await?, turn))
    }

    pub(super) async fn close(&self) {
        self.readers.close().await;
        self.writer.close().await;
        self.durable_writer.close().await;
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;

    #[tokio::test]
    async fn a_team_waits_for_one_transaction_of_another() {
        let folder = tempfile::tempdir().unwrap();
        let sqlite = Sqlite::open(&folder.path().join("restroy.db")).await.unwrap();
        let (busy, other) = (Uuid::from_u128(1), Uuid::from_u128(2));
        let begun = Mutex::new(Vec::new());
        let first = sqlite.write(busy).await.unwrap();
        let mut waiting: Vec<_> = [busy, busy, busy, busy, other]
            .into_iter()
            .map(|team| {
                let (sqlite, begun) = (&sqlite, &begun);
                Box::pin(async move {
                    let tx = sqlite.write(team).await.unwrap();
                    begun.lock().unwrap().push(team);
                    tx.commit().await.unwrap();
                })
            })
            .collect();
        for write in &mut waiting {
            assert!(futures_util::poll!(write).is_pending(), "it queues behind the one that is open");
        }
        first.commit().await.unwrap();
        futures_util::future::join_all(waiting).await;
        assert_eq!(begun.into_inner().unwrap(), [busy, other, busy, busy, busy]);
    }
}
