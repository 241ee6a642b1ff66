//! What a test's control-plane stands on: in production its own database on Postgres and its own
//! prefix on Redis, else a file and this process.

use std::sync::Arc;

use restroy_control_plane::{
    sql,
    store::{Db, PostgresOptions},
};
use restroy_run_queue::{
    memory::MemoryQueue,
    queue::Queue,
    redis::{RedisOptions, RedisQueue},
    wake::WakeUps,
};
use restroy_sdk::time::Ambient;
use sqlx::{AssertSqlSafe, ConnectOptions as _, postgres::PgConnectOptions};
use tempfile::TempDir;

#[path = "postgres.rs"]
pub(crate) mod postgres;

/// Whether this is the suite of production.
pub(crate) const PRODUCTION: bool = matches!(env!("CARGO_CRATE_NAME").as_bytes(), b"production");

/// Enough for what one test does at once; many tests share a server.
const CONNECTIONS: u32 = 6;

/// What an open database lives in. Deleted with this value, also when the test failed.
pub(crate) enum TestDb {
    File(#[expect(dead_code, reason = "held for its end")] TempDir),
    Postgres(postgres::Database),
}

impl TestDb {
    /// Where it is, in the suite of production.
    #[allow(dead_code, reason = "only tests of production ask")]
    pub(crate) fn postgres(&self) -> &postgres::Database {
        match self {
            Self::File(_) => panic!("the embedded suite has no Postgres"),
            Self::Postgres(database) => database,
        }
    }

    /// Changes the schema, as whoever owns the tables.
    pub(crate) async fn alter(&self, db: &Db, statement: String) {
        let statement = AssertSqlSafe(statement);
        match self {
            Self::File(_) => {
                let mut tx = db.system_write().await.unwrap();
                sql!(&mut tx, execute, sqlx::query(statement)).unwrap();
                tx.commit().await.unwrap();
            }
            Self::Postgres(database) => {
                let mut owner = database.owner_url.parse::<PgConnectOptions>().unwrap().connect().await.unwrap();
                sqlx::raw_sql(statement).execute(&mut owner).await.unwrap();
            }
        }
    }

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

/// A queue and wake-ups that nobody else has.
pub(crate) fn messages(ambient: &Ambient) -> (Arc<dyn Queue>, WakeUps) {
    if !PRODUCTION {
        return (Arc::new(MemoryQueue::new()), WakeUps::default());
    }
    let url = std::env::var("TEST_REDIS_URL")
        .expect("TEST_REDIS_URL is not set: run the tests by ./with-services cargo nextest run");
    let redis = RedisOptions::new(&url, &format!("restroy-test-{}", ambient.uuid().simple())).unwrap();
    (Arc::new(RedisQueue::start(&redis)), WakeUps::over_redis(&redis, ambient))
}
