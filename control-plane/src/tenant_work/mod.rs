//! Work that a tenant makes expensive: reading and checking definitions, comparing versions, searching
//! for the times of schedules, checking values against schemas, large JSON.
//!
//! It never runs on threads that serve requests, nor on tokio's blocking threads, which everybody shares.
//! [`TenantExecutor`] has a few threads of its own, of lower priority, and hands them out by turns: each team that
//! waits has one turn, then the next team, however much one of them asks for. No team has all threads at once. So
//! much of a team may wait; beyond, it is asked to retry.

mod limiter;
#[cfg(test)]
mod tests;
mod threads;

use std::{sync::Arc, time::Duration};

use restroy_sdk::problem::{LimitHit, Problem, ProblemCode};
use uuid::Uuid;

use self::{
    limiter::{AcquireError, Limiter, Permit},
    threads::Threads,
};
use crate::error::{ApiError, ApiResult};

/// How much work is done and waits.
#[derive(Debug, Clone, Copy)]
pub struct TenantLimits {
    /// How many threads work. One team has at most one less, if there are several.
    pub threads: usize,
    /// How many requests of a team may wait for a turn.
    pub waiting_per_team: usize,
    /// How many requests may wait, of all teams.
    pub waiting: usize,
    /// How long a request waits for its turn.
    pub timeout: Duration,
}

impl Default for TenantLimits {
    fn default() -> Self {
        let cores = std::thread::available_parallelism().map_or(2, usize::from);
        Self { threads: cores.clamp(2, 8), waiting_per_team: 16, waiting: 512, timeout: Duration::from_secs(20) }
    }
}

/// Threads for the work of tenants, in turns. Cheap to clone.
#[derive(Debug, Clone)]
pub struct TenantExecutor {
    limiter: Limiter,
    threads: Arc<Threads>,
    limits: TenantLimits,
}

impl TenantExecutor {
    /// Starts the threads.
    pub fn new(limits: TenantLimits) -> Self {
        Self { limiter: Limiter::new(limits), threads: Arc::new(Threads::start(limits.threads)), limits }
    }

    /// Waits for a turn of the team, or of whoever else the work is done for. What is read for the work is
    /// best read under the turn. 429 `rate_limited` when too much of the team's waits, 503 when the
    /// turn does not come in time.
    pub async fn acquire(&self, of: Uuid) -> ApiResult<TenantPermit> {
        let acquired = tokio::time::timeout(self.limits.timeout, self.limiter.acquire(of)).await;
        match acquired {
            Ok(Ok(permit)) => Ok(TenantPermit { permit: Arc::new(permit), threads: Arc::clone(&self.threads) }),
            Ok(Err(AcquireError::Team)) => {
                let most = self.limits.waiting_per_team;
                let detail = format!(
                    "{most} requests of this team are waiting for a processor (checks of definitions and parameters, \
                    comparisons). Wait for a response before sending another."
                );
                let value = i64::try_from(most).unwrap_or(i64::MAX);
                let limit = LimitHit { name: "tenant_work_waiting".into(), value, free_at: None };
                let problem = Problem::new(ProblemCode::RateLimited).detail(detail).limit(limit);
                Err(ApiError::from(problem).retry_after(Duration::from_secs(1)))
            }
            Ok(Err(AcquireError::All)) | Err(_) => Err(ApiError::with(
                ProblemCode::Unavailable,
                "Too many requests are waiting for a processor (checks of definitions and parameters, comparisons). \
                Try again shortly.",
            )),
        }
    }

    /// Waits for a turn and does the work.
    pub async fn run<T: Send + 'static>(&self, of: Uuid, work: impl FnOnce() -> T + Send + 'static) -> ApiResult<T> {
        self.acquire(of).await?.run(work).await
    }
}

/// A turn: as long as it is held, its team has one of the threads.
#[derive(Debug, Clone)]
pub struct TenantPermit {
    permit: Arc<Permit>,
    threads: Arc<Threads>,
}

impl TenantPermit {
    /// Does the work on one of the threads. It is done to its end, and the turn lasts so long, even when the
    /// caller goes away.
    pub async fn run<T: Send + 'static>(&self, work: impl FnOnce() -> T + Send + 'static) -> ApiResult<T> {
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
            return Err(ApiError::new(ProblemCode::Internal));
        }
        answer.await.map_err(|_| {
            // It panicked; its thread said so.
            ApiError::new(ProblemCode::Internal)
        })
    }
}
