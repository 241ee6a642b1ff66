//! Whether a task does anything, or only waits: nothing left but attempts whose time has not come.
//!
//! Everything that is under way holds a [`ActivityGuard`], which it hands on to what follows from it before it lets go: so
//! there is no moment at which a task that is active looks idle. An attempt that waits gives its own back for as
//! long ([`ActivityGuard::pause`]).

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use restroy_sdk::event::StepRef;
use tokio::{
    sync::{Notify, watch},
    time::Instant,
};

/// A task whose attempts all wait at least so long gives its lease and slot back.
pub(crate) const LEAST_WAIT: Duration = Duration::from_secs(5);

#[derive(Debug, Default)]
struct ActivityState {
    busy: usize,
    next: u64,
    pauses: BTreeMap<u64, (StepRef, Instant)>,
}

/// What a task does and waits for.
#[derive(Debug, Default)]
pub(crate) struct Activity {
    state: Mutex<ActivityState>,
    changed: Notify,
    /// Whether the task is being given back: no pause ends meanwhile.
    frozen: watch::Sender<bool>,
}

/// Something is under way, as long as it is held.
#[derive(Debug)]
pub(crate) struct ActivityGuard(Arc<Activity>);

impl Activity {
    fn state(&self) -> MutexGuard<'_, ActivityState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Something gets under way.
    pub(crate) fn busy(self: &Arc<Self>) -> ActivityGuard {
        self.state().busy += 1;
        ActivityGuard(Arc::clone(self))
    }

    /// Whether the task is being given back: its lease is not to be renewed.
    pub(crate) fn is_frozen(&self) -> bool {
        *self.frozen.borrow()
    }

    /// Waits until there is nothing but attempts that wait for [`LEAST_WAIT`] at least, and keeps them from
    /// going on: until [`Activity::thaw`].
    pub(crate) async fn freeze(&self) {
        loop {
            let changed = self.changed.notified();
            {
                let state = self.state();
                let soon = Instant::now() + LEAST_WAIT;
                if state.busy == 0 && !state.pauses.is_empty() && state.pauses.values().all(|(_, until)| *until >= soon)
                {
                    // Under the lock: a pause that ends looks at this after it.
                    self.frozen.send_replace(true);
                    return;
                }
            }
            changed.await;
        }
    }

    /// Lets attempts continue whose time has come.
    pub(crate) fn thaw(&self) {
        self.frozen.send_replace(false);
    }

    /// The attempts that wait.
    pub(crate) fn waiting(&self) -> Vec<StepRef> {
        self.state().pauses.values().map(|(step, _)| step.clone()).collect()
    }
}

impl ActivityGuard {
    /// Runs `future`, the end of which something else brings about that is busy itself.
    pub(crate) async fn idle<T>(&self, future: impl Future<Output = T>) -> T {
        let _idle = IdleGuard::new(&self.0, None);
        future.await
    }

    /// Waits until a time for an attempt, and for as long as the task is being given back.
    pub(crate) async fn pause(&self, step: StepRef, until: Instant) {
        let _idle = IdleGuard::new(&self.0, Some((step, until)));
        tokio::time::sleep_until(until).await;
        let mut frozen = self.0.frozen.subscribe();
        // The sender lives as long as `self`.
        let _ = frozen.wait_for(|frozen| !frozen).await;
    }
}

impl Drop for ActivityGuard {
    fn drop(&mut self) {
        self.0.state().busy -= 1;
        self.0.changed.notify_one();
    }
}

/// A [`ActivityGuard`] that counts for nothing meanwhile.
struct IdleGuard<'a> {
    activity: &'a Activity,
    pause: Option<u64>,
}

impl<'a> IdleGuard<'a> {
    fn new(activity: &'a Activity, pause: Option<(StepRef, Instant)>) -> Self {
        let pause = {
            let mut state = activity.state();
            state.busy -= 1;
            pause.map(|pause| {
                let id = state.next;
                state.next += 1;
                state.pauses.insert(id, pause);
                id
            })
        };
        activity.changed.notify_one();
        Self { activity, pause }
    }
}

impl Drop for IdleGuard<'_> {
    fn drop(&mut self) {
        let mut state = self.activity.state();
        state.busy += 1;
        if let Some(pause) = self.pause {
            state.pauses.remove(&pause);
        }
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt as _;

    use super::*;

    fn step(name: &str) -> StepRef {
        StepRef { step: name.to_owned(), index: None, attempt: 2 }
    }

    #[tokio::test(start_paused = true)]
    async fn it_freezes_once_everything_waits_long_enough() {
        let activity = Arc::new(Activity::default());
        assert!(activity.freeze().now_or_never().is_none(), "nothing waits");
        let (a, b) = (activity.busy(), activity.busy());
        let mut long = Box::pin(a.pause(step("a"), Instant::now() + LEAST_WAIT * 4));
        assert!(long.as_mut().now_or_never().is_none());
        assert!(activity.freeze().now_or_never().is_none(), "b is at work");
        {
            let mut short = Box::pin(b.pause(step("b"), Instant::now() + LEAST_WAIT / 2));
            assert!(short.as_mut().now_or_never().is_none());
            assert!(activity.freeze().now_or_never().is_none(), "b goes on soon");
        }
        drop(b);
        activity.freeze().now_or_never().expect("a alone is left, and waits");
        assert_eq!(activity.waiting().len(), 1);
        tokio::time::advance(LEAST_WAIT * 5).await;
        assert!(long.as_mut().now_or_never().is_none(), "nothing goes on while the task is given back");
        activity.thaw();
        long.await;
    }

    #[tokio::test(start_paused = true)]
    async fn what_waits_for_others_counts_for_nothing() {
        let activity = Arc::new(Activity::default());
        let (parent, item) = (activity.busy(), activity.busy());
        let mut parent = Box::pin(parent.idle(std::future::pending::<()>()));
        assert!(parent.as_mut().now_or_never().is_none());
        assert!(activity.freeze().now_or_never().is_none());
        let mut item = Box::pin(item.pause(step("item"), Instant::now() + LEAST_WAIT));
        assert!(item.as_mut().now_or_never().is_none());
        activity.freeze().now_or_never().expect("only the item waits");
        drop(parent);
    }
}
