//! Invitations into teams.

use serde::{Deserialize, Serialize};

use crate::{
    ids::{InvitationId, RoleId, TeamId, UserId},
    time::Timestamp,
};

/// `POST /v1/teams/{id}/invitations`.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct NewInvitation {
    /// The address of the person, who may have an account or not.
    pub email: String,
    /// The name of a role, or the id of one of the team's own: nothing that the caller may not do.
    pub role: String,
}

/// An invitation, as the team sees it.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Invitation {
    /// The invitation's id.
    pub id: InvitationId,
    /// The address it is for.
    pub email: String,
    /// The name of the role that comes with it.
    pub role: String,
    /// The role's id, when it is one of the team's own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub role_id: Option<RoleId>,
    /// `pending`, `accepted`, `declined`, `revoked` or `expired`.
    pub state: String,
    /// Who sent it; null when the account is gone.
    pub invited_by: Option<UserId>,
    /// When it was created.
    pub created_at: Timestamp,
    /// Until when it can be accepted.
    pub expires_at: Timestamp,
}

/// An invitation, as the person sees it whom it is for.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct MyInvitation {
    /// The invitation's id.
    pub id: InvitationId,
    /// The team.
    pub team_id: TeamId,
    /// The team's name.
    pub team_name: String,
    /// The name of the role that comes with it.
    pub role: String,
    /// The name of who sent it; null when the account is gone.
    pub invited_by: Option<String>,
    /// When it was created.
    pub created_at: Timestamp,
    /// Until when it can be accepted.
    pub expires_at: Timestamp,
}

/// `POST /v1/me/invitations/accept`.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct AcceptInvitation {
    /// The token from the e-mail.
    pub token: String,
}
