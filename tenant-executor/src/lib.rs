//! Threads for work that a tenant makes expensive: reading and checking definitions, comparing versions, searching
//! for the times of schedules, checking values against schemas, searching outputs for secrets, large JSON.
//!
//! Such work never runs on threads that serve requests, renew leases or drive tasks, nor on tokio's blocking threads,
//! which everybody shares. [`TenantExecutor`] has a few threads of its own, of lower priority, and hands them out by
//! turns: each team that waits has one turn, then the next team, however much one of them asks for. No team has all
//! threads at once. The number of pieces that wait is bounded, for a team and for all.
//!
//! This crate knows neither the database nor the API: what a refusal means to a caller is its user's to say.

mod limiter;
#[cfg(test)]
mod tests;
mod threads;

use std::{sync::Arc, time::Duration};

use uuid::Uuid;

pub use self::limiter::{FairLimits, FairSemaphore, Permit, Refused};
use self::threads::Threads;

/// How much work is done and waits.
#[derive(Debug, Clone, Copy)]
pub struct TenantLimits {
    /// How many threads work. One team has at most one less, if there are several.
    pub threads: usize,
    /// How many pieces of work of a team may wait for a turn.
    pub waiting_per_team: usize,
    /// How many pieces of work may wait, of all teams.
    pub waiting: usize,
    /// How long a piece of work waits for its turn.
    pub timeout: Duration,
}

impl Default for TenantLimits {
    fn default() -> Self {
        let cores = std::thread::available_parallelism().map_or(2, usize::from);
        Self { threads: cores.clamp(2, 8), waiting_per_team: 16, waiting: 512, timeout: Duration::from_secs(20) }
    }
}

impl From<TenantLimits> for FairLimits {
    fn from(TenantLimits { threads, waiting_per_team, waiting, .. }: TenantLimits) -> Self {
        // The last thread is never a second of the same team's.
        let per_team = threads.saturating_sub(1).max(1);
        Self { permits: threads, per_team, waiting_per_team, waiting }
    }
}

/// Why work was not done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum TenantError {
    /// [`TenantLimits::waiting_per_team`] pieces of this team wait already.
    #[error("{0} pieces of work of this team wait for a processor already")]
    TeamQueueFull(usize),
    /// [`TenantLimits::waiting`] pieces wait already, of all teams.
    #[error("too much work waits for a processor")]
    QueueFull,
    /// The turn did not come within [`TenantLimits::timeout`].
    #[error("no processor was free in time")]
    Timeout,
    /// The work panicked, or no thread is left to do it. The log has the reason.
    #[error("the work broke down")]
    Failed,
}

/// Threads for the work of tenants, in turns. Cheap to clone.
#[derive(Debug, Clone)]
pub struct TenantExecutor {
    limiter: FairSemaphore,
    threads: Arc<Threads>,
    limits: TenantLimits,
}

impl TenantExecutor {
    /// Starts the threads.
    pub fn new(limits: TenantLimits) -> Self {
        Self { limiter: FairSemaphore::new(limits.into()), threads: Arc::new(Threads::start(limits.threads)), limits }
    }

    /// Waits for a turn of the team, or of whoever else the work is done for. What is read for the work is
    /// best read under the turn. Fails when too much waits already, and when the turn does not come in time.
    pub async fn turn(&self, of: Uuid) -> Result<Turn, TenantError> {
        let acquired = tokio::time::timeout(self.limits.timeout, self.limiter.acquire(of)).await;
        match acquired {
            Ok(Ok(permit)) => Ok(Turn { permit: Arc::new(permit), threads: Arc::clone(&self.threads) }),
            Ok(Err(Refused::Team)) => Err(TenantError::TeamQueueFull(self.limits.waiting_per_team)),
            Ok(Err(Refused::All)) => Err(TenantError::QueueFull),
            Err(_) => Err(TenantError::Timeout),
        }
    }

    /// Waits for a turn and does the work.
    pub async fn run<T: Send + 'static>(
        &self,
        of: Uuid,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, TenantError> {
        self.turn(of).await?.run(work).await
    }
}

/// A turn: as long as it is held, its team has one of the threads.
#[derive(Debug, Clone)]
pub struct Turn {
    permit: Arc<Permit>,
    threads: Arc<Threads>,
}

impl Turn {
    /// Does the work on one of the threads. It is done to its end, and the turn lasts so long, even when the
    /// caller goes away. Fails when the work panics.
    pub async fn run<T: Send + 'static>(&self, work: impl FnOnce() -> T + Send + 'static) -> Result<T, TenantError> {
        let (done, answer) = tokio::sync::oneshot::channel();
        let permit = Arc::clone(&self.permit);
        let queued = self.threads.push(Box::new(move || {
            let result = work();
            drop(permit);
            // Nobody waits any more: nothing is lost.
            let _ = done.send(result);
        }));
        if !queued {
            tracing::error!("no thread for the work of tenants is left");
            return Err(TenantError::Failed);
        }
        // The other end is dropped when the work panicked; its thread said so.
        answer.await.map_err(|_| TenantError::Failed)
    }
}
