//! Teams, their members and what their runs sent.

use reqwest::Method;

use super::{Client, Paging, Result};
use crate::{
    api::{
        Page,
        run::Run,
        team::{Member, NewTeam, OutboxMessage, Team},
        usage::TeamLimits,
    },
    ids::TeamId,
};

impl Client {
    /// The caller's teams.
    pub async fn teams(&self, paging: &Paging) -> Result<Page<Team>> {
        self.get(&["v1", "teams"]).page(paging).fetch().await
    }

    /// Makes a team, owned by the caller.
    pub async fn create_team(&self, team: &NewTeam) -> Result<Team> {
        self.post(&["v1", "teams"]).creates().json(team)?.fetch().await
    }

    /// A team.
    pub async fn team(&self, id: TeamId) -> Result<Team> {
        self.get(&["v1", "teams", &id.to_string()]).fetch().await
    }

    /// Gives a team another name.
    pub async fn rename_team(&self, id: TeamId, team: &NewTeam) -> Result<Team> {
        self.request(Method::PATCH, &["v1", "teams", &id.to_string()]).json(team)?.fetch().await
    }

    /// The runs of all its pipelines, newest first.
    pub async fn team_runs(&self, team: TeamId, paging: &Paging) -> Result<Page<Run>> {
        self.get(&["v1", "teams", &team.to_string(), "runs"]).page(paging).fetch().await
    }

    /// Its members.
    pub async fn members(&self, team: TeamId, paging: &Paging) -> Result<Page<Member>> {
        self.get(&["v1", "teams", &team.to_string(), "members"]).page(paging).fetch().await
    }

    /// Its limits, with their values in force.
    pub async fn limits(&self, team: TeamId) -> Result<TeamLimits> {
        self.get(&["v1", "teams", &team.to_string(), "limits"]).fetch().await
    }

    /// The e-mails that its runs sent, newest first.
    pub async fn outbox(&self, team: TeamId, paging: &Paging) -> Result<Page<OutboxMessage>> {
        self.get(&["v1", "teams", &team.to_string(), "outbox"]).page(paging).fetch().await
    }
}
