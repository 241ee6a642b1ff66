//! Wake-ups between processes: one channel, on which a process says what is new and hears what the
//! others say.

use std::{
    collections::HashSet,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use redis::RedisResult;
use restroy_sdk::ids::{ExecutorId, RunId, TeamId};
use serde::{Deserialize, Serialize};
use tokio::sync::{Notify, broadcast};
use tokio_util::sync::{CancellationToken, DropGuard};
use uuid::Uuid;

use super::{
    RedisOptions,
    link::{ConnectionObserver, Link, LinkPurpose},
};
use crate::{
    run_api::{HeldTask, ReleaseReason},
    wake::Wake,
};

/// How many runs may wait to be said; beyond, "look at everything" is said instead.
const MAX_RUNS: usize = 4096;
/// How many teams may wait to be said; beyond, "look at everything" is said instead.
const MAX_TEAMS: usize = 512;
/// How many released tasks may wait to be said; beyond, "look at everything" is said instead.
const MAX_RELEASED: usize = 4096;
/// How many runs are said at once.
const RUNS_AT_ONCE: usize = 512;
/// The version of what is said.
const PROTOCOL: u32 = 1;

/// What is said on the channel: ids and numbers only. Fields that a listener does not know it
/// ignores.
#[derive(Debug, Default, Serialize, Deserialize)]
struct WireMessage {
    protocol: u32,
    /// The process that says it, which has told its own listeners already.
    origin: Uuid,
    #[serde(default)]
    admit: bool,
    #[serde(default)]
    missed: bool,
    /// Run and newest event.
    #[serde(default)]
    runs: Vec<RunId>,
    /// Teams in which members may do other things than before.
    #[serde(default)]
    access: Vec<TeamId>,
    /// Tasks that are not their executors' any more.
    #[serde(default)]
    released: Vec<(ExecutorId, HeldTask, ReleaseReason)>,
}

/// The other processes.
#[derive(Debug)]
pub(crate) struct RemoteProcesses {
    outbox: Arc<WakeOutbox>,
    link: Arc<Link>,
    _stop: DropGuard,
}

impl RemoteProcesses {
    pub(crate) fn start(options: &RedisOptions, origin: Uuid, local: broadcast::Sender<Wake>) -> Self {
        let channel = options.name("wake");
        let purpose = LinkPurpose {
            what: "word to the other processes",
            channels: vec![channel.clone()],
            ear: Arc::new(WireListener { origin, local }),
        };
        let link = Arc::new(Link::start(options.client(), purpose));
        let (outbox, stop) = (Arc::new(WakeOutbox::default()), CancellationToken::new());
        let publisher = Publisher { origin, channel, outbox: Arc::clone(&outbox), link: Arc::clone(&link) };
        tokio::spawn(stop.clone().run_until_cancelled_owned(publisher.publish()));
        Self { outbox, link, _stop: stop.drop_guard() }
    }

    pub(crate) fn send(&self, wake: Wake) {
        self.outbox.add(wake);
    }

    pub(crate) fn connected(&self) -> bool {
        self.link.connected()
    }

    pub(crate) async fn until_connected(&self) {
        self.link.standing().await;
    }
}

/// Passes what others say on to the listeners here.
struct WireListener {
    origin: Uuid,
    local: broadcast::Sender<Wake>,
}

impl ConnectionObserver for WireListener {
    fn on_message(&self, payload: &[u8]) {
        let said: WireMessage = match serde_json::from_slice(payload) {
            Ok(said) => said,
            Err(error) => {
                tracing::debug!(%error, "a wake-up cannot be read");
                let _ = self.local.send(Wake::Missed);
                return;
            }
        };
        if said.origin == self.origin {
            return;
        }
        // What a newer version says besides, only it can know.
        if said.missed || said.protocol > PROTOCOL {
            let _ = self.local.send(Wake::Missed);
        }
        if said.admit {
            let _ = self.local.send(Wake::Admit);
        }
        for run_id in said.runs {
            let _ = self.local.send(Wake::Run { run_id });
        }
        for team_id in said.access {
            let _ = self.local.send(Wake::Access { team_id });
        }
        for (executor_id, task, reason) in said.released {
            let _ = self.local.send(Wake::Released { executor_id, task, reason });
        }
    }

    fn on_connected(&self) {
        let _ = self.local.send(Wake::Missed);
    }
}

/// What is still to be said.
#[derive(Debug, Default)]
struct PendingWakes {
    admit: bool,
    missed: bool,
    runs: HashSet<RunId>,
    access: HashSet<TeamId>,
    released: Vec<(ExecutorId, HeldTask, ReleaseReason)>,
}

impl PendingWakes {
    fn is_empty(&self) -> bool {
        !self.admit && !self.missed && self.runs.is_empty() && self.access.is_empty() && self.released.is_empty()
    }

    fn add(&mut self, wake: Wake) {
        match wake {
            Wake::Missed => self.missed = true,
            Wake::Admit => self.admit = true,
            Wake::Run { run_id } => {
                self.runs.insert(run_id);
            }
            Wake::Access { team_id } => drop(self.access.insert(team_id)),
            Wake::Released { executor_id, task, reason } => self.released.push((executor_id, task, reason)),
        }
        if self.runs.len() > MAX_RUNS || self.access.len() > MAX_TEAMS || self.released.len() > MAX_RELEASED {
            self.missed = true;
        }
        if self.missed {
            // It says all the rest as well.
            self.admit = false;
            self.runs = HashSet::new();
            self.access = HashSet::new();
            self.released = Vec::new();
        }
    }

    /// What could not be said after all.
    fn restore(&mut self, taken: Self) {
        for run_id in taken.runs {
            self.add(Wake::Run { run_id });
        }
        for team_id in taken.access {
            self.add(Wake::Access { team_id });
        }
        for (executor_id, task, reason) in taken.released {
            self.add(Wake::Released { executor_id, task, reason });
        }
        if taken.admit {
            self.add(Wake::Admit);
        }
        if taken.missed {
            self.add(Wake::Missed);
        }
    }

    /// As much of it as goes into one message.
    fn take(&mut self) -> Self {
        let access = std::mem::take(&mut self.access);
        let released = std::mem::take(&mut self.released);
        let mut taken = Self { admit: self.admit, missed: self.missed, runs: HashSet::new(), access, released };
        (self.admit, self.missed) = (false, false);
        if self.runs.len() <= RUNS_AT_ONCE {
            taken.runs = std::mem::take(&mut self.runs);
        } else {
            let some: Vec<RunId> = self.runs.iter().take(RUNS_AT_ONCE).copied().collect();
            taken.runs = some.into_iter().filter(|run| self.runs.remove(run)).collect();
        }
        taken
    }
}

/// Coalesces what is to be said until it can be said.
#[derive(Debug, Default)]
struct WakeOutbox {
    pending: Mutex<PendingWakes>,
    filled: Notify,
}

impl WakeOutbox {
    fn add(&self, wake: Wake) {
        self.pending().add(wake);
        self.filled.notify_one();
    }

    fn pending(&self) -> MutexGuard<'_, PendingWakes> {
        // Nothing panics while it is held; if it did, what is pending would still be whole.
        self.pending.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Says what is in the outbox, a message at a time: while one is under way the next one gathers.
struct Publisher {
    origin: Uuid,
    channel: String,
    outbox: Arc<WakeOutbox>,
    link: Arc<Link>,
}

impl Publisher {
    async fn publish(self) {
        loop {
            self.outbox.filled.notified().await;
            loop {
                self.link.standing().await;
                let taken = self.outbox.pending().take();
                if taken.is_empty() {
                    break;
                }
                if let Err(error) = self.publish_message(&taken).await {
                    tracing::debug!(%error, "wake-ups will be sent later");
                    self.link.failed(&error);
                    self.outbox.pending().restore(taken);
                    tokio::time::sleep(super::link::RETRY).await;
                }
            }
        }
    }

    async fn publish_message(&self, pending: &PendingWakes) -> RedisResult<()> {
        let Some(mut connection) = self.link.connection() else {
            return Err((redis::ErrorKind::Io, "Redis does not answer").into());
        };
        let said = WireMessage {
            protocol: PROTOCOL,
            origin: self.origin,
            admit: pending.admit,
            missed: pending.missed,
            runs: pending.runs.iter().copied().collect(),
            access: pending.access.iter().copied().collect(),
            released: pending.released.clone(),
        };
        let payload = serde_json::to_vec(&said)
            .map_err(|_| redis::RedisError::from((redis::ErrorKind::Client, "a wake-up cannot be written")))?;
        redis::cmd("PUBLISH").arg(&self.channel).arg(payload).query_async(&mut connection).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(n: u128) -> Wake {
        Wake::Run { run_id: RunId(Uuid::from_u128(n)) }
    }

    #[test]
    fn each_run_is_kept_once() {
        let mut pending = PendingWakes::default();
        for wake in [run(1), run(1), Wake::Admit, Wake::Admit, run(2)] {
            pending.add(wake);
        }
        let taken = pending.take();
        assert!(pending.is_empty() && taken.admit && !taken.missed);
        let both = [RunId(Uuid::from_u128(1)), RunId(Uuid::from_u128(2))];
        assert_eq!(taken.runs, both.into());
        pending.add(run(1));
        pending.restore(taken);
        assert_eq!(pending.take().runs, both.into());
    }

    #[test]
    fn too_many_runs_become_look_at_everything() {
        let mut pending = PendingWakes::default();
        for n in 0..MAX_RUNS as u128 {
            pending.add(run(n));
        }
        assert!(!pending.missed);
        pending.add(run(u128::MAX));
        assert!(pending.missed && pending.runs.is_empty());
        pending.add(run(1));
        assert!(pending.runs.is_empty(), "it says all the rest as well");
        assert!(pending.take().missed && pending.is_empty());
    }

    #[test]
    fn teams_are_said_once_and_too_many_become_look_at_everything() {
        let team = |n: usize| Wake::Access { team_id: TeamId(Uuid::from_u128(n as u128)) };
        let mut pending = PendingWakes::default();
        for n in [1, 2, 1] {
            pending.add(team(n));
        }
        let taken = pending.take();
        assert!(pending.is_empty() && taken.access.len() == 2 && !taken.missed);
        pending.restore(taken);
        assert_eq!(pending.access.len(), 2);
        for n in 0..=MAX_TEAMS {
            pending.add(team(n));
        }
        assert!(pending.missed && pending.access.is_empty());
    }

    #[test]
    fn a_message_carries_so_many_runs_and_no_more() {
        let mut pending = PendingWakes::default();
        for n in 0..1_000 {
            pending.add(run(n));
        }
        let sizes: Vec<usize> = std::iter::from_fn(|| Some(pending.take()).filter(|taken| !taken.is_empty()))
            .map(|taken| taken.runs.len())
            .collect();
        assert_eq!(sizes, [RUNS_AT_ONCE, 1_000 - RUNS_AT_ONCE]);
    }
}
