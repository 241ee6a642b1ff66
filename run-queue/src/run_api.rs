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
//! | `POST /run/v1/tasks/{id}/wait` | task token | [`Wait`] | [`Released`]; 409 `lease_lost` |
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

use std::collections::BTreeMap;

use restroy_sdk::{
    document::Document,
    event::{EventKind, StepError, StepRef},
    ids::{BoardId, ExecutorId, PipelineId, RunId, TaskId, TeamId},
    status::StepStatus,
    time::Timestamp,
};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use uuid::Uuid;

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

/// All that an executor needs to drive a run from where it stands.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Plan {
    /// The task.
    pub task_id: TaskId,
    /// The run.
    pub run_id: RunId,
    /// The team that it belongs to.
    pub team_id: TeamId,
    /// The board whose key-value store its scripts use.
    pub board_id: BoardId,
    /// The pipeline.
    pub pipeline_id: PipelineId,
    /// The pipeline's name.
    pub pipeline_name: String,
    /// The version's number.
    pub version: i64,
    /// When the run started.
    pub started_at: Timestamp,
    /// The document.
    pub document: Document,
    /// The sources by path.
    pub files: BTreeMap<String, String>,
    /// The sources of the team's library modules that the document pins, by name: `text` is loaded with
    /// `require "lib.text"`.
    #[serde(default)]
    pub library: BTreeMap<String, String>,
    /// What each step's `config` holds: plain values in force and secrets, by step.
    pub steps: BTreeMap<String, StepSettings>,
    /// What the run was started with.
    pub params: Box<RawValue>,
    /// 32 bytes in hex: the scripts' randomness is derived from it.
    pub seed: String,
    /// What is committed so far: every attempt of every step, oldest first.
    pub done: Vec<StepState>,
    /// The outputs are not in [`Plan::done`]: they are to be fetched with [`OutputsRequest`]. False where the executor
    /// did not ask for that, or the control-plane is older than this field.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub outputs_apart: bool,
    /// What the team has another limit of than the executor would set.
    #[serde(default)]
    pub limits: StepLimits,
}

/// The limits of a step's attempt that a team has set; what is absent is the executor's to set.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct StepLimits {
    /// Fuel per attempt.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fuel: Option<u64>,
    /// Processor time per attempt, in milliseconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cpu_ms: Option<u64>,
    /// Wall time, unless the step has a `timeout`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub wall_ms: Option<u64>,
    /// Memory per attempt, in bytes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub memory_bytes: Option<u64>,
    /// The size of a source, in bytes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub source_bytes: Option<u64>,
    /// What the script is given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub input_bytes: Option<u64>,
    /// What it returns.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub output_bytes: Option<u64>,
    /// What it prints.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub log_bytes: Option<u64>,
    /// A line of that.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub log_line_bytes: Option<u64>,
    /// Calls to the host.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub host_calls: Option<u64>,
    /// What a call carries.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub host_call_bytes: Option<u64>,
    /// HTTP requests per attempt.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub http_requests: Option<u64>,
    /// The wait for an answer.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub http_timeout_ms: Option<u64>,
    /// An answer's body.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub http_response_bytes: Option<u64>,
    /// Redirects that are followed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub http_redirects: Option<u64>,
    /// A value of the key-value store.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kv_value_bytes: Option<u64>,
    /// Items of a `for_each`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub items: Option<u64>,
}

/// A step's configuration.
#[derive(Clone, Default, Serialize, Deserialize)]
pub struct StepSettings {
    /// Plain values by key.
    #[serde(default)]
    pub config: BTreeMap<String, String>,
    /// Secrets by key.
    #[serde(default)]
    pub secrets: BTreeMap<String, String>,
    /// Secrets that the step declares and nobody has set: the step fails with `secret_missing`.
    #[serde(default)]
    pub missing: Vec<String>,
}

impl std::fmt::Debug for StepSettings {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // Secrets never reach a log.
        f.debug_struct("StepSettings").field("config", &self.config.keys()).finish_non_exhaustive()
    }
}

/// A committed attempt.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct StepState {
    /// The step, its item and its attempt.
    #[serde(flatten)]
    pub step: StepRef,
    /// Its status. `running`: it was being executed when the lease was lost, and starts again under
    /// the same attempt number.
    pub status: StepStatus,
    /// For a `for_each` step itself: how many items it has.
    #[serde(default)]
    pub items: Option<u32>,
    /// What it returned, as the text that was committed; absent where [`Plan::outputs_apart`].
    #[serde(default)]
    pub output: Option<Box<RawValue>>,
    /// Why it did not succeed: the code, the beginning of the message, and of the details their `code`. The rest is for
    /// people and stays where it is.
    #[serde(default)]
    pub error: Option<StepError>,
    /// Another attempt follows this one.
    #[serde(default)]
    pub retried: bool,
    /// When that attempt may start.
    #[serde(default)]
    pub retry_at: Option<Timestamp>,
}

/// `POST /run/v1/tasks/{id}/outputs`: what steps returned that ended under an earlier lease, a page at a time.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct OutputsRequest {
    /// The outputs of these steps and of their items.
    pub steps: Vec<String>,
    /// What was fetched already: [`OutputsPage::next`] of the page before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<OutputsCursor>,
}

/// Where a page of outputs ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OutputsCursor {
    /// The step.
    pub step: String,
    /// Its item; 0: the step itself.
    pub index: u32,
}

/// The most bytes of outputs in one page, unless a single one is larger.
pub const OUTPUTS_PAGE_BYTES: u64 = 4 * 1024 * 1024;

/// The answer to an [`OutputsRequest`].
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct OutputsPage {
    /// Outputs, in the order of steps and items, at most [`OUTPUTS_PAGE_BYTES`] together or a single one.
    pub outputs: Vec<StepOutput>,
    /// Where the next page begins; absent at the end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<OutputsCursor>,
}

/// What a step, or an item of it, returned.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct StepOutput {
    /// The step.
    pub step: String,
    /// The item of a `for_each`, from 1; 0: the step itself.
    pub index: u32,
    /// The text that was committed.
    pub output: Box<RawValue>,
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

/// `POST /run/v1/tasks/{id}/wait`: nothing is left of the task but attempts whose time has not come. Lease and
/// slot are given back as by a release; the task is admitted again when the first of them is due. A
/// control-plane that is older than the route answers 404, and the executor keeps the task.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Wait {
    /// The attempts that wait: one at least, and one for a step or item.
    pub steps: Vec<WaitingStep>,
}

/// An attempt whose time has not come.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct WaitingStep {
    /// The attempt that is to start.
    #[serde(flatten)]
    pub step: StepRef,
    /// How long it still waits, in milliseconds.
    pub wait_ms: u64,
}

/// `POST /run/v1/tasks/{id}/calls`: a host call that the control-plane carries out.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Call {
    /// The attempt that makes the call.
    pub step: StepRef,
    /// Counts the calls of the attempt, from 1.
    pub call_number: u64,
    /// The idempotency key: an effect under a key that was seen before is not done again, and gets
    /// the stored answer.
    pub key: String,
    /// What to do.
    pub call: CallKind,
}

/// A host call that the control-plane carries out.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(tag = "method", rename_all = "snake_case")]
pub enum CallKind {
    /// Answers `{value, version}` or null. Not an effect: not journaled.
    KvGet {
        /// 1 to 512 bytes.
        key: String,
    },
    /// Answers `{items: [{key, value, version}]}`, by key. Not an effect.
    KvList {
        /// Keys that start with it.
        prefix: String,
        /// Keys after it.
        after: Option<String>,
        /// 1 to 1,000.
        limit: u32,
    },
    /// Answers `{version}`.
    KvSet {
        /// 1 to 512 bytes.
        key: String,
        /// Up to 64 KiB of JSON.
        value: serde_json::Value,
        /// Milliseconds until it goes away.
        ttl_ms: Option<u64>,
    },
    /// Answers `{deleted: bool}`.
    KvDelete {
        /// 1 to 512 bytes.
        key: String,
    },
    /// Adds to an integer (0 when absent; another value is refused with `kv_not_an_integer`);
    /// answers `{value, version}`.
    KvIncr {
        /// 1 to 512 bytes.
        key: String,
        /// What to add.
        by: i64,
        /// Milliseconds until it goes away; counts only when this call makes the key.
        #[serde(default)]
        ttl_ms: Option<u64>,
    },
    /// Writes when what is there equals `expected`; answers `{swapped}`.
    KvCas {
        /// 1 to 512 bytes.
        key: String,
        /// What must be there; the field's absence: nothing. (`null` is a value.)
        #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "present")]
        expected: Option<serde_json::Value>,
        /// Up to 64 KiB of JSON; the field's absence removes the key.
        #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "present")]
        value: Option<serde_json::Value>,
        /// Milliseconds until it goes away.
        ttl_ms: Option<u64>,
    },
    /// Puts an e-mail into the outbox; answers `{message_id}`.
    EmailSend {
        /// 1 to 50 addresses.
        to: Vec<String>,
        /// Up to 998 bytes, one line.
        subject: String,
        /// The plain text.
        text: String,
        /// The HTML alternative.
        html: Option<String>,
        /// Where answers go, if not to the sender.
        #[serde(default)]
        reply_to: Option<String>,
    },
    /// Records that the executor got an answer to an HTTP request; answers null.
    HttpAnswered {
        /// The request's method.
        verb: String,
        /// The origin and path, without query.
        url: String,
        /// The answer's status.
        status: u16,
    },
}

/// Keeps a `null` that is there apart from a field that is not.
fn present<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Option<serde_json::Value>, D::Error> {
    serde_json::Value::deserialize(deserializer).map(Some)
}

/// The answer to a call.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CallAnswer {
    /// It was done, now or before.
    Ok(serde_json::Value),
    /// It was refused: raised in the script as a table that `pcall` can catch.
    Refused(CallError),
}

/// Why a call was refused.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct CallError {
    /// A stable code, such as `kv_value_limit`.
    pub code: String,
    /// The error message, for people.
    pub message: String,
    /// Whether trying again may help.
    pub retryable: bool,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn outputs_pass_as_the_text_that_they_are() {
        let text = r#"{"step":"a","attempt":1,"status":"succeeded","items":null,"output":{"b": 1.0,  "a":[1e2,"\u0041"]},"error":null,"retried":false,"retry_at":null}"#;
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
