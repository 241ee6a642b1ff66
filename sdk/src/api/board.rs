//! Boards and their key-value stores.

use serde::{Deserialize, Serialize};

use crate::{
    ids::{BoardId, PipelineId, RoleId, TeamId, UserId},
    time::Timestamp,
};

/// `POST /v1/teams/{id}/boards`.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct NewBoard {
    /// 1 to 64 characters, unique within the team.
    pub name: String,
    /// What it is for; up to 1,024 characters.
    #[serde(default)]
    pub description: String,
    /// Whether it is visible only to its members and to those who administer boards. Its creator is its first member.
    #[serde(default)]
    pub private: bool,
}

/// `PATCH /v1/boards/{id}`: absent fields stay unchanged.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct BoardPatch {
    /// A new name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// A new description.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// An archived board can be read, not changed, and starts nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub archived: Option<bool>,
    /// A private board is visible only to its members and to those who administer boards.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub private: Option<bool>,
}

/// A board.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Board {
    /// The board's id.
    pub id: BoardId,
    /// The team that it belongs to.
    pub team_id: TeamId,
    /// Its name.
    pub name: String,
    /// What it is for.
    pub description: String,
    /// Whether it can only be read.
    pub archived: bool,
    /// Whether it is visible only to its members and to those who administer boards.
    #[serde(default)]
    pub private: bool,
    /// When it was created.
    pub created_at: Timestamp,
    /// The last change of its own fields.
    pub updated_at: Timestamp,
    /// Counts those changes; the tag that `If-Match` takes.
    pub revision: i64,
    /// When it was deleted; 30 days later it is gone for good.
    pub deleted_at: Option<Timestamp>,
}

/// `PUT /v1/boards/{id}/order`: puts a pipeline to its place among the board's.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct PutOrder {
    /// The pipeline that gets another place.
    pub pipeline: PipelineId,
    /// The pipeline that it stands before from now on; null for the end of the board.
    #[serde(default)]
    pub before: Option<PipelineId>,
}

/// A member of a board: somebody of the team who has a role on it.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct BoardMember {
    /// The person.
    pub user_id: UserId,
    /// The person's display name.
    pub name: String,
    /// The address; null for who may not see the team's members.
    pub email: Option<String>,
    /// The name of the role on the board.
    pub role: String,
    /// The role's id, when it is one of the team's own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub role_id: Option<RoleId>,
    /// When they were added to the board.
    pub added_at: Timestamp,
}

/// `PUT /v1/boards/{id}/kv/{key}`.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct PutKv {
    /// Any JSON; up to 64 KiB.
    #[cfg_attr(feature = "openapi", schema(value_type = Value))]
    pub value: serde_json::Value,
    /// Time to live in milliseconds, up to ten years (default: no expiry).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ttl_ms: Option<u64>,
}

/// An entry of a board's key-value store.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct KvEntry {
    /// The key.
    pub key: String,
    /// The value.
    #[cfg_attr(feature = "openapi", schema(value_type = serde_json::Value))]
    pub value: serde_json::Value,
    /// Counts the writes of this key.
    pub version: i64,
    /// When it expires.
    pub expires_at: Option<Timestamp>,
    /// The last write.
    pub updated_at: Timestamp,
}
