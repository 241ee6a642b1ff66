//! The caller of a request, and where it comes from.

use std::convert::Infallible;

use axum::{extract::FromRequestParts, http::request::Parts};
use restroy_sdk::ids::Id as _;

use super::{BodySender, bearer_token};
use crate::{
    DomainError,
    auth::{Caller, PeerAddress, rate::CountedRates},
    concurrency::in_flight::CountedRequest,
    error::ApiError,
    state::AppState,
};

/// Reads `Authorization: Bearer`, or refuses with 401.
impl FromRequestParts<AppState> for Caller {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &AppState) -> Result<Self, ApiError> {
        let token = bearer_token(parts).ok_or_else(|| {
            DomainError::Unauthenticated("Send `Authorization: Bearer` with an access token from login.".into())
        })?;
        let caller =
            Self::from_token(state, token, PeerAddress::from_parts(parts, &state.settings.trusted_proxies).0).await?;
        let counted = parts.extensions.get::<CountedRates>().cloned().unwrap_or_default();
        state.rates.count_caller(&caller, state.ambient.now(), &counted)?;
        if let Some(flight) = parts.extensions.get::<CountedRequest>() {
            flight.count_for_account(&state.in_flight, caller.user_id)?;
        }
        parts.extensions.insert(BodySender(caller.user_id.uuid()));
        Ok(caller)
    }
}

impl FromRequestParts<AppState> for PeerAddress {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, state: &AppState) -> Result<Self, Infallible> {
        Ok(Self::from_parts(parts, &state.settings.trusted_proxies))
    }
}
