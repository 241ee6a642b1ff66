//! The database of a test: a file, or one on Postgres when this is the suite of production.

use restroy_control_plane::store::{Db, PostgresOptions};
use tempfile::TempDir;

#[path = "postgres.rs"]
mod postgres;

/// Whether this is the suite of production.
pub(crate) const PRODUCTION: bool = matches!(env!("CARGO_CRATE_NAME").as_bytes(), b"production");

/// Enough for what one test does at once; many tests share a server.
const CONNECTIONS: u32 = 6;

/// What an open database lives in. It is gone with this value, also when the test failed.
pub(crate) enum TestDb {
    File(#[expect(dead_code, reason = "held for its end")] TempDir),
    Postgres(#[expect(dead_code, reason = "held for its end")] postgres::Database),
}

impl TestDb {
    /// A database of the newest schema with nothing in it.
    pub(crate) async fn open() -> (Db, Self) {
        let (db, home) = if PRODUCTION {
            let database = postgres::Database::new().await;
            let options = PostgresOptions { connections: CONNECTIONS, ..PostgresOptions::new(&database.service_url) };
            (Db::open_postgres(&options).await.unwrap(), Self::Postgres(database))
        } else {
            let folder = tempfile::tempdir().unwrap();
            (Db::open_sqlite(&folder.path().join("restroy.db")).await.unwrap(), Self::File(folder))
        };
        db.migrate().await.unwrap();
        (db, home)
    }
}
