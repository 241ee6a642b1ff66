//! Teams and what their runs sent.

use reqwest::Method;

use super::{Client, Paging, Result};
use restroy_sdk::{
    api::{
        Page,
        run::Run,
        team::{DeleteTeam, NewTeam, OutboxMessage, Team, Transfer},
        usage::{TeamLimits, TeamUsage},
    },
    ids::{TeamId, UserId},
    time::Timestamp,
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

    /// Deletes a team; `name` says that it is meant. It can be brought back for 30 days.
    pub async fn delete_team(&self, id: TeamId, name: &str) -> Result<()> {
        let body = DeleteTeam { name: name.to_owned() };
        self.request(Method::DELETE, &["v1", "teams", &id.to_string()]).json(&body)?.done().await
    }

    /// The deleted teams that the caller owns and can bring back.
    pub async fn deleted_teams(&self, paging: &Paging) -> Result<Page<Team>> {
        self.get(&["v1", "teams"]).query("deleted", &true).page(paging).fetch().await
    }

    /// Brings a deleted team back.
    pub async fn restore_team(&self, id: TeamId) -> Result<Team> {
        self.post(&["v1", "teams", &id.to_string(), "restore"]).fetch().await
    }

    /// Makes another member the owner of a team; the caller is an admin of it from then on.
    pub async fn transfer_team(&self, id: TeamId, to: UserId) -> Result<Team> {
        let body = Transfer { user_id: to };
        self.post(&["v1", "teams", &id.to_string(), "transfer"]).json(&body)?.fetch().await
    }

    /// Leaves a team.
    pub async fn leave_team(&self, id: TeamId) -> Result<()> {
        self.post(&["v1", "teams", &id.to_string(), "leave"]).done().await
    }

    /// The runs of all its pipelines, newest first.
    pub async fn team_runs(&self, team: TeamId, paging: &Paging) -> Result<Page<Run>> {
        self.get(&["v1", "teams", &team.to_string(), "runs"]).page(paging).fetch().await
    }

    /// Its limits, with their values in force.
    pub async fn limits(&self, team: TeamId) -> Result<TeamLimits> {
        self.get(&["v1", "teams", &team.to_string(), "limits"]).fetch().await
    }

    /// What it used by the hour (default: the last 24 hours), and what it stores.
    pub async fn usage(
        &self,
        team: TeamId,
        from: Option<Timestamp>,
        to: Option<Timestamp>,
        paging: &Paging,
    ) -> Result<TeamUsage> {
        let mut request = self.get(&["v1", "teams", &team.to_string(), "usage"]).page(paging);
        for (name, moment) in [("from", from), ("to", to)] {
            if let Some(moment) = moment {
                request = request.query(name, &moment);
            }
        }
        request.fetch().await
    }

    /// The e-mails that its runs sent, newest first.
    pub async fn outbox(&self, team: TeamId, paging: &Paging) -> Result<Page<OutboxMessage>> {
        self.get(&["v1", "teams", &team.to_string(), "outbox"]).page(paging).fetch().await
    }
}
