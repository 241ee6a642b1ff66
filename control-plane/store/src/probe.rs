//! Whether the database takes writes, found out by writing a little.
//!
//! A row is written and committed. A full disk may still have room for that row, so a few pages more are asked of
//! the disk: on Postgres by a sort that does not fit into memory (a temporary file, without a trace in the
//! catalogue), on SQLite by a file beside the database. On Postgres the tables that a run needs must not be locked.

use std::{
    borrow::Cow,
    io::{self, ErrorKind, Write as _},
    path::{Path, PathBuf},
};

use restroy_sdk::time::Timestamp;
use sqlx::query;

use super::{Db, Tx, failure::ReadOnlyReason};
use crate::sql;

/// What the file beside SQLite's database holds, in bytes.
const FILE_BYTES: usize = 64 * 1024;

/// Why the database takes no writes.
#[derive(Debug, thiserror::Error)]
pub enum ProbeError {
    /// A table that every run needs is locked by somebody else.
    #[error("a table is locked")]
    Locked,
    /// The disk under SQLite's database refuses a file.
    #[error("no file can be written beside the database: {0}")]
    File(#[source] io::Error),
    /// Anything else.
    #[error(transparent)]
    Sql(#[from] sqlx::Error),
}

impl ProbeError {
    /// What is wrong, for anybody who asks: nothing of the installation's addresses or paths.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::Locked => "a table of the database is locked",
            Self::File(error) => match error.kind() {
                ErrorKind::StorageFull | ErrorKind::QuotaExceeded => ReadOnlyReason::DiskFull.reason(),
                ErrorKind::ReadOnlyFilesystem => ReadOnlyReason::ReadOnly.reason(),
                _ => ReadOnlyReason::Io.reason(),
            },
            Self::Sql(error) => ReadOnlyReason::from_error(error)
                .map_or("the database does not answer as it should", ReadOnlyReason::reason),
        }
    }
}

/// Writes a little, as of `now`. Takes as long as the database does, on Postgres a few seconds at most.
pub async fn write(db: &Db, now: Timestamp) -> Result<(), ProbeError> {
    if let Some(database) = db.file() {
        let beside = beside(database);
        tokio::task::spawn_blocking(move || write_file(&beside))
            .await
            .unwrap_or_else(|error| Err(io::Error::other(error)))
            .map_err(ProbeError::File)?;
    }
    let mut tx = db.system_write().await?;
    if let Tx::Postgres(tx, _) = &mut tx {
        query("SELECT set_config('lock_timeout', '2000', true), set_config('work_mem', '64kB', true)")
            .execute(&mut **tx)
            .await?;
        // This lock is the one that writes take: only who keeps writes out is in its way.
        query("LOCK TABLE runs, tasks, step_runs, run_events IN ROW EXCLUSIVE MODE")
            .execute(&mut **tx)
            .await
            .map_err(|error| if is_lock_timeout(&error) { ProbeError::Locked } else { error.into() })?;
        // About 400 KiB. Where the operator allows no temporary files (53400) this says nothing.
        query("SAVEPOINT spill").execute(&mut **tx).await?;
        let spilt =
            query("SELECT count(*) FROM (SELECT n FROM generate_series(1, 20000) AS n ORDER BY -n OFFSET 1) AS spilt")
                .execute(&mut **tx)
                .await;
        match spilt {
            Ok(_) => {}
            Err(error) if code(&error).as_deref() == Some("53400") => {
                query("ROLLBACK TO SAVEPOINT spill").execute(&mut **tx).await?;
            }
            Err(error) => return Err(error.into()),
        }
    }
    sql!(
        &mut tx,
        execute,
        query(
            "INSERT INTO write_probe (id, written_at) VALUES (1, $1)
             ON CONFLICT (id) DO UPDATE SET written_at = excluded.written_at"
        )
        .bind(now)
    )?;
    tx.commit().await?;
    Ok(())
}

fn is_lock_timeout(error: &sqlx::Error) -> bool {
    // 55P03: not had in time. 57014: the statement took too long.
    matches!(code(error).as_deref(), Some("55P03" | "57014"))
}

fn code(error: &sqlx::Error) -> Option<String> {
    error.as_database_error().and_then(sqlx::error::DatabaseError::code).map(Cow::into_owned)
}

fn beside(database: &Path) -> PathBuf {
    database.with_added_extension("probe")
}

fn write_file(path: &Path) -> io::Result<()> {
    // Not all the same byte: some file systems store nothing for that.
    let bytes: Vec<u8> = (0..u8::MAX).cycle().take(FILE_BYTES).collect();
    let written = std::fs::File::create(path).and_then(|mut file| file.write_all(&bytes));
    let removed = std::fs::remove_file(path);
    written.and(removed)
}
