//! Accounts and sessions.

use super::{Client, Result};
use crate::api::auth::{Accepted, Login, Me, NewTicket, Register, Ticket, Tokens, VerifyEmail};

impl Client {
    /// Asks for an account.
    pub async fn register(&self, account: &Register) -> Result<Accepted> {
        self.post(&["v1", "auth", "register"]).anonymous().json(account)?.fetch().await
    }

    /// Says that the address is one's own, with the token from the e-mail.
    pub async fn verify_email(&self, token: &str) -> Result<()> {
        let body = VerifyEmail { token: token.to_owned() };
        self.post(&["v1", "auth", "verify-email"]).anonymous().json(&body)?.done().await
    }

    /// Signs in; the session is kept in the client's store.
    pub async fn login(&self, email: &str, password: &str) -> Result<Tokens> {
        let body = Login { email: email.to_owned(), password: password.to_owned() };
        let tokens: Tokens = self.post(&["v1", "auth", "login"]).anonymous().json(&body)?.fetch().await?;
        self.tokens.save(Some(&tokens))?;
        Ok(tokens)
    }

    /// Ends the session, here and at the installation.
    pub async fn logout(&self) -> Result<()> {
        let ended = self.post(&["v1", "auth", "logout"]).done().await;
        // Whatever the installation says, this side forgets.
        self.tokens.save(None)?;
        ended
    }

    /// Who is signed in, with the teams.
    pub async fn me(&self) -> Result<Me> {
        self.get(&["v1", "me"]).fetch().await
    }

    /// A ticket for a browser's WebSocket on `path`.
    pub async fn stream_ticket(&self, path: &str) -> Result<Ticket> {
        let body = NewTicket { path: path.to_owned() };
        self.post(&["v1", "stream-tickets"]).json(&body)?.fetch().await
    }
}
