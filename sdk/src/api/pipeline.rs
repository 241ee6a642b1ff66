//! Pipelines, their definitions and versions.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::{
    document::Document,
    ids::{BoardId, PipelineId, TeamId, UserId, VersionId},
    time::Timestamp,
};

/// `POST /v1/boards/{id}/pipelines`.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct NewPipeline {
    /// 1 to 64 characters, unique on the board.
    #[cfg_attr(feature = "openapi", schema(min_length = 1, max_length = 64))]
    pub name: String,
}

/// A pipeline.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Pipeline {
    /// Its id.
    pub id: PipelineId,
    /// Its team.
    pub team_id: TeamId,
    /// Its board.
    pub board_id: BoardId,
    /// Its name.
    pub name: String,
    /// The version that runs start with; null before the first is published.
    pub published_version: Option<i64>,
    /// The newest version, published or not.
    pub latest_version: Option<i64>,
    /// Since when.
    pub created_at: Timestamp,
    /// The last change.
    pub updated_at: Timestamp,
}

/// `PUT /v1/pipelines/{id}/definition`.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct PutDefinition {
    /// The document, as JSON; read with every fault's place named.
    #[cfg_attr(feature = "openapi", schema(value_type = Document))]
    pub definition: Box<RawValue>,
    /// The sources by path, such as `scripts/fetch.lua`.
    #[serde(default)]
    pub files: BTreeMap<String, String>,
    /// Why.
    #[serde(default)]
    #[cfg_attr(feature = "openapi", schema(max_length = 1024))]
    pub message: String,
    /// Whether runs start with it from now on.
    #[serde(default)]
    pub publish: bool,
}

/// `GET /v1/pipelines/{id}/definition` and `…/versions/{n}`.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Definition {
    /// Which version.
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
    /// Its id.
    pub id: VersionId,
    /// Its pipeline.
    pub pipeline_id: PipelineId,
    /// Counts the pipeline's versions, from 1.
    pub number: i64,
    /// Why it was made.
    pub message: String,
    /// Whether it is the one that runs start with.
    pub published: bool,
    /// Who made it.
    pub author_id: Option<UserId>,
    /// When.
    pub created_at: Timestamp,
}
