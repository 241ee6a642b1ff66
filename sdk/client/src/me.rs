//! What a person does with their own account.

use reqwest::Method;

use super::{Client, Paging, Result};
use restroy_sdk::{
    api::{
        Page,
        account::{ChangeEmail, ChangePassword, ConfirmEmail, EmailChange, MePatch, Proof, SessionInfo},
        auth::{Accepted, Me},
    },
    ids::SessionId,
};

impl Client {
    /// Changes name, description or time zone.
    pub async fn update_me(&self, patch: &MePatch) -> Result<Me> {
        self.request(Method::PATCH, &["v1", "me"]).json(patch)?.fetch().await
    }

    /// Deletes the account. For 30 days its address stays taken.
    pub async fn delete_me(&self, password: &str) -> Result<()> {
        self.request(Method::DELETE, &["v1", "me"]).json(&proof(password))?.done().await
    }

    /// Sets another password; every other session ends.
    pub async fn change_password(&self, change: &ChangePassword) -> Result<()> {
        self.post(&["v1", "me", "password"]).json(change)?.done().await
    }

    /// Begins to change the address: both the old and the new one get an e-mail with a token.
    pub async fn change_email(&self, change: &ChangeEmail) -> Result<Accepted> {
        self.post(&["v1", "me", "email"]).json(change)?.fetch().await
    }

    /// Continues with a change of the address, or stops it, with the token from either e-mail.
    pub async fn confirm_email(&self, confirmation: &ConfirmEmail) -> Result<EmailChange> {
        self.post(&["v1", "me", "email", "confirm"]).anonymous().json(confirmation)?.fetch().await
    }

    /// The active logins.
    pub async fn sessions(&self, paging: &Paging) -> Result<Page<SessionInfo>> {
        self.get(&["v1", "me", "sessions"]).page(paging).fetch().await
    }

    /// Ends a login.
    pub async fn end_session(&self, id: SessionId) -> Result<()> {
        self.request(Method::DELETE, &["v1", "me", "sessions", &id.to_string()]).done().await
    }

    /// Ends every login but this one.
    pub async fn end_other_sessions(&self) -> Result<()> {
        self.request(Method::DELETE, &["v1", "me", "sessions"]).done().await
    }
}

fn proof(password: &str) -> Proof {
    Proof { password: password.to_owned() }
}
