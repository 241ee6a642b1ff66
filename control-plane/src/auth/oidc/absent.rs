//! What stands in the provider's place in a binary that was built without it: nothing is found there.

#![allow(
    clippy::needless_pass_by_value,
    clippy::unused_async,
    clippy::unused_self,
    reason = "what is there in its place has something to do with what it is given"
)]

use restroy_sdk::time::Ambient;
use serde::{Deserialize, Serialize};

use super::{Identity, OidcSettings};
use crate::error::{ApiError, ApiResult};

/// Nothing is known of a provider.
#[derive(Debug, Default)]
pub struct Provider;

/// No flow ever began.
#[derive(Debug, Serialize, Deserialize)]
pub struct Flow {}

impl Provider {
    /// Of whatever is set.
    pub fn new(_: Option<OidcSettings>, _: &str, _: &Ambient) -> Self {
        Self
    }

    /// There are none.
    pub fn settings(&self) -> ApiResult<&OidcSettings> {
        Err(ApiError::not_found())
    }

    /// Begins nothing.
    pub async fn begin(&self) -> ApiResult<(String, Flow)> {
        Err(ApiError::not_found())
    }
}

impl Flow {
    /// No flow ever began.
    pub fn matches_state(&self, _: &str) -> bool {
        false
    }

    /// There is nobody to ask.
    pub async fn finish(self, _: &Provider, _: String) -> ApiResult<Identity> {
        Err(ApiError::not_found())
    }
}
