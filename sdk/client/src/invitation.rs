//! Invitations into teams.

use reqwest::Method;

use super::{Client, Paging, Result};
use restroy_sdk::{
    api::{
        Page,
        invitation::{AcceptInvitation, Invitation, MyInvitation, NewInvitation},
        team::Team,
    },
    ids::{InvitationId, TeamId},
};

impl Client {
    /// A team's invitations, newest first.
    pub async fn invitations(&self, team: TeamId, paging: &Paging) -> Result<Page<Invitation>> {
        self.get(&["v1", "teams", &team.to_string(), "invitations"]).page(paging).fetch().await
    }

    /// Invites somebody into a team.
    pub async fn invite(&self, team: TeamId, invitation: &NewInvitation) -> Result<Invitation> {
        self.post(&["v1", "teams", &team.to_string(), "invitations"]).creates().json(invitation)?.fetch().await
    }

    /// Takes an invitation back.
    pub async fn revoke_invitation(&self, team: TeamId, id: InvitationId) -> Result<()> {
        let path = ["v1", "teams", &team.to_string(), "invitations", &id.to_string()];
        self.request(Method::DELETE, &path).done().await
    }

    /// The pending invitations for the caller.
    pub async fn my_invitations(&self, paging: &Paging) -> Result<Page<MyInvitation>> {
        self.get(&["v1", "me", "invitations"]).page(paging).fetch().await
    }

    /// Joins the team.
    pub async fn accept_invitation(&self, id: InvitationId) -> Result<Team> {
        self.post(&["v1", "me", "invitations", &id.to_string(), "accept"]).fetch().await
    }

    /// Joins the team, with the token from the e-mail.
    pub async fn accept_invitation_by_token(&self, token: &str) -> Result<Team> {
        let body = AcceptInvitation { token: token.to_owned() };
        self.post(&["v1", "me", "invitations", "accept"]).json(&body)?.fetch().await
    }

    /// Says no.
    pub async fn decline_invitation(&self, id: InvitationId) -> Result<()> {
        self.post(&["v1", "me", "invitations", &id.to_string(), "decline"]).done().await
    }
}
