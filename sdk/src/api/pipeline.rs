//! Pipelines, their definitions and versions.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::{
    document::{CapabilityUse, Diff, Document},
    ids::{BoardId, PipelineId, TeamId, UserId, VersionId},
    problem::FieldError,
    time::Timestamp,
};

/// `POST /v1/boards/{id}/pipelines`.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct NewPipeline {
    /// 1 to 64 characters, unique on the board.
    pub name: String,
    /// What it is for; up to 1,024 characters.
    #[serde(default)]
    pub description: String,
}

/// `PATCH /v1/pipelines/{id}`: absent fields stay unchanged.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct PipelinePatch {
    /// A new name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// A new description.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// How long runs that have ended are kept, and how many; what is null or absent in it is the team's again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retention: Option<Retention>,
}

/// How long a pipeline's ended runs are kept, and how many: what exceeds either is removed. Runs marked as kept do
/// not count.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct Retention {
    /// In days, up to the team's limit `retention_days`; null for that.
    #[serde(default)]
    pub days: Option<i64>,
    /// Up to the team's limit `retention_runs`; null for that.
    #[serde(default)]
    pub runs: Option<i64>,
}

/// `POST /v1/pipelines/{id}/move`.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct MovePipeline {
    /// Another board of the same team.
    pub board: BoardId,
}

/// A pipeline.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Pipeline {
    /// The pipeline's id.
    pub id: PipelineId,
    /// The team that it belongs to.
    pub team_id: TeamId,
    /// The board that it is on.
    pub board_id: BoardId,
    /// Its name.
    pub name: String,
    /// What it is for.
    pub description: String,
    /// The version that runs start with; null before the first is published.
    pub published_version: Option<i64>,
    /// The newest version, published or not.
    pub latest_version: Option<i64>,
    /// When it was created.
    pub created_at: Timestamp,
    /// The last change.
    pub updated_at: Timestamp,
    /// Counts the changes; the tag that `If-Match` takes.
    pub revision: i64,
    /// When it was deleted; 30 days later it is gone for good.
    pub deleted_at: Option<Timestamp>,
    /// How long its runs are kept.
    #[serde(default)]
    pub retention: Retention,
}

/// `PUT /v1/pipelines/{id}/definition`.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct PutDefinition {
    /// The document, as JSON; errors name their places.
    #[cfg_attr(feature = "openapi", schema(value_type = Document))]
    pub definition: Box<RawValue>,
    /// The sources by path, such as `scripts/fetch.lua`.
    #[serde(default)]
    pub files: BTreeMap<String, String>,
    /// The commit message.
    #[serde(default)]
    pub message: String,
    /// Whether to publish it: new runs will use it.
    #[serde(default)]
    pub publish: bool,
}

/// `GET /v1/pipelines/{id}/definition` and `…/versions/{n}`.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Definition {
    /// The version.
    pub version: Version,
    /// The document.
    pub definition: Document,
    /// The sources by path.
    pub files: BTreeMap<String, String>,
}

/// An immutable version of a pipeline.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Version {
    /// The version's id.
    pub id: VersionId,
    /// The pipeline that it belongs to.
    pub pipeline_id: PipelineId,
    /// Counts the pipeline's versions, from 1.
    pub number: i64,
    /// The commit message.
    pub message: String,
    /// Whether it is the one that runs start with.
    pub published: bool,
    /// Who made it.
    pub author_id: Option<UserId>,
    /// When it was created.
    pub created_at: Timestamp,
}

/// A version that was just made or published.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct VersionWritten {
    /// The version.
    #[serde(flatten)]
    pub version: Version,
    /// Where its capabilities exceed the previously published version's; publishing granted them, or will require
    /// the permission `capability.grant`.
    pub widened: Vec<FieldError>,
}

/// `POST /v1/pipelines/{id}/versions/{n}/restore`.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct RestoreVersion {
    /// The commit message (default: which version was restored).
    #[serde(default)]
    pub message: String,
    /// Whether to publish it: new runs will use it.
    #[serde(default)]
    pub publish: bool,
}

/// `GET /v1/pipelines/{id}/versions/{n}/capabilities`: a version's capabilities.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Capabilities {
    /// The version's number.
    pub number: i64,
    /// Its capabilities, each once.
    pub capabilities: Vec<CapabilityUse>,
    /// Where its capabilities exceed the published version's; empty for the published version.
    pub widened: Vec<FieldError>,
}

/// `GET /v1/pipelines/{id}/versions/{a}/diff/{b}`: what differs from one version to another.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct VersionDiff {
    /// The one.
    pub from: Version,
    /// The other.
    pub to: Version,
    /// What differs.
    #[serde(flatten)]
    pub diff: Diff,
}
