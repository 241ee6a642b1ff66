//! Runs.

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::{
    api::trigger::Trigger,
    event::{StepError, StepRef, Usage},
    ids::{ArtifactId, BoardId, PipelineId, RunId, StepRunId, TeamId, UserId},
    status::{RunStatus, StepStatus},
    time::Timestamp,
};

/// `POST /v1/pipelines/{id}/runs`.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct NewRun {
    /// What the scripts see as `params`; checked against the document's schema. At most half of
    /// the team's `step_input_bytes`, and 1 MiB.
    #[serde(default)]
    #[cfg_attr(feature = "openapi", schema(value_type = Object))]
    pub params: serde_json::Map<String, serde_json::Value>,
}

/// One execution of a pipeline version.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Run {
    /// The run's id.
    pub id: RunId,
    /// The team that it belongs to.
    pub team_id: TeamId,
    /// The board it was started on.
    pub board_id: BoardId,
    /// The pipeline that it belongs to.
    pub pipeline_id: PipelineId,
    /// The pipeline's name when it started.
    pub pipeline_name: String,
    /// The version's number.
    pub version: i64,
    /// Its state.
    pub status: RunStatus,
    /// While it is `waiting`: for what.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub waiting: Option<Waiting>,
    /// Why it did not succeed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<StepError>,
    /// What it was started with, defaults included; absent in lists and in the answer to its start, empty for a run
    /// that was skipped.
    // As text: a server that passes it on builds no tree of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<serde_json::Value>))]
    pub params: Option<Box<RawValue>>,
    /// The number of its newest event.
    pub last_seq: i64,
    /// What started it.
    pub trigger: Trigger,
    /// The user or service account that started it; null for a run that a schedule started, and if the account was
    /// deleted.
    pub started_by: Option<UserId>,
    /// When it was recorded.
    pub created_at: Timestamp,
    /// When an executor took it on.
    pub started_at: Option<Timestamp>,
    /// When it ended.
    pub finished_at: Option<Timestamp>,
    /// When it was marked as kept, exempt from retention.
    #[serde(default)]
    pub kept_at: Option<Timestamp>,
}

/// What a run waits for: it holds no slot meanwhile.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Waiting {
    /// The step that is due first.
    pub step: String,
    /// When it is due. A moment in the past: it waits for a slot.
    pub until: Timestamp,
}

/// One attempt at one step.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct StepRun {
    /// The step run's id.
    pub id: StepRunId,
    /// Which step, item and attempt.
    #[serde(flatten)]
    pub step: StepRef,
    /// Its state.
    pub status: StepStatus,
    /// What the script returned.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<serde_json::Value>))]
    pub output: Option<serde_json::Value>,
    /// Why it did not succeed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<StepError>,
    /// What it used.
    pub usage: Usage,
    /// While it is `waiting`: until when.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub waiting_until: Option<Timestamp>,
    /// The sandbox engine that executed it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub engine_id: Option<String>,
    /// When it started.
    pub started_at: Option<Timestamp>,
    /// When it ended.
    pub finished_at: Option<Timestamp>,
}

/// A file that a run kept.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Artifact {
    /// The artifact's id.
    pub id: ArtifactId,
    /// Its name, unique within the run.
    pub name: String,
    /// The step that kept it.
    pub step: String,
    /// Its length in bytes.
    pub bytes: i64,
    /// Its SHA-256, in hex.
    pub sha256: String,
    /// When it was kept.
    pub created_at: Timestamp,
}
