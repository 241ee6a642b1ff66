//! The loops that keep runs going. Each survives its errors: it says so, waits, continues.

use std::{future::Future, sync::Arc, time::Duration};

use restroy_run_queue::wake::Wake;
use tokio::{
    sync::broadcast::error::RecvError,
    task::JoinSet,
    time::{MissedTickBehavior, interval},
};
use tokio_util::sync::CancellationToken;

use super::{
    dispatch,
    leader::Leadership,
    purge, reconcile,
    retention::{RetentionSweeper, STEPS},
    schedule, storage,
};
use crate::{DomainResult, mail::Mailer, state::DomainState};

/// How often each loop looks, whether it was woken or not.
const POLL_INTERVAL: Duration = Duration::from_secs(1);
/// How often the purge takes its steps.
const PURGE_INTERVAL: Duration = Duration::from_mins(1);
/// How often the retention takes its steps.
const RETENTION_INTERVAL: Duration = Duration::from_secs(5);
/// The longest pause after errors in a row.
const MAX_BACKOFF: Duration = Duration::from_secs(30);

/// The running loops. Dropping it ends them at once; [`Services::stopped`] waits for them.
#[derive(Debug)]
pub struct Services(JoinSet<()>);

impl Services {
    /// Adds a loop. It is to end when it is told to stop, and not before.
    pub fn spawn(&mut self, service: impl Future<Output = ()> + Send + 'static) {
        self.0.spawn(service);
    }

    /// Waits until a loop has ended, which none does before `shutdown` is cancelled: it is a fault of ours, and the
    /// process had better start anew than continue without it.
    pub async fn failed(&mut self) {
        if let Some(ended) = self.0.join_next().await
            && let Err(error) = ended
        {
            tracing::error!(%error, "a service failed");
        }
    }

    /// Waits until every loop has ended: after `shutdown` was cancelled each ends with what it is at.
    pub async fn stopped(mut self) {
        while let Some(ended) = self.0.join_next().await {
            if let Err(error) = ended
                && error.is_panic()
            {
                tracing::error!(%error, "a service ended with a panic");
            }
        }
    }
}

/// Starts dispatcher, reconciler, purge, retention, the count of storage, scheduler and, where a
/// mail server is configured, the sender of e-mails. They end when `shutdown` is cancelled.
pub fn spawn_loops(state: &DomainState, shutdown: &CancellationToken) -> Services {
    let mut services = JoinSet::new();
    services.spawn(dispatcher(state.clone(), shutdown.clone()));
    let looked = Arc::new(reconcile::LastRecovery::default());
    let reconcile = move |state| reconcile_pass(state, Arc::clone(&looked));
    services.spawn(run_every("reconcile", POLL_INTERVAL, state.clone(), shutdown.clone(), reconcile));
    services.spawn(run_every("schedule", POLL_INTERVAL, state.clone(), shutdown.clone(), schedule_pass));
    services.spawn(run_every("purge", PURGE_INTERVAL, state.clone(), shutdown.clone(), purge_pass));
    services.spawn(run_every("storage", POLL_INTERVAL, state.clone(), shutdown.clone(), fold_pass));
    services.spawn(run_every("recount", PURGE_INTERVAL, state.clone(), shutdown.clone(), recount_pass));
    services.spawn(retention(state.clone(), shutdown.clone()));
    if let Some(mail) = &state.settings.mail {
        let mailer = Mailer::new(mail, &state.settings.public_url);
        services.spawn(mailer.run(state.clone(), shutdown.clone()));
    }
    Services(services)
}

/// Admits when it is woken and every second; pushes again what nobody claims.
async fn dispatcher(state: DomainState, shutdown: CancellationToken) {
    let mut wake = state.wake.listen();
    let mut look = ticks(POLL_INTERVAL);
    let mut errors = Backoff::default();
    // Held also while there is nothing to admit: operators see who leads.
    let mut lead = Leadership::for_work(dispatch::LEADER_WORK);
    loop {
        let timer = tokio::select! {
            () = shutdown.cancelled() => return,
            () = admit_woken(&state, &mut wake) => false,
            _ = look.tick() => true,
        };
        // One pass serves all the wake-ups that came in meanwhile.
        while wake.try_recv().is_ok() {}
        let mut done = dispatch::admit(&state).await.map(|_| ());
        if timer && done.is_ok() {
            done = lead.is_leader(&state).await.map(|_| ());
        }
        if timer && done.is_ok() {
            done = dispatch::push_again(&state, false).await.map(|_| ());
        }
        errors.wait_after("dispatch", done, &shutdown).await;
    }
}

async fn admit_woken(state: &DomainState, wake: &mut tokio::sync::broadcast::Receiver<Wake>) {
    loop {
        match wake.recv().await {
            Ok(Wake::Admit | Wake::Missed) => return,
            Err(RecvError::Lagged(count)) => return state.metrics.wake_ups_missed(count),
            Ok(Wake::Run { .. } | Wake::Access { .. } | Wake::Released { .. }) => {}
            // Cannot be while the state is held; the timer continues in any case.
            Err(RecvError::Closed) => std::future::pending().await,
        }
    }
}

/// Does the same thing again and again, on one replica at a time.
async fn run_every<F, W>(name: &'static str, period: Duration, state: DomainState, shutdown: CancellationToken, work: F)
where
    F: Fn(DomainState) -> W + Send,
    W: Future<Output = DomainResult<()>> + Send,
{
    let mut look = ticks(period);
    let mut errors = Backoff::default();
    let mut lead = Leadership::for_work(name);
    loop {
        tokio::select! {
            () = shutdown.cancelled() => return,
            _ = look.tick() => {}
        }
        let done = match lead.is_leader(&state).await {
            Ok(true) => work(state.clone()).await,
            other => other.map(|_| ()),
        };
        errors.wait_after(name, done, &shutdown).await;
    }
}

async fn reconcile_pass(state: DomainState, looked: Arc<reconcile::LastRecovery>) -> DomainResult<()> {
    reconcile::renew_after_sleep(&state, &looked).await?;
    reconcile::reclaim_expired(&state).await?;
    reconcile::release_drained(&state).await?;
    reconcile::finish_overdue_runs(&state).await?;
    Ok(())
}

async fn schedule_pass(state: DomainState) -> DomainResult<()> {
    schedule::fire_due(&state).await.map(|_| ())
}

async fn purge_pass(state: DomainState) -> DomainResult<()> {
    purge::pass(&state).await
}

async fn fold_pass(state: DomainState) -> DomainResult<()> {
    storage::fold(&state).await
}

async fn recount_pass(state: DomainState) -> DomainResult<()> {
    storage::pass(&state).await
}

/// Removes runs whose time is over, some steps at a time: it leads anew between them.
async fn retention(state: DomainState, shutdown: CancellationToken) {
    let mut look = ticks(RETENTION_INTERVAL);
    let mut errors = Backoff::default();
    let (mut lead, mut retention) = (Leadership::for_work("retention"), RetentionSweeper::default());
    loop {
        tokio::select! {
            () = shutdown.cancelled() => return,
            () = async {
                if !retention.has_more() {
                    look.tick().await;
                }
            } => {}
        }
        let done = match lead.is_leader(&state).await {
            Ok(true) => retention.pass(&state, STEPS).await.map(|_| ()),
            Ok(false) => {
                retention = RetentionSweeper::default();
                Ok(())
            }
            Err(error) => Err(error),
        };
        errors.wait_after("retention", done, &shutdown).await;
    }
}

fn ticks(period: Duration) -> tokio::time::Interval {
    let mut ticks = interval(period);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    ticks
}

/// Errors in a row make a loop wait, longer each time.
#[derive(Debug, Default)]
struct Backoff(u32);

impl Backoff {
    async fn wait_after(&mut self, name: &str, done: DomainResult<()>, shutdown: &CancellationToken) {
        let Err(error) = done else {
            self.0 = 0;
            return;
        };
        let pause = (POLL_INTERVAL * 2_u32.saturating_pow(self.0)).min(MAX_BACKOFF);
        self.0 = (self.0 + 1).min(8);
        tracing::error!(service = name, %error, ?pause, "a pass failed and will be retried");
        tokio::select! {
            () = shutdown.cancelled() => {}
            () = tokio::time::sleep(pause) => {}
        }
    }
}
