//! The text that Prometheus reads.

use std::time::Duration;

use axum::{
    http::header,
    response::{IntoResponse, Response},
};
use sqlx::{query_as, query_scalar};
use tokio::time::timeout;

use super::{Inner, Metrics, TASK_STATES};
use crate::{sql, state::AppState};

/// How long the database may take to tell what stands. Without an answer the rest is served.
const QUERY_TIMEOUT: Duration = Duration::from_secs(2);
/// OpenMetrics 1.0, section 4.1.
const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// All metrics at a moment.
#[derive(Debug, Clone)]
pub struct Exposition {
    /// What the text is.
    pub content_type: &'static str,
    /// The text.
    pub body: String,
}

impl IntoResponse for Exposition {
    fn into_response(self) -> Response {
        ([(header::CONTENT_TYPE, self.content_type)], self.body).into_response()
    }
}

/// Looks up what stands, and writes down all metrics. One scrape at a time; a database that does not answer is
/// reported by `restroy_database_up 0`, and what was to come from it is left out.
pub async fn scrape(state: &AppState) -> Exposition {
    let metrics = &state.metrics.0;
    let _alone = metrics.scraping.lock().await;
    metrics.watchers.set(gauge(state.watchers.watching()));
    metrics.watched_runs.set(gauge(state.watchers.watched()));
    metrics.answers_bytes.set(gauge(state.answers.reserved()));
    metrics.redis_connected.set(state.wake.connected().into());
    let (used, idle) = state.db.connections();
    metrics.connections.get_or_create(&[("state", "used")]).set(used.into());
    metrics.connections.get_or_create(&[("state", "idle")]).set(idle.into());
    match timeout(QUERY_TIMEOUT, database_stats(state)).await {
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
    Exposition { content_type: CONTENT_TYPE, body: state.metrics.text() }
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

async fn database_stats(state: &AppState) -> Result<DatabaseStats, sqlx::Error> {
    let mut tx = state.db.system_read().await?;
    let tasks =
        sql!(&mut tx, fetch_all, query_as("SELECT state, COUNT(*) FROM tasks WHERE state <> 'done' GROUP BY state"))?;
    let mails = sql!(&mut tx, fetch_one, query_scalar("SELECT COUNT(*) FROM outbox WHERE status = 'queued'"))?;
    let leads = sql!(
        &mut tx,
        fetch_all,
        query_as("SELECT name, owner = $1 AND lease_until >= $2 FROM leader_leases")
            .bind(state.replica)
            .bind(state.ambient.now())
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
