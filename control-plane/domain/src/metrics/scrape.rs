//! The text that Prometheus reads.

use std::time::Duration;

use restroy_sdk::time::Timestamp;
use sqlx::{query_as, query_scalar};
use tokio::time::timeout;
use uuid::Uuid;

use super::{Inner, Metrics, TASK_STATES};
use crate::{sql, store::Db};

/// How long the database may take to tell what stands. Without an answer the rest is served.
const QUERY_TIMEOUT: Duration = Duration::from_secs(2);

/// What stands in this process, at a moment.
#[derive(Debug, Clone, Copy)]
pub struct ProcessStats {
    /// The moment.
    pub now: Timestamp,
    /// The process among those that serve the same database.
    pub replica: Uuid,
    /// Whether the connection that carries wake-ups stands.
    pub redis_connected: bool,
    /// Streams of runs that are open.
    pub watchers: usize,
    /// Runs that are watched.
    pub watched_runs: usize,
    /// Bytes that are reserved for answers under way.
    pub answers_bytes: usize,
}

/// Looks up what stands, and writes down all metrics. One scrape at a time; a database that does not answer is
/// reported by `restroy_database_up 0`, and what was to come from it is left out.
pub async fn scrape(metrics: &Metrics, db: &Db, process: ProcessStats) -> String {
    let all = metrics;
    let metrics = &all.0;
    let _alone = metrics.scraping.lock().await;
    metrics.watchers.set(gauge(process.watchers));
    metrics.watched_runs.set(gauge(process.watched_runs));
    metrics.answers_bytes.set(gauge(process.answers_bytes));
    metrics.redis_connected.set(process.redis_connected.into());
    let (used, idle) = db.connections();
    metrics.connections.get_or_create(&[("state", "used")]).set(used.into());
    metrics.connections.get_or_create(&[("state", "idle")]).set(idle.into());
    match timeout(QUERY_TIMEOUT, database_stats(db, &process)).await {
        Ok(Ok(standing)) => standing.set_gauges(metrics),
        failed => {
            if let Ok(Err(error)) = failed {
                tracing::warn!(%error, "the database's statistics cannot be read");
            }
            metrics.database_up.set(0);
            metrics.tasks.clear();
            metrics.leader.clear();
        }
    }
    all.text()
}

impl Metrics {
    /// All metrics as they are.
    fn text(&self) -> String {
        let mut text = String::with_capacity(16 * 1024);
        // Writing to a string does not fail.
        let _ = prometheus_client::encoding::text::encode(&mut text, &self.0.registry);
        text
    }
}

/// What the database says.
struct DatabaseStats {
    tasks: Vec<(String, i64)>,
    mails: i64,
    /// Works under a lease, and whether it is this process that holds it.
    leads: Vec<(String, bool)>,
}

async fn database_stats(db: &Db, process: &ProcessStats) -> Result<DatabaseStats, sqlx::Error> {
    let mut tx = db.system_read().await?;
    let tasks =
        sql!(&mut tx, fetch_all, query_as("SELECT state, COUNT(*) FROM tasks WHERE state <> 'done' GROUP BY state"))?;
    let mails = sql!(&mut tx, fetch_one, query_scalar("SELECT COUNT(*) FROM outbox WHERE status = 'queued'"))?;
    let leads = sql!(
        &mut tx,
        fetch_all,
        query_as("SELECT name, owner = $1 AND lease_until >= $2 FROM leader_leases")
            .bind(process.replica)
            .bind(process.now)
    )?;
    Ok(DatabaseStats { tasks, mails, leads })
}

impl DatabaseStats {
    fn set_gauges(self, metrics: &Inner) {
        metrics.database_up.set(1);
        for state in TASK_STATES {
            let count = self.tasks.iter().find(|(name, _)| name == state).map_or(0, |(_, count)| *count);
            metrics.tasks.get_or_create(&[("state", state)]).set(count);
        }
        for (work, leads) in self.leads {
            metrics.leader.get_or_create(&[("work", work)]).set(leads.into());
        }
        metrics.mails_queued.set(self.mails);
    }
}

fn gauge(count: usize) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}
