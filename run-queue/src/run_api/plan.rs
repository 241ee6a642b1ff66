//! What a claimed task consists of, and what its steps returned before.

use std::collections::BTreeMap;

use restroy_sdk::{
    document::Document,
    event::{StepError, StepRef},
    ids::{BoardId, PipelineId, RunId, TaskId, TeamId},
    limit::LimitValues,
    status::StepStatus,
    time::Timestamp,
};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

/// All that an executor needs to drive a run from where it stands.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Plan {
    /// The task.
    pub task_id: TaskId,
    /// The run.
    pub run_id: RunId,
    /// Its team.
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
    /// The values in force of all limits of the team.
    #[serde(default)]
    pub limits: LimitValues,
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
    /// Secrets by key that the script may use by reference and must not read. Apart from `secrets`: an executor that does
    /// not know this field gives them to nobody.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub usable_only: BTreeMap<String, String>,
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
    /// Which.
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
    /// While it waits, or another attempt follows: how long until the attempt or that other one is due, in
    /// milliseconds from the claim on. The control-plane's clock alone decides.
    #[serde(default)]
    pub due_in_ms: Option<u64>,
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
