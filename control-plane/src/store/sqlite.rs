//! The SQLite backend: one writer, many readers.
//!
//! A write transaction begins IMMEDIATE, so that a reader never turns into a writer and fails.
//! Readers have a pool of their own (WAL).

use std::{path::Path, sync::Arc, time::Duration};

use sqlx::{
    SqlitePool,
    sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous},
};
use tokio::sync::Semaphore;

use super::Tx;

static MIGRATIONS: sqlx::migrate::Migrator = sqlx::migrate!("../migrations/sqlite");

/// Prepared statements that a connection keeps: more than there are, so that none is prepared twice.
const STATEMENTS: usize = 512;
/// How many connections read at once.
const READERS: u32 = 4;

/// Connections to a database file. Cheap to clone.
#[derive(Debug, Clone)]
pub(super) struct Sqlite {
    writer: SqlitePool,
    durable_writer: SqlitePool,
    readers: SqlitePool,
    /// Writers queue here, in order, instead of polling SQLite's lock.
    turn: Arc<Semaphore>,
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
        let writer = SqlitePoolOptions::new().max_connections(1).connect_with(options.clone()).await?;
        let durable_writer = SqlitePoolOptions::new()
            .max_connections(1)
            .connect_with(options.clone().synchronous(SqliteSynchronous::Full))
            .await?;
        let readers = SqlitePoolOptions::new().max_connections(READERS).connect_with(options).await?;
        Ok(Self { writer, durable_writer, readers, turn: Arc::new(Semaphore::new(1)) })
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
