//! The modules that a team's pipelines share.

use serde::{Deserialize, Serialize};

use crate::{
    ids::{LibraryModuleId, LibraryVersionId, TeamId, UserId},
    time::Timestamp,
};

/// `POST /v1/teams/{id}/library`.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct NewLibraryModule {
    /// What scripts load it by, with `require "lib.NAME"`: a lower-case letter first, then lower-case letters,
    /// digits and `_`, at most 64 in all; unique within the team.
    pub name: String,
    /// What it is for; up to 1,024 characters.
    #[serde(default)]
    pub description: String,
    /// Its first source: Lua, up to 256 KiB.
    pub source: String,
    /// The commit message, up to 1,024 characters.
    #[serde(default)]
    pub message: String,
}

/// `PUT /v1/teams/{id}/library/{name}`: a new version.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct PutLibraryModule {
    /// Its source from this version on; pipelines stay with the versions that they pin.
    pub source: String,
    /// What it is for; absent, it stays.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// The commit message, up to 1,024 characters.
    #[serde(default)]
    pub message: String,
}

/// A module of a team's library.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct LibraryModule {
    /// The library module's id.
    pub id: LibraryModuleId,
    /// The team that it belongs to.
    pub team_id: TeamId,
    /// What scripts load it by.
    pub name: String,
    /// What it is for.
    pub description: String,
    /// The newest version's number.
    pub latest_version: i64,
    /// When it was created.
    pub created_at: Timestamp,
    /// The last change.
    pub updated_at: Timestamp,
}

/// An immutable version of a module.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct LibraryVersion {
    /// The library version's id.
    pub id: LibraryVersionId,
    /// The module that it is a version of.
    pub module_id: LibraryModuleId,
    /// Counts the module's versions, from 1; what a document pins.
    pub number: i64,
    /// The commit message.
    pub message: String,
    /// The SHA-256 of the source, in hex.
    pub sha256: String,
    /// Who made it.
    pub author_id: Option<UserId>,
    /// When it was created.
    pub created_at: Timestamp,
}

/// A module or one of its versions, with the source.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct LibrarySource {
    /// The module.
    pub module: LibraryModule,
    /// The version.
    pub version: LibraryVersion,
    /// Its source.
    pub source: String,
}
