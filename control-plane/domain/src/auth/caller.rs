//! Who a request comes from.

use std::net::IpAddr;

use restroy_sdk::{
    ids::{ApiTokenId, SessionId, TeamId, UserId},
    time::Timestamp,
};
use sqlx::query_scalar;

use super::{Permissions, api_token};
use crate::{
    DomainError, DomainResult, sql,
    state::DomainState,
    store::{Tx, api_tokens, audit::Actor, teams},
};

/// Somebody who is signed in, or shows an API token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Caller {
    /// The account of the caller.
    pub user_id: UserId,
    /// By what they are known.
    pub via: AuthMethod,
    /// Where the request came from, as far as that is known.
    pub address: Option<IpAddr>,
}

/// What a caller is known by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AuthMethod {
    /// A login.
    Session(SessionId),
    /// An API token.
    Token(TokenGrant),
}

/// What an API token lets through of what its holder may.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TokenGrant {
    /// The token.
    pub id: ApiTokenId,
    /// The permissions that it carries.
    pub permissions: Permissions,
    /// The only team that it reaches; all of its holder's otherwise.
    pub team: Option<TeamId>,
    /// Who made it, as far as that is known.
    pub maker: Option<UserId>,
    /// Whether its account is a service account.
    pub of_service_account: bool,
}

impl Caller {
    /// The caller that an access token or an API token names, when it, its session and its account are still
    /// good: what is revoked stops here from the next request on.
    pub async fn from_token(state: &DomainState, token: &str, address: Option<IpAddr>) -> DomainResult<Self> {
        if api_token::has_prefix(token) {
            return api_token::authenticate(state, token, address).await;
        }
        let Some((user_id, session_id)) = state.tokens.verify(&state.ambient, token) else {
            return Err(unauthorized("The access token is invalid or expired. Sign in or refresh it."));
        };
        Self::from_session(user_id, session_id, address).revalidate(state).await
    }

    /// Whoever signed in with a session, good or not.
    pub fn from_session(user_id: UserId, session: SessionId, address: Option<IpAddr>) -> Self {
        Self { user_id, via: AuthMethod::Session(session), address }
    }

    /// The login; 403 for who did not sign in: accounts, their sessions and their tokens are not for programs.
    pub fn require_session(self) -> DomainResult<SessionId> {
        match self.via {
            AuthMethod::Session(id) => Ok(id),
            AuthMethod::Token(_) => {
                Err(DomainError::forbidden("An API token cannot do this: sign in with a password."))
            }
        }
    }

    /// What an API token lets through, if it is one.
    pub fn grant(self) -> Option<TokenGrant> {
        match self.via {
            AuthMethod::Session(_) => None,
            AuthMethod::Token(grant) => Some(grant),
        }
    }

    /// The caller as the viewer of a list of teams.
    pub fn team_viewer(self) -> teams::Viewer {
        let grant = self.grant();
        teams::Viewer {
            user: self.user_id,
            token: grant.map(|grant| grant.id),
            only: grant.and_then(|grant| grant.team),
        }
    }

    /// Who answers for what the caller does to others: the person, also where a service account acts by a token
    /// that they made.
    pub fn accountable_user(self) -> UserId {
        self.grant().and_then(|grant| grant.maker).unwrap_or(self.user_id)
    }

    /// The caller as the audit log names them.
    pub fn actor(self) -> Actor {
        Actor { token: self.grant().map(|grant| grant.id), ..Actor::user(self.user_id, self.address) }
    }

    /// Of what a role allows, what the caller may.
    pub(super) fn restrict(self, role: Permissions) -> Permissions {
        self.grant().map_or(role, |grant| role.intersection(grant.permissions))
    }

    /// Whether the caller's API token, if it is one, reaches a team that its holder is in.
    pub(super) async fn ensure_token_reaches(self, tx: &mut Tx, team: TeamId) -> DomainResult<bool> {
        let Some(grant) = self.grant() else { return Ok(true) };
        Ok(grant.team.is_none_or(|only| only == team) && !api_tokens::is_revoked_in_team(tx, team, grant.id).await?)
    }

    /// Looks again whether session and account are still good; for what lasts longer than a request.
    pub async fn revalidate(self, state: &DomainState) -> DomainResult<Self> {
        self.revalidate_in(&mut state.db.system_read().await?, state.ambient.now()).await
    }

    /// The same within a transaction.
    pub async fn revalidate_in(self, tx: &mut Tx, now: Timestamp) -> DomainResult<Self> {
        let session_id = match self.via {
            AuthMethod::Session(id) => id,
            AuthMethod::Token(grant) if api_tokens::is_valid(tx, grant.id, now).await? => return Ok(self),
            AuthMethod::Token(_) => {
                return Err(unauthorized(
                    "The API token has expired or was revoked. Create \
                another.",
                ));
            }
        };
        let found: Option<i64> = sql!(
            tx,
            fetch_optional,
            query_scalar(
                "SELECT CAST(1 AS BIGINT) FROM sessions s JOIN users u ON u.id = s.user_id AND u.deleted_at IS NULL
                 WHERE s.id = $1 AND s.user_id = $2 AND s.revoked_at IS NULL AND s.expires_at > $3"
            )
            .bind(session_id)
            .bind(self.user_id)
            .bind(now)
        )?;
        found.map(|_| self).ok_or_else(|| unauthorized("The session has ended; sign in again."))
    }
}

/// Nobody who may ask.
pub(super) fn unauthorized(detail: &'static str) -> DomainError {
    DomainError::Unauthenticated(detail.into())
}
