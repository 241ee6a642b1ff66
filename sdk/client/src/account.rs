//! Accounts and sessions.

use reqwest::Method;

use super::{Client, Result};
use restroy_sdk::api::{
    account::{ConfirmTotp, NewTotp, Proof, RecoveryCodes},
    auth::{
        Accepted, ConfirmPasswordReset, Login, Me, NewTicket, Register, RequestPasswordReset, SecondFactor, Ticket,
        Tokens, VerifyEmail,
    },
};

impl Client {
    /// Asks for an account.
    pub async fn register(&self, account: &Register) -> Result<Accepted> {
        self.post(&["v1", "auth", "register"]).anonymous().json(account)?.fetch().await
    }

    /// Says that the address is one's own, with the token from the e-mail and the password of the registration that it
    /// describes.
    pub async fn verify_email(&self, token: &str, password: &str) -> Result<()> {
        let body = VerifyEmail { token: token.to_owned(), password: password.to_owned() };
        self.post(&["v1", "auth", "verify-email"]).anonymous().json(&body)?.done().await
    }

    /// Signs in; the session is kept in the client's store. Where the account has a second factor, the problem
    /// `second_factor_required` brings a `challenge` for [`Client::second_factor`].
    pub async fn login(&self, email: &str, password: &str) -> Result<Tokens> {
        let body = Login { email: email.to_owned(), password: password.to_owned() };
        let tokens: Tokens = self.post(&["v1", "auth", "login"]).anonymous().json(&body)?.fetch().await?;
        self.tokens.save(Some(&tokens))?;
        Ok(tokens)
    }

    /// Finishes a login with a code of the authenticator, or a recovery code.
    pub async fn second_factor(&self, challenge: &str, code: &str) -> Result<Tokens> {
        let body = SecondFactor { challenge: challenge.to_owned(), code: code.to_owned() };
        let path = ["v1", "auth", "login", "second-factor"];
        let tokens: Tokens = self.post(&path).anonymous().json(&body)?.fetch().await?;
        self.tokens.save(Some(&tokens))?;
        Ok(tokens)
    }

    /// Asks for an e-mail with which another password can be chosen.
    pub async fn request_password_reset(&self, email: &str) -> Result<Accepted> {
        let body = RequestPasswordReset { email: email.to_owned() };
        self.post(&["v1", "auth", "password-reset"]).anonymous().json(&body)?.fetch().await
    }

    /// Chooses another password with the token from the e-mail.
    pub async fn confirm_password_reset(&self, reset: &ConfirmPasswordReset) -> Result<()> {
        self.post(&["v1", "auth", "password-reset", "confirm"]).anonymous().json(reset)?.done().await
    }

    /// Ends the session, here and at the installation; `everywhere`: every session of the account.
    pub async fn logout(&self, everywhere: bool) -> Result<()> {
        let request = self.post(&["v1", "auth", "logout"]);
        let request = if everywhere { request.query("everywhere", &true) } else { request };
        let ended = request.done().await;
        // Whatever the installation says, this side forgets.
        self.tokens.save(None)?;
        ended
    }

    /// Who is signed in, with the teams.
    pub async fn me(&self) -> Result<Me> {
        self.get(&["v1", "me"]).fetch().await
    }

    /// Begins with a second factor: a secret for an authenticator.
    pub async fn begin_totp(&self, password: &str) -> Result<NewTotp> {
        let body = Proof { password: password.to_owned() };
        self.post(&["v1", "me", "totp"]).json(&body)?.fetch().await
    }

    /// Confirms the second factor with the authenticator's code: it is on from now on, and other sessions end.
    pub async fn confirm_totp(&self, code: &str) -> Result<RecoveryCodes> {
        let body = ConfirmTotp { code: code.to_owned() };
        self.post(&["v1", "me", "totp", "confirm"]).json(&body)?.fetch().await
    }

    /// Makes new recovery codes; the ones before are no longer valid.
    pub async fn renew_recovery_codes(&self, password: &str) -> Result<RecoveryCodes> {
        let body = Proof { password: password.to_owned() };
        self.post(&["v1", "me", "totp", "recovery-codes"]).json(&body)?.fetch().await
    }

    /// Takes the second factor away.
    pub async fn remove_totp(&self, password: &str) -> Result<()> {
        let body = Proof { password: password.to_owned() };
        self.request(Method::DELETE, &["v1", "me", "totp"]).json(&body)?.done().await
    }

    /// A ticket for a browser's WebSocket on `path`.
    pub async fn stream_ticket(&self, path: &str) -> Result<Ticket> {
        let body = NewTicket { path: path.to_owned() };
        self.post(&["v1", "stream-tickets"]).json(&body)?.fetch().await
    }
}
