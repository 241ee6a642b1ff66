//! Who sends a request of the run API.

use axum::{
    extract::FromRequestParts,
    http::{header, request::Parts},
};
use restroy_sdk::ids::Id as _;

use crate::{
    DomainError,
    api::http::BodySender,
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
    parts
        .headers
        .get(header::AUTHORIZATION)
        .and_then(|value| value.to_str().ok())
        .and_then(|value| value.split_once(' '))
        .filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer"))
        .map(|(_, token)| token.trim())
        .ok_or_else(|| DomainError::Unauthenticated("Send `Authorization: Bearer`.".into()).into())
}
