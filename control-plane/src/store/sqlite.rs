//! The SQLite backend: one writer, many readers.
//!
//! A write transaction begins IMMEDIATE, so that a reader never turns into a writer and fails.
//! Readers have a pool of their own (WAL).
//!
//! SQLite rolls a transaction back by itself when the disk is full, on an I/O error and out of memory. The
//! ROLLBACK that follows then fails, and sqlx counts the connection as within a transaction for ever. Such a
//! connection is closed before it is used again, and the pool opens a new one.

use std::{path::Path, sync::Arc, time::Duration};

use sqlx::{
    Connection as _, SqlitePool,
    sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous},
};
use tokio::sync::Semaphore;

use super::Tx;

static MIGRATIONS: sqlx::migrate::Migrator = sqlx::migrate!("../migrations/sqlite");

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
    /// Writers queue here, in order, instead of polling SQLite's lock.
    turn: Arc<Semaphore>,
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
        Ok(Self { writer, durable_writer, readers, turn: Arc::new(Semaphore::new(1)), file: path.into() })
    }

    /// Where the database is.
    pub(super) fn file(&self) -> &Path {
        &self.file
    }

    pub(super) async fn migrate(&self) -> Result<(), sqlx::migrate::MigrateError> {
        MIGRATIONS.run(&self.writer).await
    }

    pub(super) async fn read(&self) -> Result<Tx, sqlx::Error> {
        Ok(Tx::Sqlite(self.readers.begin().await?, None))
    }

    pub(super) async fn write(&self) -> Result<Tx, sqlx::Error> {
        self.begin(&self.writer).await
    }

    pub(super) async fn write_durably(&self) -> Result<Tx, sqlx::Error> {
        self.begin(&self.durable_writer).await
    }

    async fn begin(&self, pool: &SqlitePool) -> Result<Tx, sqlx::Error> {
        let turn = Arc::clone(&self.turn).acquire_owned().await.map_err(|_| sqlx::Error::PoolClosed)?;
        Ok(Tx::Sqlite(pool.begin_with("BEGIN IMMEDIATE").await?, Some(turn)))
    }

    pub(super) async fn close(&self) {
        self.readers.close().await;
        self.writer.close().await;
        self.durable_writer.close().await;
    }
}
