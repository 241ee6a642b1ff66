//! Connections and transactions.
//!
//! SQLite has one writer: a pool of one connection, whose transactions begin IMMEDIATE, so that a
//! reader never turns into a writer and fails. Readers have a pool of their own (WAL).

use std::{path::Path, sync::Arc, time::Duration};

use sqlx::{
    Sqlite, SqlitePool, Transaction,
    sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous},
};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

static SQLITE: sqlx::migrate::Migrator = sqlx::migrate!("../migrations/sqlite");

/// Prepared statements that a connection keeps: more than there are, so that none is prepared twice.
const STATEMENTS: usize = 512;
/// How many connections read at once.
const READERS: u32 = 4;

/// The database. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Db {
    writer: SqlitePool,
    durable_writer: SqlitePool,
    readers: SqlitePool,
    /// Writers queue here, in order, instead of polling SQLite's lock.
    turn: Arc<Semaphore>,
}

/// A transaction on whichever backend; rolled back unless committed.
#[derive(Debug)]
pub enum Tx {
    /// SQLite, and the writer's turn.
    Sqlite(Transaction<'static, Sqlite>, Option<OwnedSemaphorePermit>),
}

/// Runs one statement on a [`Tx`]: `sql!(tx, fetch_one, query_as::<_, Row>("…").bind(id))`.
///
/// The statement is written once and compiled for each backend.
#[macro_export]
macro_rules! sql {
    ($tx:expr, $method:ident, $query:expr) => {
        match $tx {
            $crate::store::Tx::Sqlite(tx, _) => $query.$method(&mut **tx).await,
        }
    };
}

impl Db {
    /// Opens, and makes when it is not there, the SQLite database in a file.
    pub async fn open_sqlite(path: &Path) -> Result<Self, sqlx::Error> {
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

    /// Brings the schema up to date. Safe to repeat.
    pub async fn migrate(&self) -> Result<(), sqlx::migrate::MigrateError> {
        SQLITE.run(&self.writer).await
    }

    /// A transaction that only reads; many at once.
    pub async fn read(&self) -> Result<Tx, sqlx::Error> {
        Ok(Tx::Sqlite(self.readers.begin().await?, None))
    }

    /// A transaction that writes. What it commits survives the death of the process; the last
    /// moments before a power cut may be lost, as a whole.
    pub async fn write(&self) -> Result<Tx, sqlx::Error> {
        self.begin(&self.writer).await
    }

    /// A transaction that writes what must survive a power cut too: the creation of runs and the
    /// records of effects.
    pub async fn write_durably(&self) -> Result<Tx, sqlx::Error> {
        self.begin(&self.durable_writer).await
    }

    async fn begin(&self, pool: &SqlitePool) -> Result<Tx, sqlx::Error> {
        let turn = Arc::clone(&self.turn).acquire_owned().await.map_err(|_| sqlx::Error::PoolClosed)?;
        Ok(Tx::Sqlite(pool.begin_with("BEGIN IMMEDIATE").await?, Some(turn)))
    }

    /// Closes every connection.
    pub async fn close(&self) {
        self.readers.close().await;
        self.writer.close().await;
        self.durable_writer.close().await;
    }
}

impl Tx {
    /// Makes what was written last.
    pub async fn commit(self) -> Result<(), sqlx::Error> {
        match self {
            Self::Sqlite(tx, _turn) => tx.commit().await,
        }
    }
}
