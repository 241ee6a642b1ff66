//! The run API: how an executor gets work and reports on it. JSON over HTTP, on a listener of its
//! own. Both sides ignore fields that they do not know, so that old and new run side by side.
//!
//! | route | credential | takes | gives |
//! |---|---|---|---|
//! | `POST /run/v1/executors/heartbeat` | executor | [`Heartbeat`] | [`HeartbeatAnswer`] |
//! | `POST /run/v1/executors/signals` | executor | [`Listen`] | lines of JSON, one [`Signal`] each, until either side ends it |
//! | `POST /run/v1/tasks/{id}/claim` | executor | [`Claim`] | [`Claimed`]; 409 `not_claimable`, 429 `slots_exhausted` |
//! | `POST /run/v1/tasks/{id}/events` | task token | [`Batch`] | [`BatchAnswer`]; 409 `lease_lost` |
//! | `POST /run/v1/tasks/{id}/renew` | task token | nothing | [`Lease`]; 409 `lease_lost` |
//! | `POST /run/v1/tasks/{id}/outputs` | task token | [`OutputsRequest`] | [`OutputsPage`]; 409 `lease_lost` |
//! | `POST /run/v1/tasks/{id}/release` | task token | nothing | [`Released`]; 409 `lease_lost` |
//! | `POST /run/v1/tasks/{id}/suspend` | task token | [`Suspend`] | [`Released`]; 409 `lease_lost` |
//! | `POST /run/v1/tasks/{id}/stopped` | executor | nothing | [`Released`] |
//! | `POST /run/v1/tasks/{id}/calls` | task token | [`Call`] | [`CallAnswer`]; 409 `lease_lost` |
//! | `PUT /run/v1/tasks/{id}/artifacts?step=&index=&attempt=&call_number=&key=&name=` | task token | bytes | [`CallAnswer`]; 409 `lease_lost` |
//!
//! Credentials travel as `Authorization: Bearer`. Every write is checked against (task, fence) in
//! its own transaction: a raised fence revokes the token. After the run ended every write gets 409
//! `run_ended` in place of `lease_lost`.
//!
//! An executor hears by a [`Signal`] that a task is not its own any more, within milliseconds. A control-plane
//! that is older than the route answers 404; then, and whenever the signals are not [`Signal::Alive`] and
//! complete, the executor asks before each HTTP request of a script whether it still holds the task.

mod calls;
mod plan;

use restroy_sdk::{
    event::{EventKind, StepRef},
    ids::{ExecutorId, TaskId},
    time::Timestamp,
};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

pub use self::{
    calls::{Call, CallAnswer, CallError, CallKind, HttpAnswer, MAX_HTTP_ANSWER},
    plan::{OUTPUTS_PAGE_BYTES, OutputsCursor, OutputsPage, OutputsRequest, Plan, StepOutput, StepSettings, StepState},
};

/// The version of this protocol.
pub const PROTOCOL: u32 = 1;

/// `POST /run/v1/executors/heartbeat`, every 10 s.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Heartbeat {
    /// The protocol that the executor speaks.
    pub protocol: u32,
    /// What its sandboxes are: same id, same results, same fuel.
    pub engine_id: String,
    /// How many tasks it takes at once.
    pub slots: u32,
}

/// The answer to a heartbeat.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct HeartbeatAnswer {
    /// The executor that the credential belongs to.
    pub executor_id: ExecutorId,
    /// How many tasks its operator lets it hold at once: claims beyond are refused with 429 `slots_exhausted`.
    /// Absent: the control-plane is older than this field.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub slots: Option<u32>,
    /// When the credential expires; absent: it does not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<Timestamp>,
}

/// `POST /run/v1/executors/signals`: an executor listens. It sends what it holds, so that it hears of what was
/// taken from it while it did not listen.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Listen {
    /// The protocol that the executor speaks.
    pub protocol: u32,
    /// The tasks that it holds; at most [`MAX_HELD`].
    pub held: Vec<HeldTask>,
}

/// The most tasks that an executor may name as held.
pub const MAX_HELD: usize = 10_000;

/// A task under the fence with which an executor claimed it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct HeldTask {
    /// The task's id.
    pub task_id: TaskId,
    /// The fence of the claim.
    pub fence: i64,
}

/// What an executor hears while it listens.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Signal {
    /// The connection stands. Sent first once the held tasks were looked at, then every second.
    Alive {
        /// Whether word from the other control-planes arrives too. While it does not, a task may be gone
        /// without a signal.
        complete: bool,
    },
    /// A task is not the executor's any more.
    Released {
        /// Which, and under which fence it was held.
        #[serde(flatten)]
        task: HeldTask,
        /// The reason of the release.
        reason: ReleaseReason,
    },
    /// What a newer control-plane says besides.
    #[serde(other)]
    Unknown,
}

/// Why a task is not its executor's any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ReleaseReason {
    /// Its run has ended: nobody continues with it.
    Ended,
    /// Its lease ran out: another executor continues with it.
    Taken,
}

/// `POST /run/v1/tasks/{id}/claim`.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Claim {
    /// The protocol that the executor speaks.
    pub protocol: u32,
    /// What its sandboxes are.
    pub engine_id: String,
    /// Of this claim, the same whenever it is sent again: whoever did not hear that it was granted is
    /// granted it once more. None: an executor that is older than this field.
    #[serde(default)]
    pub claim_id: Option<Uuid>,
    /// Whether the executor confirms with `stopped` that it does nothing any more for a task whose run was
    /// ended by others. Until it does, or the lease would have ended, the task counts as running.
    #[serde(default)]
    pub confirms: bool,
    /// The executor fetches outputs with [`OutputsRequest`], those that it needs. False: an executor that is older
    /// than this field, which gets all of them in the plan.
    #[serde(default)]
    pub fetches_outputs: bool,
}

/// A task in the hands of an executor.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Claimed {
    /// Good for this task under this fence.
    pub token: String,
    /// Raised by this claim.
    pub fence: i64,
    /// How long the lease lasts unless renewed, in milliseconds.
    pub lease_ms: u64,
    /// What to do.
    pub plan: Plan,
    /// How many bytes the team's scripts may still send by HTTP within this hour; absent: as many as
    /// they like.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub egress_left: Option<u64>,
}

/// `POST /run/v1/tasks/{id}/events`: what happened since the last batch, in topological order.
/// A batch that ends with `run.finished` ends the task.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Batch {
    /// Counts the batches under this fence, from 1. A repost of a batch is a no-op.
    pub n: i64,
    /// The engine that executed.
    pub engine_id: String,
    /// What happened. An executor may report every kind but `run.queued`, `run.started` and
    /// `step.lost`, which are the control-plane's own.
    pub events: Vec<EventKind>,
    /// The bytes that scripts sent by HTTP since the last batch.
    #[serde(default)]
    pub egress_bytes: u64,
}

/// The answer to a batch: it is committed.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct BatchAnswer {
    /// The run's newest event.
    pub last_seq: i64,
    /// The lease, renewed by the report.
    pub lease_ms: u64,
    /// How many bytes the team's scripts may still send by HTTP within this hour; absent: as many as
    /// they like.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub egress_left: Option<u64>,
}

/// A renewed lease.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Lease {
    /// How long it lasts unless renewed, in milliseconds.
    pub lease_ms: u64,
}

/// The task was given back: it waits for another executor, at once and without a loss counted. What
/// was reported stays; attempts that were running start again.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Released {}

/// `POST /run/v1/tasks/{id}/suspend`: nothing is left of the task but attempts whose time has not come. Lease and
/// slot are given back as by a release; the task is admitted again when the first of them is due. When that is, was
/// recorded when the wait began, with the events that were reported. A control-plane that is older than the route
/// answers 404, and the executor keeps the task.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Suspend {
    /// The attempts that wait, or that are to start when their pause is over: one at least, and one for a step or item.
    pub waiting: Vec<StepRef>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn outputs_pass_as_the_text_that_they_are() {
        let text = r#"{"step":"a","attempt":1,"status":"succeeded","items":null,"output":{"b": 1.0,  "a":[1e2,"\u0041"]},"error":null,"retried":false,"due_in_ms":null}"#;
        let state: StepState = serde_json::from_str(text).unwrap();
        assert_eq!(state.output.as_ref().unwrap().get(), r#"{"b": 1.0,  "a":[1e2,"\u0041"]}"#);
        assert_eq!(serde_json::to_string(&state).unwrap(), text);
    }

    #[test]
    fn claims_and_plans_of_before_outputs_were_apart_are_read() {
        let claim: Claim = serde_json::from_str(r#"{"protocol":1,"engine_id":"x"}"#).unwrap();
        assert!(!claim.fetches_outputs);
        let state: StepState = serde_json::from_str(r#"{"step":"a","attempt":1,"status":"running"}"#).unwrap();
        assert!(state.output.is_none());
    }
}
