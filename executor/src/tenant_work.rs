//! Work on an executor whose size a tenant chooses: building a masker, searching outputs for secrets, checking inputs
//! against a schema. It is done on threads of its own, in turns of the teams, so that one team's hundred large outputs
//! leave another team its turn.
//!
//! What waits is bounded by what is under way: one piece for each sandbox, and two for each task (its preparation, and
//! one check of inputs). The queue has room for all of them, so nothing is refused for want of a place.

use std::time::Duration;

use restroy_tenant_executor::{TenantError, TenantExecutor, TenantLimits};

use crate::config::ExecutorConfig;

/// How long a piece of work waits for its turn. Another team's work takes a turn at a time, so in practice it is the
/// team's own work that takes so long.
pub(crate) const TURN_TIMEOUT: Duration = Duration::from_mins(5);
/// How long one piece of work may take, at the very most: what is searched or checked at once is bounded.
const PIECE_TIMEOUT: Duration = Duration::from_mins(1);
/// How long work counts as progress of its task.
pub(crate) const WORK_TIMEOUT: Duration = TURN_TIMEOUT.saturating_add(PIECE_TIMEOUT);

/// The code of a step whose turn did not come.
const EXECUTOR_BUSY: &str = "executor_busy";

/// Starts the threads.
pub(crate) fn executor(config: &ExecutorConfig) -> TenantExecutor {
    let tasks = config.slots.max(1) as usize;
    let most = tasks.saturating_mul(config.sandboxes_per_task.max(1) as usize + 2);
    TenantExecutor::new(TenantLimits {
        waiting_per_team: most,
        waiting: most,
        timeout: TURN_TIMEOUT,
        ..TenantLimits::default()
    })
}

/// The code and message of a step whose work `what` was not done; it may be tried again.
pub(crate) fn describe(error: TenantError, what: &str) -> (&'static str, String) {
    match error {
        TenantError::Failed => ("internal", format!("{what} broke down: this is a fault of the platform")),
        TenantError::TeamQueueFull(_) | TenantError::QueueFull | TenantError::Timeout => {
            let message = format!(
                "{what} had no turn on the executor within {} seconds: the team has too much large work under way there",
                TURN_TIMEOUT.as_secs()
            );
            (EXECUTOR_BUSY, message)
        }
    }
}
