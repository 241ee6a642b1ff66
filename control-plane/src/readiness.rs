//! Whether the database takes writes, asked for at most every few seconds however many want to know.

use std::time::Duration;

use restroy_sdk::time::{Ambient, Timestamp};
use tokio::{sync::Mutex, time::timeout};

use crate::store::{Db, migrate::MigrateError, probe};

/// How long the database has to answer.
const PROBE_TIMEOUT: Duration = Duration::from_secs(3);
/// How long its answer holds: anybody may ask, and as often as they like.
const PROBE_INTERVAL: Duration = Duration::from_secs(2);

/// What the database said when it was last asked, and when that was. One asks at a time.
#[derive(Debug, Default)]
pub(crate) struct CachedProbe(Mutex<Option<(Timestamp, Option<String>)>>);

impl CachedProbe {
    /// What is wrong with the database.
    pub(crate) async fn check_database(&self, db: &Db, ambient: &Ambient) -> Option<String> {
        let mut recent = self.0.lock().await;
        let now = ambient.now();
        if let Some((at, wrong)) = recent.as_ref()
            && now.since(*at) < PROBE_INTERVAL
            && *at <= now
        {
            return wrong.clone();
        }
        let wrong = probe_database(db, ambient).await;
        *recent = Some((ambient.now(), wrong.clone()));
        wrong
    }
}

/// The reason why the database cannot serve, if there is one. The error itself goes to the log only: the endpoint is
/// public.
async fn probe_database(db: &Db, ambient: &Ambient) -> Option<String> {
    let look = async {
        // Embedded, the schema was brought up to date at the start, and nobody else changes it. Otherwise it belongs
        // to another role and is only looked at.
        if db.is_shared() {
            db.migrate().await?;
        }
        Ok(probe::write(db, ambient.now()).await)
    };
    let reason = match timeout(PROBE_TIMEOUT, look).await {
        Ok(Ok(Ok(()))) => return None,
        Ok(Ok(Err(error))) => {
            let reason = error.reason();
            tracing::warn!(%error, "not ready: {reason}");
            reason.to_owned()
        }
        Ok(Err(MigrateError::Version { found, needed })) => {
            format!("the database's schema is at version {found}, and version {needed} is needed")
        }
        Ok(Err(error)) => {
            tracing::warn!(%error, "not ready: the database does not answer as it should");
            "the database does not answer as it should".to_owned()
        }
        Err(_) => "the database does not answer in time".to_owned(),
    };
    Some(reason)
}
