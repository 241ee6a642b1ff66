//! The configuration of scripts, boards and teams.

use reqwest::Method;

use super::{Client, Paging, Result, request::Request};
use restroy_sdk::{
    api::{
        Page,
        script::{ConfigurationEntry, ConfigurationRevision, PutConfiguration},
    },
    ids::{BoardId, ScriptId, TeamId},
};

/// Whose configuration: what a script's own has goes before its board's, and that before its team's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ConfigurationOwner {
    /// A script's own.
    Script(ScriptId),
    /// That of all scripts on a board.
    Board(BoardId),
    /// That of all scripts of a team.
    Team(TeamId),
}

impl From<ScriptId> for ConfigurationOwner {
    fn from(id: ScriptId) -> Self {
        Self::Script(id)
    }
}

impl From<BoardId> for ConfigurationOwner {
    fn from(id: BoardId) -> Self {
        Self::Board(id)
    }
}

impl From<TeamId> for ConfigurationOwner {
    fn from(id: TeamId) -> Self {
        Self::Team(id)
    }
}

impl Client {
    /// What is set; of secrets only the names.
    pub async fn configuration(
        &self,
        of: impl Into<ConfigurationOwner>,
        paging: &Paging,
    ) -> Result<Page<ConfigurationEntry>> {
        self.configured(Method::GET, of.into(), &[]).page(paging).fetch().await
    }

    /// What a key holds; of a secret only that it is there.
    pub async fn configuration_entry(
        &self,
        of: impl Into<ConfigurationOwner>,
        key: &str,
    ) -> Result<ConfigurationEntry> {
        self.configured(Method::GET, of.into(), &[key]).fetch().await
    }

    /// Sets a key.
    pub async fn put_configuration(
        &self,
        of: impl Into<ConfigurationOwner>,
        key: &str,
        value: &PutConfiguration,
    ) -> Result<ConfigurationEntry> {
        self.configured(Method::PUT, of.into(), &[key]).json(value)?.fetch().await
    }

    /// Takes a key away: what a farther place has under it holds again, or the document's default.
    pub async fn delete_configuration(&self, of: impl Into<ConfigurationOwner>, key: &str) -> Result<()> {
        self.configured(Method::DELETE, of.into(), &[key]).done().await
    }

    /// The changes of a key, the newest first; never the value of a secret.
    pub async fn configuration_history(
        &self,
        of: impl Into<ConfigurationOwner>,
        key: &str,
        paging: &Paging,
    ) -> Result<Page<ConfigurationRevision>> {
        self.configured(Method::GET, of.into(), &[key, "history"]).page(paging).fetch().await
    }

    fn configured(&self, method: Method, of: ConfigurationOwner, rest: &[&str]) -> Request<'_> {
        let (kind, id) = match of {
            ConfigurationOwner::Script(id) => ("scripts", id.to_string()),
            ConfigurationOwner::Board(id) => ("boards", id.to_string()),
            ConfigurationOwner::Team(id) => ("teams", id.to_string()),
        };
        let mut path = vec!["v1", kind, &id, "configuration"];
        path.extend(rest);
        self.request(method, &path)
    }
}
