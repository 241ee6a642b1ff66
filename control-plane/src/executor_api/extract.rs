//! Who sends a request of the run API.

use axum::{extract::FromRequestParts, http::request::Parts};
use restroy_sdk::ids::Id as _;

use crate::{
    DomainError,
    api::http::{BodySender, bearer_token},
    error::{ApiError, ApiResult},
    runs::{
        executor::{ClientCertificate, Executor},
        lease,
    },
    state::AppState,
};

impl FromRequestParts<AppState> for Executor {
    type Rejection = ApiError;

    /// 401 without a credential in force.
    async fn from_request_parts(parts: &mut Parts, state: &AppState) -> ApiResult<Self> {
        Ok(Self::authenticate(state, bearer(parts)?, parts.extensions.get::<ClientCertificate>()).await?)
    }
}

/// The token of a task, as it came; checked in the transaction of the write it goes with.
#[derive(Debug, Clone)]
pub(super) struct TaskToken(pub(super) String);

impl FromRequestParts<AppState> for TaskToken {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _: &AppState) -> ApiResult<Self> {
        let token = Self(bearer(parts)?.to_owned());
        if let Some(team) = lease::team_of(&token.0) {
            parts.extensions.insert(BodySender(team.uuid()));
        }
        Ok(token)
    }
}

fn bearer(parts: &Parts) -> ApiResult<&str> {
    bearer_token(parts).ok_or_else(|| DomainError::Unauthenticated("Send `Authorization: Bearer`.".into()).into())
}
