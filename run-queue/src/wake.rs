//! Wake-ups: word that there is something new in the database. Losing one costs a poll interval.
//!
//! [`WakeUps::default`] reaches the listeners of this process, [`WakeUps::over_redis`] those of
//! every process that shares the Redis: local ones at once, the others within a millisecond or so.

use std::sync::Arc;

use restroy_sdk::{
    ids::{ExecutorId, RunId, TeamId},
    time::Ambient,
};
use serde::{Deserialize, Serialize};
use tokio::sync::broadcast;

use crate::{
    redis::{RedisOptions, wire::RemoteProcesses},
    run_api::{HeldTask, ReleaseReason},
};

/// How many wake-ups may wait for a slow listener; beyond, it is informed that it missed some.
const BACKLOG: usize = 4096;

/// What there is to look at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Wake {
    /// A task waits for admission.
    Admit,
    /// A run has new events.
    Run {
        /// The run.
        run_id: RunId,
    },
    /// What members of a team may do there has changed: who watches may not do so any more.
    Access {
        /// The team.
        team_id: TeamId,
    },
    /// A task is not its executor's any more.
    Released {
        /// Which executor held it.
        executor_id: ExecutorId,
        /// The task, under the fence with which it was held.
        task: HeldTask,
        /// Why it is not any more.
        reason: ReleaseReason,
    },
    /// Wake-ups were lost, nobody knows which: look at everything.
    Missed,
}

/// Sends wake-ups to whoever listens, in this process and, over Redis, in the others. Cheap to clone.
#[derive(Debug, Clone)]
pub struct WakeUps {
    local: broadcast::Sender<Wake>,
    remote: Option<Arc<RemoteProcesses>>,
}

impl Default for WakeUps {
    fn default() -> Self {
        Self { local: broadcast::Sender::new(BACKLOG), remote: None }
    }
}

impl WakeUps {
    /// Wake-ups of all the processes that share this Redis and prefix. Must be called within a tokio
    /// runtime; returns at once, whether Redis answers or not, and keeps at it until the last clone
    /// is dropped.
    ///
    /// Each time the connection comes to stand, the first one included, listeners get
    /// [`Wake::Missed`].
    pub fn over_redis(options: &RedisOptions, ambient: &Ambient) -> Self {
        let local = broadcast::Sender::new(BACKLOG);
        let remote = Arc::new(RemoteProcesses::start(options, ambient.id(), local.clone()));
        Self { local, remote: Some(remote) }
    }

    /// Notifies all listeners; nobody listening is not an error. Neither blocks nor fails: what Redis
    /// cannot take now is kept and coalesced until it can, each run once, and
    /// beyond a bound as one [`Wake::Missed`].
    pub fn send(&self, wake: Wake) {
        let _ = self.local.send(wake);
        if let Some(remote) = &self.remote {
            remote.send(wake);
        }
    }

    /// Listens from now on. A lagging receiver gets `RecvError::Lagged` and must look at everything.
    pub fn listen(&self) -> broadcast::Receiver<Wake> {
        self.local.subscribe()
    }

    /// Whether word gets to the other processes at present. Costs no call. Always true within one
    /// process.
    pub fn connected(&self) -> bool {
        self.remote.as_ref().is_none_or(|remote| remote.connected())
    }

    /// Waits until [`WakeUps::connected`].
    pub async fn until_connected(&self) {
        if let Some(remote) = &self.remote {
            remote.until_connected().await;
        }
    }
}
