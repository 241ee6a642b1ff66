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
    /// What scripts load it by, with `require "lib.NAME"`: a small letter first, then small letters,
    /// digits and `_`, at most 64 together; unique within the team.
    pub name: String,
    /// What it is for; up to 1,024 characters.
    #[serde(default)]
    pub description: String,
    /// Its first source: Lua, up to 256 KiB.
    pub source: String,
    /// Why; up to 1,024 characters.
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
    /// Why; up to 1,024 characters.
    #[serde(default)]
    pub message: String,
}

/// A module of a team's library.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct LibraryModule {
    /// Its id.
    pub id: LibraryModuleId,
    /// Its team.
    pub team_id: TeamId,
    /// What scripts load it by.
    pub name: String,
    /// What it is for.
    pub description: String,
    /// The newest version's number.
    pub latest_version: i64,
    /// Since when.
    pub created_at: Timestamp,
    /// The last change.
    pub updated_at: Timestamp,
}

/// An immutable version of a module.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct LibraryVersion {
    /// Its id.
    pub id: LibraryVersionId,
    /// Its module.
    pub module_id: LibraryModuleId,
    /// Counts the module's versions, from 1; what a document pins.
    pub number: i64,
    /// Why it was made.
    pub message: String,
    /// The SHA-256 of the source, in hex.
    pub sha256: String,
    /// Who made it.
    pub author_id: Option<UserId>,
    /// When.
    pub created_at: Timestamp,
}

/// A module or one of its versions, with the source.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct LibrarySource {
    /// The module.
    pub module: LibraryModule,
    /// Which version.
    pub version: LibraryVersion,
    /// Its source.
    pub source: String,
}
