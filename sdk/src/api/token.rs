//! API tokens and service accounts.

use serde::{Deserialize, Serialize};

use crate::{
    ids::{ApiTokenId, TeamId, UserId},
    time::Timestamp,
};

/// `POST /v1/me/api-tokens`: a token outlives the session that makes it, so a stolen session alone must not.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct NewOwnApiToken {
    /// The account's password.
    pub password: String,
    /// What it is for: 1 to 64 characters.
    pub name: String,
    /// The only team that it reaches; all of its holder's unless given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub team_id: Option<TeamId>,
    /// The permissions that it carries, such as `pipeline.run`; by default all of its holder's. It never allows what
    /// its holder may not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub permissions: Option<Vec<String>>,
    /// When it expires (default: never).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<Timestamp>,
}

impl NewOwnApiToken {
    /// Such a token, with the password of the account that it is for.
    pub fn new(token: NewApiToken, password: String) -> Self {
        let NewApiToken { name, team_id, permissions, expires_at } = token;
        Self { password, name, team_id, permissions, expires_at }
    }

    /// The password, and the token without it: what is kept or shown of the one is not to be of the other.
    pub fn into_parts(self) -> (String, NewApiToken) {
        let Self { password, name, team_id, permissions, expires_at } = self;
        (password, NewApiToken { name, team_id, permissions, expires_at })
    }
}

/// `POST /v1/teams/{id}/service-accounts/{account_id}/api-tokens`.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct NewApiToken {
    /// What it is for: 1 to 64 characters.
    pub name: String,
    /// The only team that it has access to (default: all of its holder's). A service account has one team.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub team_id: Option<TeamId>,
    /// The permissions that it carries, such as `pipeline.run`; by default all of its holder's. It never allows what
    /// its holder may not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub permissions: Option<Vec<String>>,
    /// When it expires (default: never).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<Timestamp>,
}

/// An API token, without the token itself.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ApiToken {
    /// The api token's id.
    pub id: ApiTokenId,
    /// What it is for.
    pub name: String,
    /// The account that it belongs to.
    pub user_id: UserId,
    /// The holder's name.
    pub holder: String,
    /// The only team that it reaches.
    pub team_id: Option<TeamId>,
    /// The permissions that it carries; null for all that its holder has.
    pub permissions: Option<Vec<String>>,
    /// When it was created.
    pub created_at: Timestamp,
    /// Who created it; null for the oldest, where it was not recorded. A service account's token ends when its maker is
    /// not a member of the team any more, or may less there than it carries.
    #[serde(default)]
    pub created_by: Option<UserId>,
    /// When it ends by itself.
    pub expires_at: Option<Timestamp>,
    /// When it was used last, to a minute.
    pub last_used_at: Option<Timestamp>,
}

/// A new API token.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct CreatedApiToken {
    /// What is known about it.
    #[serde(flatten)]
    pub about: ApiToken,
    /// The token, for `Authorization: Bearer`. It is shown once: null when the request came before, with the same
    /// `Idempotency-Key`.
    pub token: Option<String>,
}

/// `POST /v1/teams/{id}/service-accounts`.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct NewServiceAccount {
    /// Its name: 1 to 32 characters.
    pub name: String,
    /// Its role in the team, built in or one of the team's own (by name or id): one that holds no more than the
    /// caller has; not `owner`.
    pub role: String,
}

/// An account without a person: it acts in one team, by API tokens.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ServiceAccount {
    /// The account's id.
    pub id: UserId,
    /// Its name.
    pub name: String,
    /// Its role in the team.
    pub role: String,
    /// When it was created.
    pub created_at: Timestamp,
    /// Who created it; null for the oldest, where it was not recorded.
    #[serde(default)]
    pub created_by: Option<UserId>,
}
