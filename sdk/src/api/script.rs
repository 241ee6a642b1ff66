//! Scripts and their configuration.

use serde::{Deserialize, Serialize};

use crate::{
    ids::{PipelineId, ScriptId, ScriptVersionId, UserId},
    problem::FieldError,
    time::Timestamp,
};

/// A script of a pipeline.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Script {
    /// Its id; stays the same across versions.
    pub id: ScriptId,
    /// The pipeline that it belongs to.
    pub pipeline_id: PipelineId,
    /// Its path among the pipeline's files.
    pub path: String,
    /// Whether the pipeline's latest version still has it.
    pub current: bool,
    /// The SHA-256 of its newest source, in hex.
    pub sha256: String,
    /// When it was created.
    pub created_at: Timestamp,
}

/// An immutable version of a script's source.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ScriptVersion {
    /// The script version's id.
    pub id: ScriptVersionId,
    /// The SHA-256 of the source, in hex.
    pub sha256: String,
    /// The source's length in bytes.
    pub bytes: u64,
    /// The source.
    pub source: String,
    /// When it first came.
    pub created_at: Timestamp,
}

/// `PUT …/configuration/{key}` of a script, a board or a team.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct PutConfiguration {
    /// The value; for a secret 8 bytes to 8 KiB.
    pub value: String,
    /// Whether it is a secret: sealed, and never shown again.
    #[serde(default)]
    pub secret: bool,
    /// Whether scripts may use the secret by reference (`secrets.ref`) and not read it; for secrets only.
    #[serde(default)]
    pub usable_only: bool,
}

/// An entry of the configuration of a script, a board or a team.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ConfigurationEntry {
    /// The key.
    pub key: String,
    /// Whether it is a secret.
    pub secret: bool,
    /// Whether it is a secret that scripts may use by reference and not read.
    #[serde(default)]
    pub usable_only: bool,
    /// The value; null for a secret, always.
    pub value: Option<String>,
    /// Counts the changes of this key, from 1.
    pub revision: i64,
    /// The last change.
    pub updated_at: Timestamp,
}

/// A change of a configuration's key.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ConfigurationRevision {
    /// Counts the changes of this key, from 1.
    pub revision: i64,
    /// Whether it was a secret.
    pub secret: bool,
    /// Whether the change took the key away.
    pub removed: bool,
    /// The value; null for a secret, always.
    pub value: Option<String>,
    /// Who changed it; null when the account is gone.
    pub author_id: Option<UserId>,
    /// The person's name, as it is now.
    pub author_name: Option<String>,
    /// When it was created.
    pub created_at: Timestamp,
}

/// `POST /v1/scripts/{id}/check`.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct CheckScript {
    /// The source to compile; not kept.
    pub source: String,
}

/// The compiler's result.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct CheckResult {
    /// Whether it compiles.
    pub ok: bool,
    /// Where it does not.
    pub errors: Vec<FieldError>,
}
