//! Roles and permissions.

use reqwest::Method;

use super::{Client, Paging, Result};
use restroy_sdk::{
    api::{
        Page,
        role::{NewRole, PermissionInfo, Role, RolePatch},
    },
    ids::TeamId,
};

impl Client {
    /// All permissions there are.
    pub async fn permissions(&self, paging: &Paging) -> Result<Page<PermissionInfo>> {
        self.get(&["v1", "permissions"]).page(paging).fetch().await
    }

    /// A team's roles, the built-in ones first.
    pub async fn roles(&self, team: TeamId, paging: &Paging) -> Result<Page<Role>> {
        self.get(&["v1", "teams", &team.to_string(), "roles"]).page(paging).fetch().await
    }

    /// A role, by its name or id.
    pub async fn role(&self, team: TeamId, role: &str) -> Result<Role> {
        self.get(&["v1", "teams", &team.to_string(), "roles", role]).fetch().await
    }

    /// Makes a role of the team's own.
    pub async fn create_role(&self, team: TeamId, role: &NewRole) -> Result<Role> {
        self.post(&["v1", "teams", &team.to_string(), "roles"]).creates().json(role)?.fetch().await
    }

    /// Changes a role of the team's own.
    pub async fn update_role(&self, team: TeamId, role: &str, patch: &RolePatch) -> Result<Role> {
        let path = ["v1", "teams", &team.to_string(), "roles", role];
        self.request(Method::PATCH, &path).json(patch)?.fetch().await
    }

    /// Deletes a role of the team's own that nobody has.
    pub async fn delete_role(&self, team: TeamId, role: &str) -> Result<()> {
        self.request(Method::DELETE, &["v1", "teams", &team.to_string(), "roles", role]).done().await
    }
}
