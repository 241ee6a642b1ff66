//! An attempt to sign in, or to do what takes the password once more, as it is counted.

use std::{convert::Infallible, net::IpAddr};

use axum::{extract::FromRequestParts, http::request::Parts};

use crate::{
    auth::{
        PeerAddress,
        limit::{AttemptKind, TooManyAttempts},
        rate::CountedRates,
    },
    state::AppState,
};

/// What a request brings that may be an attempt: where it comes from, and whether it was counted. As an extractor.
#[derive(Debug, Clone)]
pub struct SignInAttempt {
    /// The caller's address, as far as it is known.
    pub address: Option<IpAddr>,
    counted: CountedRates,
}

impl SignInAttempt {
    /// Counts it for an account, which is whatever was typed; 429 when it is one too many. A request that is done
    /// again after a fault of ours is one attempt.
    pub fn count(&self, state: &AppState, what: AttemptKind, account: &str) -> Result<(), TooManyAttempts> {
        if self.counted.take_uncounted_attempt() {
            state.sign_ins.record_attempt(&state.ambient, self.address, what, account)?;
        }
        Ok(())
    }

    /// Counts it where no account is named, for the address alone.
    pub fn count_address(&self, state: &AppState) -> Result<(), TooManyAttempts> {
        if self.counted.take_uncounted_attempt() {
            state.sign_ins.record_address_attempt(&state.ambient, self.address)?;
        }
        Ok(())
    }
}

impl FromRequestParts<AppState> for SignInAttempt {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, state: &AppState) -> Result<Self, Infallible> {
        let counted = parts.extensions.get::<CountedRates>().cloned().unwrap_or_default();
        Ok(Self { address: PeerAddress::from_parts(parts, &state.settings.trusted_proxies).0, counted })
    }
}
