//! API tokens and service accounts.

use reqwest::Method;

use super::{Client, Paging, Result};
use restroy_sdk::{
    api::{
        Page,
        token::{ApiToken, CreatedApiToken, NewApiToken, NewOwnApiToken, NewServiceAccount, ServiceAccount},
    },
    ids::{ApiTokenId, TeamId, UserId},
};

impl Client {
    /// The caller's own API tokens.
    pub async fn api_tokens(&self, paging: &Paging) -> Result<Page<ApiToken>> {
        self.get(&["v1", "me", "api-tokens"]).page(paging).fetch().await
    }

    /// Makes an API token of the caller's; it is shown once. Takes the account's password.
    pub async fn create_api_token(&self, token: &NewApiToken, password: &str) -> Result<CreatedApiToken> {
        let body = NewOwnApiToken::new(token.clone(), password.to_owned());
        // Without an idempotency key: a repeat would not show the token again.
        self.post(&["v1", "me", "api-tokens"]).json(&body)?.fetch().await
    }

    /// Ends an API token of the caller's.
    pub async fn revoke_api_token(&self, id: ApiTokenId) -> Result<()> {
        self.request(Method::DELETE, &["v1", "me", "api-tokens", &id.to_string()]).done().await
    }

    /// Every API token that reaches a team.
    pub async fn team_api_tokens(&self, team: TeamId, paging: &Paging) -> Result<Page<ApiToken>> {
        self.get(&["v1", "teams", &team.to_string(), "api-tokens"]).page(paging).fetch().await
    }

    /// Keeps an API token from a team.
    pub async fn revoke_team_api_token(&self, team: TeamId, id: ApiTokenId) -> Result<()> {
        let (team, id) = (team.to_string(), id.to_string());
        self.request(Method::DELETE, &["v1", "teams", &team, "api-tokens", &id]).done().await
    }

    /// A team's service accounts.
    pub async fn service_accounts(&self, team: TeamId, paging: &Paging) -> Result<Page<ServiceAccount>> {
        self.get(&["v1", "teams", &team.to_string(), "service-accounts"]).page(paging).fetch().await
    }

    /// Makes a service account.
    pub async fn create_service_account(&self, team: TeamId, account: &NewServiceAccount) -> Result<ServiceAccount> {
        self.post(&["v1", "teams", &team.to_string(), "service-accounts"]).creates().json(account)?.fetch().await
    }

    /// Deletes a service account; its tokens end.
    pub async fn delete_service_account(&self, team: TeamId, account: UserId) -> Result<()> {
        let (team, account) = (team.to_string(), account.to_string());
        self.request(Method::DELETE, &["v1", "teams", &team, "service-accounts", &account]).done().await
    }

    /// The API tokens of a service account.
    pub async fn service_tokens(&self, team: TeamId, account: UserId, paging: &Paging) -> Result<Page<ApiToken>> {
        let (team, account) = (team.to_string(), account.to_string());
        self.get(&["v1", "teams", &team, "service-accounts", &account, "api-tokens"]).page(paging).fetch().await
    }

    /// Makes an API token of a service account; it is shown once.
    pub async fn create_service_token(
        &self,
        team: TeamId,
        account: UserId,
        token: &NewApiToken,
    ) -> Result<CreatedApiToken> {
        let (team, account) = (team.to_string(), account.to_string());
        let path = ["v1", "teams", &team, "service-accounts", &account, "api-tokens"];
        self.post(&path).json(token)?.fetch().await
    }
}
