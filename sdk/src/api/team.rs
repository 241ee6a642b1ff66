//! Teams.

use serde::{Deserialize, Serialize};

use crate::{
    ids::{MessageId, RoleId, RunId, TeamId, UserId},
    time::Timestamp,
};

/// `POST /v1/teams`, `PATCH /v1/teams/{id}`.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct NewTeam {
    /// 1 to 64 characters.
    pub name: String,
}

/// A team.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Team {
    /// The team's id.
    pub id: TeamId,
    /// Its name.
    pub name: String,
    /// The caller's role in it.
    pub role: String,
    /// When it was created.
    pub created_at: Timestamp,
}

/// `DELETE /v1/teams/{id}`: that it is meant.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct DeleteTeam {
    /// The team's name, as it is.
    pub name: String,
}

/// `POST /v1/teams/{id}/transfer`.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct Transfer {
    /// The member who is to own the team.
    pub user_id: UserId,
}

/// A member of a team.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Member {
    /// The person.
    pub user_id: UserId,
    /// The person's display name.
    pub name: String,
    /// The address.
    pub email: String,
    /// The role's name.
    pub role: String,
    /// The role's id, when it is one of the team's own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub role_id: Option<RoleId>,
    /// When they joined the team.
    pub joined_at: Timestamp,
}

/// `PATCH /v1/teams/{id}/members/{user}`, `PUT /v1/boards/{id}/members/{user}`.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct SetRole {
    /// The name of a role, or the id of one of the team's own.
    pub role: String,
}

/// An e-mail that a run of the team sent, as the outbox holds it.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct OutboxMessage {
    /// The e-mail's id.
    pub id: MessageId,
    /// The run that sent it.
    pub run_id: Option<RunId>,
    /// The recipients.
    pub to: Vec<String>,
    /// Where answers go, if not to the sender.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reply_to: Option<String>,
    /// The subject line.
    pub subject: String,
    /// The plain text.
    pub text: String,
    /// The HTML alternative.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub html: Option<String>,
    /// `held` (no SMTP is configured), `queued`, `sent` or `failed`.
    pub status: String,
    /// Why it failed, or is still to be tried again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// When the run sent it.
    pub created_at: Timestamp,
}
