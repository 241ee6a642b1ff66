//! The modules that a team's pipelines share.

use reqwest::Method;

use super::{Client, Paging, Result};
use restroy_sdk::{
    api::{
        Page,
        library::{LibraryModule, LibrarySource, LibraryVersion, NewLibraryModule, PutLibraryModule},
    },
    ids::TeamId,
};

impl Client {
    /// A team's library modules.
    pub async fn library(&self, team: TeamId, paging: &Paging) -> Result<Page<LibraryModule>> {
        self.get(&["v1", "teams", &team.to_string(), "library"]).page(paging).fetch().await
    }

    /// Makes a module, with its first version.
    pub async fn create_library_module(&self, team: TeamId, module: &NewLibraryModule) -> Result<LibrarySource> {
        self.post(&["v1", "teams", &team.to_string(), "library"]).creates().json(module)?.fetch().await
    }

    /// A module, with its newest source.
    pub async fn library_module(&self, team: TeamId, name: &str) -> Result<LibrarySource> {
        self.get(&["v1", "teams", &team.to_string(), "library", name]).fetch().await
    }

    /// Gives a module a new version.
    pub async fn put_library_module(&self, team: TeamId, name: &str, put: &PutLibraryModule) -> Result<LibrarySource> {
        self.request(Method::PUT, &["v1", "teams", &team.to_string(), "library", name]).json(put)?.fetch().await
    }

    /// Deletes a module that no pipeline is pinned to.
    pub async fn delete_library_module(&self, team: TeamId, name: &str) -> Result<()> {
        self.request(Method::DELETE, &["v1", "teams", &team.to_string(), "library", name]).done().await
    }

    /// A module's versions, newest first.
    pub async fn library_versions(&self, team: TeamId, name: &str, paging: &Paging) -> Result<Page<LibraryVersion>> {
        self.get(&["v1", "teams", &team.to_string(), "library", name, "versions"]).page(paging).fetch().await
    }

    /// One version of a module, with its source.
    pub async fn library_version(&self, team: TeamId, name: &str, number: i64) -> Result<LibrarySource> {
        self.get(&["v1", "teams", &team.to_string(), "library", name, "versions", &number.to_string()]).fetch().await
    }
}
