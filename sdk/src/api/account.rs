//! What a person does with their own account.

use serde::{Deserialize, Serialize};

use crate::{ids::SessionId, time::Timestamp};

/// `PATCH /v1/me`: absent fields stay unchanged.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct MePatch {
    /// The person's display name, 1 to 32 characters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Public information about the person, up to 1024 characters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub about: Option<String>,
    /// A time zone (IANA), such as `Europe/Kyiv`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timezone: Option<String>,
}

/// `DELETE /v1/me`, `POST /v1/me/totp`, `DELETE /v1/me/totp`: what a stolen session alone must not do.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct Proof {
    /// The account's password.
    pub password: String,
}

/// `POST /v1/me/password`.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct ChangePassword {
    /// The present password.
    pub password: String,
    /// The new one: 10 to 256 characters.
    pub new_password: String,
    /// Whether the account's API tokens end too.
    #[serde(default)]
    pub revoke_api_tokens: bool,
}

/// An active session.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct SessionInfo {
    /// The session's id.
    pub id: SessionId,
    /// Whether this request came with it.
    pub current: bool,
    /// What the program called itself that signed in.
    pub user_agent: Option<String>,
    /// Where it signed in from, as far as that is known.
    pub address: Option<String>,
    /// When it signed in.
    pub created_at: Timestamp,
    /// When it was refreshed last: while it is used, every quarter of an hour.
    pub refreshed_at: Timestamp,
    /// When it ends unless it is refreshed.
    pub expires_at: Timestamp,
}

/// `POST /v1/me/email`.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct ChangeEmail {
    /// The new address.
    pub email: String,
    /// The account's password.
    pub password: String,
}

/// `POST /v1/me/email/confirm`: with the token from either e-mail.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct ConfirmEmail {
    /// The token.
    pub token: String,
    /// Stop the change instead.
    #[serde(default)]
    pub stop: bool,
}

/// What became of a change of address.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct EmailChange {
    /// `waiting` for the other address, `changed` or `stopped`.
    pub status: String,
}

/// A second factor that is to be confirmed with its first code.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct NewTotp {
    /// The secret, base32, to be typed into an authenticator.
    pub secret: String,
    /// The same as an `otpauth:` URI, to be shown as a QR code.
    pub uri: String,
}

/// `POST /v1/me/totp/confirm`.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct ConfirmTotp {
    /// The code that the authenticator shows.
    pub code: String,
}

/// Codes to sign in with if the authenticator is lost. They are shown once.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct RecoveryCodes {
    /// Ten codes, each good for one login.
    pub recovery_codes: Vec<String>,
}
