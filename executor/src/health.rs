//! How an executor stands, for whoever asks whether it is ready.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::time::Instant;

/// For how long a heartbeat counts: three are sent in that time.
const RECENT: Duration = Duration::from_secs(30);

/// How long before its credential expires an executor says so.
const EXPIRES_SOON: Duration = Duration::from_hours(7 * 24);

/// How an executor stands. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct Health(Arc<Mutex<HealthState>>);

#[derive(Debug, Default)]
struct HealthState {
    /// When the run API took a heartbeat last.
    heard: Option<Instant>,
    /// Why it did not take the newest.
    refused: Option<String>,
    /// When its credential expires.
    expires: Option<Instant>,
    draining: bool,
}

impl Health {
    fn state(&self) -> MutexGuard<'_, HealthState> {
        // Nothing panics while it is held.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The run API took a heartbeat.
    pub(crate) fn heartbeat_accepted(&self) {
        let mut state = self.state();
        state.heard = Some(Instant::now());
        state.refused = None;
    }

    /// It did not.
    pub(crate) fn heartbeat_refused(&self, why: &str) {
        self.state().refused = Some(why.to_owned());
    }

    /// The credential expires after so long; never, if absent.
    pub(crate) fn set_expiry(&self, after: Option<Duration>) {
        // What is beyond the clock's range is as good as never.
        self.state().expires = after.and_then(|after| Instant::now().checked_add(after));
    }

    /// What to see to soon, although work is taken; for `/readyz` and the log.
    pub fn warning(&self) -> Option<String> {
        let left = self.state().expires?.saturating_duration_since(Instant::now());
        (left < EXPIRES_SOON).then(|| {
            let hours = left.as_secs() / 3_600;
            format!(
                "the executor's credential expires in {hours} h: replace it, or let it last longer with `restroy admin \
                 executor set`"
            )
        })
    }

    /// Nothing new is taken any more.
    pub(crate) fn set_draining(&self) {
        self.state().draining = true;
    }

    /// Why no new work is taken; nothing when it is.
    pub fn problems(&self) -> Vec<String> {
        let state = self.state();
        let mut trouble = Vec::new();
        if state.draining {
            trouble.push("it is stopping and takes no new tasks".to_owned());
        }
        if state.heard.is_none_or(|heard| heard.elapsed() > RECENT) {
            let why = state.refused.as_deref().unwrap_or("no heartbeat has been answered yet");
            trouble.push(format!("the control-plane accepted no heartbeat within {} s: {why}", RECENT.as_secs()));
        }
        trouble
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_heartbeat_counts_for_a_while() {
        let health = Health::default();
        assert!(health.problems()[0].contains("no heartbeat has been answered"));
        health.heartbeat_refused("401");
        assert!(health.problems()[0].contains("401"));
        health.heartbeat_accepted();
        assert_eq!(health.problems(), Vec::<String>::new());
        health.heartbeat_refused("it does not answer");
        assert_eq!(health.problems(), Vec::<String>::new(), "one that is missed is no trouble yet");
        tokio::time::advance(RECENT + Duration::from_secs(1)).await;
        assert!(health.problems()[0].contains("does not answer"));
        health.heartbeat_accepted();
        assert_eq!(health.warning(), None);
        health.set_expiry(Some(Duration::from_hours(24 * 30)));
        assert_eq!(health.warning(), None);
        tokio::time::advance(Duration::from_hours(24 * 24)).await;
        assert!(health.warning().unwrap().contains("expires in 144 h"));
        health.heartbeat_accepted();
        health.set_draining();
        assert!(health.problems()[0].contains("stopping"));
    }
}
