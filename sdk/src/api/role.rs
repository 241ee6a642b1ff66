//! Roles and the permissions they are sets of.

use serde::{Deserialize, Serialize};

use crate::{ids::RoleId, time::Timestamp};

/// A permission.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct PermissionInfo {
    /// Its name.
    pub name: String,
    /// What it allows.
    pub description: String,
    /// Whether a role on one board gives it too; the others are about the team.
    pub on_boards: bool,
}

/// A role: a named set of permissions.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Role {
    /// Its id; null when it is built in.
    pub id: Option<RoleId>,
    /// Its name, unique within the team.
    pub name: String,
    /// What it is for.
    pub description: String,
    /// Whether it is built in and cannot be changed.
    pub built_in: bool,
    /// What it allows, by the names of `GET /v1/permissions`.
    pub permissions: Vec<String>,
    /// Since when; null when it is built in.
    pub created_at: Option<Timestamp>,
    /// The last change; null when it is built in.
    pub updated_at: Option<Timestamp>,
}

/// `POST /v1/teams/{id}/roles`.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct NewRole {
    /// 1 to 64 characters, unique within the team, not the name of a built-in role.
    pub name: String,
    /// What it is for; up to 1,024 characters.
    #[serde(default)]
    pub description: String,
    /// What it allows, by the names of `GET /v1/permissions`: nothing that the caller may not do.
    /// `team.read` is always among it.
    pub permissions: Vec<String>,
}

/// `PATCH /v1/teams/{id}/roles/{role}`: absent fields stay unchanged.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct RolePatch {
    /// A new name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// A new description.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// All of its permissions; takes effect with the next request of those who have it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub permissions: Option<Vec<String>>,
}
