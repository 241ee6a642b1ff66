//! Wake-ups: word that there is something new in the database. Losing one costs a poll interval.

use restroy_sdk::ids::RunId;
use serde::{Deserialize, Serialize};
use tokio::sync::broadcast;

/// How many wake-ups may wait for a slow listener; beyond, it is told that it missed some.
const BACKLOG: usize = 4096;

/// What there is to look at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Wake {
    /// A task waits for admission.
    Admit,
    /// A run has events up to `last_seq`.
    Run {
        /// Which run.
        run_id: RunId,
        /// Its newest event.
        last_seq: i64,
    },
}

/// Sends wake-ups to whoever listens, within this process.
#[derive(Debug, Clone)]
pub struct WakeUps(broadcast::Sender<Wake>);

impl Default for WakeUps {
    fn default() -> Self {
        Self(broadcast::Sender::new(BACKLOG))
    }
}

impl WakeUps {
    /// Tells all listeners; nobody listening is no fault.
    pub fn send(&self, wake: Wake) {
        let _ = self.0.send(wake);
    }

    /// Listens from now on. A lagging receiver gets `RecvError::Lagged` and must look at everything.
    pub fn listen(&self) -> broadcast::Receiver<Wake> {
        self.0.subscribe()
    }
}
