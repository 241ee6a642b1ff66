//! Accounts and sessions. What a person does with their own account is in [`super::account`].

use serde::{Deserialize, Serialize};

use crate::{
    ids::{SessionId, TeamId, UserId},
    time::Timestamp,
};

/// `POST /v1/auth/register`.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct Register {
    /// The address that the account is for.
    pub email: String,
    /// 10 to 256 characters.
    pub password: String,
    /// The person's display name, up to 32 characters.
    pub name: String,
}

/// `202` of register: the same whether the address was known or not.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Accepted {
    /// What happens next.
    pub message: String,
}

/// `POST /v1/auth/verify-email`.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct VerifyEmail {
    /// The token from the e-mail.
    pub token: String,
    /// The password of the registration that the e-mail belongs to.
    pub password: String,
}

/// `POST /v1/auth/login`.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct Login {
    /// The account's e-mail address.
    pub email: String,
    /// Its password.
    pub password: String,
}

/// `POST /v1/auth/login/second-factor`: the second step of a login that was answered with
/// `second_factor_required`.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct SecondFactor {
    /// The `challenge` of the answer to the first step: good for five minutes.
    pub challenge: String,
    /// The code that the authenticator shows, or a recovery code.
    pub code: String,
}

/// `POST /v1/auth/password-reset`.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct RequestPasswordReset {
    /// The account's e-mail address.
    pub email: String,
}

/// `POST /v1/auth/password-reset/confirm`.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct ConfirmPasswordReset {
    /// The token from the e-mail.
    pub token: String,
    /// The new password: 10 to 256 characters.
    pub password: String,
    /// Whether the account's API tokens end too, as they do unless it is `false`: somebody else may have made one.
    #[serde(default = "yes")]
    pub revoke_api_tokens: bool,
}

fn yes() -> bool {
    true
}

/// The answer to `POST /v1/auth/oidc`.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct OidcLogin {
    /// Where to go: the OpenID provider, which sends back to `/oidc/callback` of the installation.
    pub authorization_url: String,
    /// To be kept until then, by whoever began: good once, for ten minutes.
    pub flow: String,
}

/// `POST /v1/auth/oidc/finish`.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct FinishOidcLogin {
    /// What was kept.
    pub flow: String,
    /// `code` of the callback.
    pub code: String,
    /// `state` of the callback.
    pub state: String,
}

/// `POST /v1/auth/refresh`.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct Refresh {
    /// The newest refresh token of the session. Using an older one ends the session.
    pub refresh_token: String,
}

/// The answer to login and refresh.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Tokens {
    /// A JWT for the `Authorization: Bearer` header.
    pub access_token: String,
    /// Always `Bearer`.
    pub token_type: String,
    /// The access token's life in seconds.
    pub expires_in: u64,
    /// Good for one refresh.
    pub refresh_token: String,
    /// The session that both belong to.
    pub session_id: SessionId,
}

/// `GET /v1/me`.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Me {
    /// The account.
    pub id: UserId,
    /// Its address.
    pub email: String,
    /// The person's display name.
    pub name: String,
    /// Whether the address was verified.
    pub email_verified: bool,
    /// When it was created.
    pub created_at: Timestamp,
    /// Public information about the person.
    #[serde(default)]
    pub about: String,
    /// The person's time zone (IANA).
    #[serde(default = "utc")]
    pub timezone: String,
    /// `person`, or `service` for a service account.
    #[serde(default = "person")]
    pub kind: String,
    /// Whether logins require a second factor.
    #[serde(default)]
    pub two_factor: bool,
    /// The newest login.
    #[serde(default)]
    pub last_login_at: Option<Timestamp>,
    /// The teams and what the person is there; with an API token, those that it reaches.
    pub teams: Vec<TeamRole>,
}

fn utc() -> String {
    "UTC".into()
}

fn person() -> String {
    "person".into()
}

/// A team and the caller's role in it.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct TeamRole {
    /// The team.
    pub id: TeamId,
    /// Its name.
    pub name: String,
    /// The role's name.
    pub role: String,
}

/// `POST /v1/stream-tickets`: for browsers, which cannot send a header with a WebSocket.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct NewTicket {
    /// The path it will be used on, such as `/v1/runs/{id}/stream`.
    pub path: String,
}

/// A ticket: one use, 30 seconds, for one path and user. Passed as `?ticket=`.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Ticket {
    /// The ticket.
    pub ticket: String,
    /// When it ends unused.
    pub expires_at: Timestamp,
}
