//! The Postgres and the Redis that everything stands on, of which `./with-services --durable` starts
//! private ones.

use std::error::Error;

use redis::aio::MultiplexedConnection;
use sqlx::{Connection as _, PgConnection};

use crate::cpu::{Meter, parent, program};

/// How many keys are removed at a time.
const SWEEP: usize = 500;

/// Where they are.
#[derive(Debug, Clone)]
pub(crate) struct Servers {
    /// Of a superuser.
    pub(crate) postgres_url: String,
    pub(crate) redis_url: String,
    postmaster: Option<u32>,
    redis: Option<u32>,
    /// Their versions, and how durable they are.
    pub(crate) facts: [String; 2],
}

impl Servers {
    /// Those that the environment names.
    pub(crate) async fn find() -> Result<Self, Box<dyn Error>> {
        let named = |name| {
            std::env::var(name).map_err(|_| {
                format!("{name} is not set: run it as `./with-services --durable target/release/bench services`")
            })
        };
        let (postgres_url, redis_url) = (named("TEST_POSTGRES_URL")?, named("TEST_REDIS_URL")?);

        let mut postgres = PgConnection::connect(&postgres_url).await?;
        let (pid, version, fsync, commit): (i32, String, String, String) = sqlx::query_as(
            "SELECT pg_backend_pid(), current_setting('server_version'), current_setting('fsync'),
                    current_setting('synchronous_commit')",
        )
        .fetch_one(&mut postgres)
        .await?;
        // Elsewhere the same number may be somebody else's.
        let local = |pid: u32, name: &str| program(pid).is_some_and(|program| program.starts_with(name));
        let postmaster = u32::try_from(pid).ok().filter(|pid| local(*pid, "postgres")).and_then(parent);

        let mut redis = connect(&redis_url).await?;
        let info: String = redis::cmd("INFO").arg("server").query_async(&mut redis).await?;
        let field = |name: &str| {
            let line = info.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
            line.unwrap_or("?").trim().to_owned()
        };
        let redis_pid = field("process_id").parse().ok().filter(|pid| local(*pid, "redis"));
        let mut settings = Vec::new();
        for name in ["appendonly", "appendfsync"] {
            let (_, value): (String, String) =
                redis::cmd("CONFIG").arg("GET").arg(name).query_async(&mut redis).await?;
            settings.push(format!("{name} {value}"));
        }
        let facts = [
            format!("Postgres {version} (fsync {fsync}, synchronous_commit {commit})"),
            format!("Redis {} ({})", field("redis_version"), settings.join(", ")),
        ];
        Ok(Self { postgres_url, redis_url, postmaster, redis: redis_pid, facts })
    }

    /// A meter of the two.
    pub(crate) fn meter(&self) -> Meter {
        Meter {
            postgres: self.postmaster.into_iter().collect(),
            redis: self.redis.into_iter().collect(),
            ..Meter::default()
        }
    }

    /// A meter of Redis alone.
    pub(crate) fn meter_of_redis(&self) -> Meter {
        Meter { postgres: Vec::new(), ..self.meter() }
    }

    /// Removes every key with this prefix, so that what was measured first does not weigh on the next.
    pub(crate) async fn forget(&self, prefix: &str) -> Result<(), Box<dyn Error>> {
        let mut redis = connect(&self.redis_url).await?;
        let mut cursor = 0_u64;
        loop {
            let (next, keys): (u64, Vec<Vec<u8>>) = redis::cmd("SCAN")
                .arg(cursor)
                .arg("MATCH")
                .arg(format!("{prefix}*"))
                .arg("COUNT")
                .arg(SWEEP)
                .query_async(&mut redis)
                .await?;
            if !keys.is_empty() {
                redis::cmd("UNLINK").arg(keys).exec_async(&mut redis).await?;
            }
            if next == 0 {
                return Ok(());
            }
            cursor = next;
        }
    }
}

async fn connect(url: &str) -> Result<MultiplexedConnection, Box<dyn Error>> {
    Ok(redis::Client::open(url)?.get_multiplexed_async_connection().await?)
}
