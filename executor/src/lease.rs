//! Keeping a lease for as long as there is progress, and no longer.
//!
//! Batches and calls renew it by themselves. Between them it is renewed only when something moved
//! since the last look: a sandbox yielded, a host call began or ended. A sandbox that waits (for an
//! HTTP answer, a `sleep`) counts as moving until its time is up; one that neither yields nor waits
//! does not, nor does a driver that hangs.

use std::{
    collections::HashMap,
    pin::Pin,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    task::{Context, Poll},
    time::Duration,
};

use tokio::time::Instant;

use crate::{client::TaskApi, run::task::TaskContext, signals::Signals};

/// Where the parts of a task leave word that they move.
#[derive(Debug, Default)]
pub(crate) struct Progress {
    moves: AtomicU64,
    next: AtomicU64,
    waits: Mutex<HashMap<u64, WaitEntry>>,
}

#[derive(Debug)]
struct WaitEntry {
    until: Instant,
    busy: Arc<AtomicBool>,
}

impl Progress {
    /// Something moved.
    pub(crate) fn record_progress(&self) {
        self.moves.fetch_add(1, Ordering::Relaxed);
    }

    /// Runs `future`; each of its yields is a move, and it may wait until `until`.
    pub(crate) fn watch<F: Future + Send>(self: &Arc<Self>, until: Instant, future: F) -> Watched<'_, F> {
        let id = self.next.fetch_add(1, Ordering::Relaxed);
        let busy = Arc::new(AtomicBool::new(false));
        self.waits().insert(id, WaitEntry { until, busy: Arc::clone(&busy) });
        Watched { progress: self, id, busy, future: Box::pin(future) }
    }

    /// Whether there is progress: moves since the last look, or somebody who may wait.
    fn take_progress(&self, seen: &mut u64) -> bool {
        let moves = self.moves.load(Ordering::Relaxed);
        let moved = moves != *seen;
        *seen = moves;
        let now = Instant::now();
        moved || self.waits().values().any(|wait| now < wait.until && !wait.busy.load(Ordering::Relaxed))
    }

    fn waits(&self) -> std::sync::MutexGuard<'_, HashMap<u64, WaitEntry>> {
        self.waits.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// See [`Progress::watch`].
pub(crate) struct Watched<'a, F> {
    progress: &'a Progress,
    id: u64,
    busy: Arc<AtomicBool>,
    future: Pin<Box<F>>,
}

impl<F: Future> Future for Watched<'_, F> {
    type Output = F::Output;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        self.progress.record_progress();
        self.busy.store(true, Ordering::Relaxed);
        let end = self.future.as_mut().poll(cx);
        self.busy.store(false, Ordering::Relaxed);
        end
    }
}

impl<F> Drop for Watched<'_, F> {
    fn drop(&mut self) {
        self.progress.waits().remove(&self.id);
    }
}

/// How often it is looked while no signals are heard: so long a run that was ended may go unnoticed then.
const LOOK_WITHOUT_SIGNALS: Duration = Duration::from_secs(1);

/// Keeps the lease until it is lost or the future is dropped. Looks six times within a lease, and every second
/// while no signals are heard.
pub(crate) async fn keep_lease(task: &TaskContext, signals: &Signals) {
    let (api, progress) = (&task.api, &task.progress);
    let mut seen = 0;
    let mut renewals = api.renewals();
    loop {
        let pause = (api.lease() / 6).clamp(Duration::from_millis(10), Duration::from_secs(5));
        let pause = if signals.is_live() { pause } else { pause.min(LOOK_WITHOUT_SIGNALS) };
        tokio::time::sleep(pause).await;
        let moving = progress.take_progress(&mut seen);
        let newest = api.renewals();
        if task.activity.is_frozen() {
            // It is being given back: a renewal would only find it gone.
            continue;
        }
        if newest == renewals && moving && api.renew().await.is_err() {
            return;
        }
        if !moving && api.is_overdue() {
            // Others may have it now: what is still under way must not act.
            api.expire();
            return;
        }
        renewals = api.renewals();
    }
}

/// Renews the lease of a task that waits to begin; returns when it is lost. For a time that its caller bounds.
pub(crate) async fn hold(api: &TaskApi) {
    loop {
        tokio::time::sleep(api.lease() / 3).await;
        if api.renew().await.is_err() {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn moves_count_once_and_waits_until_their_time_is_up() {
        let progress = Arc::new(Progress::default());
        let mut seen = 0;
        assert!(!progress.take_progress(&mut seen));
        progress.record_progress();
        assert!(progress.take_progress(&mut seen));
        assert!(!progress.take_progress(&mut seen));

        let until = Instant::now() + Duration::from_secs(30);
        let waiting = progress.watch(until, std::future::pending::<()>());
        assert!(progress.take_progress(&mut seen));
        assert!(progress.take_progress(&mut seen));
        tokio::time::advance(Duration::from_secs(31)).await;
        assert!(!progress.take_progress(&mut seen), "its time is up");
        drop(waiting);
        assert!(progress.waits().is_empty());
    }

    #[tokio::test]
    async fn a_sandbox_that_does_not_yield_is_not_progress() {
        let progress = Arc::new(Progress::default());
        let until = Instant::now() + Duration::from_hours(1);
        let inner = Arc::clone(&progress);
        progress
            .watch(until, async move {
                // From within the poll: this sandbox is running and has not yielded since.
                let mut seen = inner.moves.load(Ordering::Relaxed);
                assert!(!inner.take_progress(&mut seen));
            })
            .await;
    }
}
