//! Hearing at once that a task is not one's own any more.
//!
//! The executor listens on one long request to the run API ([`listen`]). A [`Signal::Released`] cancels the
//! task's token, which stops its sandboxes and drops its requests. Signals are hints: the lease is renewed as
//! ever, and while nothing is heard ([`Signals::is_live`]) the executor asks before it acts.

use std::{
    collections::{HashMap, VecDeque},
    sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError},
    time::Duration,
};

use restroy_run_queue::run_api::{HeldTask, MAX_HELD, ReleaseReason, Signal};
use restroy_sdk::ids::TaskId;
use tokio::time::{Instant, sleep, timeout};
use tokio_util::sync::CancellationToken;

use crate::client::{ApiError, RunApi};

/// Within which something was heard, if the connection stands: the run API sends something every second.
const FRESH: Duration = Duration::from_secs(3);
/// After which without a word the connection is given up.
const SILENCE_TIMEOUT: Duration = Duration::from_secs(5);
/// The pauses before the executor listens again after a failure.
const FIRST_PAUSE: Duration = Duration::from_millis(50);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);
/// The pause where the control-plane does not know the route: it may be upgraded meanwhile.
const UNKNOWN_ROUTE_PAUSE: Duration = Duration::from_secs(30);
/// How many signals about tasks that are not held are kept: their claims' answers may be under way.
const RECENT: usize = 1_000;

/// That a task is not one's own any more, and why.
#[derive(Debug, Clone, Default)]
pub(crate) struct ReleaseCell {
    /// Cancelled once it is not.
    pub(crate) token: CancellationToken,
    reason: Arc<OnceLock<ReleaseReason>>,
}

impl ReleaseCell {
    /// Notes that the task is gone. The first reason stands.
    pub(crate) fn set(&self, reason: ReleaseReason) {
        let _ = self.reason.set(reason);
        self.token.cancel();
    }

    /// Why it is gone, once that is known.
    pub(crate) fn reason(&self) -> Option<ReleaseReason> {
        self.reason.get().copied()
    }
}

#[derive(Debug, Default)]
struct SignalState {
    held: HashMap<TaskId, (i64, ReleaseCell)>,
    recent: VecDeque<(HeldTask, ReleaseReason)>,
    /// When something was last heard on a connection that brings everything.
    heard: Option<Instant>,
}

/// The tasks that this executor holds, and what it hears about them.
#[derive(Debug, Default)]
pub(crate) struct Signals(Mutex<SignalState>);

/// A task that is held, until this is dropped.
#[derive(Debug)]
pub(crate) struct HeldTaskGuard {
    signals: Arc<Signals>,
    task: HeldTask,
}

impl Drop for HeldTaskGuard {
    fn drop(&mut self) {
        let mut state = self.signals.state();
        if state.held.get(&self.task.task_id).is_some_and(|(fence, _)| *fence == self.task.fence) {
            state.held.remove(&self.task.task_id);
        }
    }
}

impl Signals {
    fn state(&self) -> MutexGuard<'_, SignalState> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes that a task is held. If it is gone already, `release` says so at once.
    pub(crate) fn hold(self: &Arc<Self>, task: HeldTask, release: &ReleaseCell) -> HeldTaskGuard {
        let mut state = self.state();
        state.held.insert(task.task_id, (task.fence, release.clone()));
        if let Some((_, reason)) = state.recent.iter().find(|(gone, _)| *gone == task) {
            release.set(*reason);
        }
        HeldTaskGuard { signals: Arc::clone(self), task }
    }

    /// Whether it would be heard if a task were gone.
    pub(crate) fn is_live(&self) -> bool {
        self.state().heard.is_some_and(|heard| heard.elapsed() < FRESH)
    }

    /// What is held.
    fn held(&self) -> Vec<HeldTask> {
        let state = self.state();
        let held = state.held.iter().map(|(task_id, (fence, _))| HeldTask { task_id: *task_id, fence: *fence });
        held.take(MAX_HELD).collect()
    }

    fn handle(&self, signal: Signal) {
        match signal {
            Signal::Alive { complete } => self.state().heard = complete.then(Instant::now),
            Signal::Released { task, reason } => {
                let mut state = self.state();
                if let Some((fence, release)) = state.held.get(&task.task_id)
                    && *fence == task.fence
                {
                    tracing::info!(task_id = %task.task_id, fence = task.fence, ?reason, "the task is released");
                    release.set(reason);
                    return;
                }
                if state.recent.len() >= RECENT {
                    state.recent.pop_front();
                }
                state.recent.push_back((task, reason));
            }
            Signal::Unknown => {}
        }
    }

    fn disconnected(&self) {
        self.state().heard = None;
    }
}

/// Listens for as long as it is polled.
pub(crate) async fn listen(api: &RunApi, signals: &Signals) {
    let mut pause = FIRST_PAUSE;
    loop {
        match listen_once(api, signals, &mut pause).await {
            // The run API ends the connection when word may have been lost: what is held is looked at anew.
            Ok(()) => tracing::debug!("the signals end and are listened to anew"),
            Err(ApiError::Refused(problem)) if problem.status == 404 => {
                tracing::debug!("the control-plane knows no signals");
                pause = UNKNOWN_ROUTE_PAUSE;
            }
            Err(error) => tracing::warn!(%error, "no signals arrive: the run API is asked before each request"),
        }
        signals.disconnected();
        sleep(pause).await;
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
}

async fn listen_once(api: &RunApi, signals: &Signals, pause: &mut Duration) -> Result<(), ApiError> {
    let mut lines = api.signals(signals.held()).await?;
    loop {
        let silent = |_| ApiError::Unreachable("nothing is heard".to_owned());
        let Some(signal) = timeout(SILENCE_TIMEOUT, lines.next()).await.map_err(silent)?? else { return Ok(()) };
        *pause = FIRST_PAUSE;
        signals.handle(signal);
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    fn task(fence: i64) -> HeldTask {
        HeldTask { task_id: TaskId(Uuid::from_u128(1)), fence }
    }

    #[test]
    fn a_signal_releases_the_task_under_its_fence_and_no_other() {
        let signals = Arc::new(Signals::default());
        let release = ReleaseCell::default();
        let held = signals.hold(task(2), &release);
        signals.handle(Signal::Released { task: task(1), reason: ReleaseReason::Taken });
        assert!(!release.token.is_cancelled());
        signals.handle(Signal::Released { task: task(2), reason: ReleaseReason::Ended });
        assert!(release.token.is_cancelled());
        assert_eq!(release.reason(), Some(ReleaseReason::Ended));
        drop(held);
        assert!(signals.held().is_empty());
    }

    #[test]
    fn a_signal_that_comes_before_the_claims_answer_is_kept() {
        let signals = Arc::new(Signals::default());
        for n in 0..10 {
            signals.handle(Signal::Released { task: task(n), reason: ReleaseReason::Ended });
        }
        let release = ReleaseCell::default();
        let _held = signals.hold(task(7), &release);
        assert!(release.token.is_cancelled());
    }

    #[test]
    fn a_task_held_anew_stays_held_when_the_old_hold_goes() {
        let signals = Arc::new(Signals::default());
        let old = signals.hold(task(1), &ReleaseCell::default());
        let _new = signals.hold(task(2), &ReleaseCell::default());
        drop(old);
        assert_eq!(signals.held(), [task(2)]);
    }

    #[tokio::test(start_paused = true)]
    async fn it_is_live_while_something_complete_is_heard() {
        let signals = Signals::default();
        assert!(!signals.is_live());
        signals.handle(Signal::Alive { complete: true });
        assert!(signals.is_live());
        tokio::time::advance(FRESH).await;
        assert!(!signals.is_live());
        signals.handle(Signal::Alive { complete: false });
        assert!(!signals.is_live(), "word of other control-planes does not arrive");
    }
}
