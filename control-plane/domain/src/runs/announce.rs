//! What follows the commit of a transaction about runs: watchers, executors, the dispatcher and the metrics hear of it.
//!
//! A transaction collects [`Announcements`] while it writes; [`Announcements::commit`] commits it and announces them. What
//! reacts to the end of a run belongs here.

use std::time::Duration;

use restroy_run_queue::{
    run_api::{HeldTask, ReleaseReason},
    wake::Wake,
};
use restroy_sdk::{
    ids::{ExecutorId, RunId, TeamId},
    status::RunStatus,
};

use super::end::RunEnded;
use crate::{
    DomainResult,
    state::DomainState,
    store::{TeamTx, Tx},
};

/// What is to be announced once the transaction that caused it is committed.
#[derive(Debug, Default)]
#[must_use = "nobody hears of what the transaction changed before this is committed"]
pub struct Announcements {
    /// Executors first: they may be about to do something.
    released: Vec<Wake>,
    wakes: Vec<Wake>,
    admit: bool,
    runs_started: usize,
    runs_ended: Vec<(RunStatus, Option<Duration>)>,
    leases_expired: usize,
}

impl Announcements {
    /// A run has new events.
    pub(crate) fn run_changed(&mut self, run_id: RunId) {
        self.wakes.push(Wake::Run { run_id });
    }

    /// A run was recorded.
    pub(crate) fn run_started(&mut self, run_id: RunId) {
        self.runs_started += 1;
        self.run_changed(run_id);
    }

    /// A run ended: its executor stops at once, and others may start.
    pub(crate) fn run_ended(&mut self, ended: RunEnded) {
        self.run_changed(ended.run_id);
        self.runs_ended.push((ended.status, ended.took));
        for (executor_id, task) in ended.released {
            self.released(executor_id, task, ReleaseReason::Ended);
        }
        self.admit();
    }

    /// An executor does not hold a task any more.
    pub(crate) fn released(&mut self, executor_id: ExecutorId, task: HeldTask, reason: ReleaseReason) {
        self.released.push(Wake::Released { executor_id, task, reason });
    }

    /// A lease ran out before its work was done.
    pub(crate) fn lease_expired(&mut self) {
        self.leases_expired += 1;
    }

    /// A task waits for admission, or a slot is free.
    pub fn admit(&mut self) {
        self.admit = true;
    }

    /// What members of a team may do has changed.
    pub fn access_changed(&mut self, team_id: TeamId) {
        self.wakes.push(Wake::Access { team_id });
    }

    /// Adds those of another part of the same transaction.
    pub fn extend(&mut self, other: Self) {
        self.released.extend(other.released);
        self.wakes.extend(other.wakes);
        self.admit |= other.admit;
        self.runs_started += other.runs_started;
        self.runs_ended.extend(other.runs_ended);
        self.leases_expired += other.leases_expired;
    }

    /// Commits the transaction, and announces.
    ///
    /// # Errors
    /// When it cannot be committed: nothing is announced.
    pub async fn commit(self, tx: impl Commit, state: &DomainState) -> DomainResult<()> {
        tx.commit().await?;
        for wake in self.released.into_iter().chain(self.wakes) {
            state.wake.send(wake);
        }
        if self.admit {
            state.wake.send(Wake::Admit);
        }
        for _ in 0..self.runs_started {
            state.metrics.run_started();
        }
        for (status, took) in self.runs_ended {
            state.metrics.run_ended(status, took);
        }
        for _ in 0..self.leases_expired {
            state.metrics.lease_lost();
        }
        Ok(())
    }
}

/// A transaction of a team, or of the installation.
pub trait Commit {
    /// Makes what was written last.
    fn commit(self) -> impl Future<Output = Result<(), sqlx::Error>> + Send;
}

impl Commit for TeamTx {
    async fn commit(self) -> Result<(), sqlx::Error> {
        Self::commit(self).await
    }
}

impl Commit for Tx {
    async fn commit(self) -> Result<(), sqlx::Error> {
        Self::commit(self).await
    }
}
