//! `Idempotency-Key` on POSTs that create: the same key, route and body within a day give the
//! first answer again.
//!
//! The key's row is written in the transaction that creates, so there is one if and only if the
//! thing was created; what fails leaves no row and may be tried again.
//!
//! ```ignore
//! let mut tx = scope.write().await?;
//! let slot = match idempotency.begin(&mut tx, scope.team().uuid(), &body, now).await? {
//!     Idempotent::New(slot) => slot,
//!     Idempotent::Replay(answer) => return Ok(answer),
//! };
//! … create …
//! let answer = slot.store_response(&mut tx, StatusCode::CREATED, &thing).await?;
//! tx.commit().await?;
//! Ok(answer)
//! ```

use axum::{
    Json,
    extract::{FromRequestParts, MatchedPath, RawPathParams},
    http::{StatusCode, request::Parts},
    response::{IntoResponse, Response},
};
use restroy_sdk::{problem::ProblemCode, time::Timestamp};
use serde::Serialize;
use serde_json::value::RawValue;
use sha2::{Digest, Sha256};
use uuid::Uuid;

use crate::{
    error::{ApiError, ApiResult},
    store::{
        Tx,
        idempotency::{self, KeyRef, KeyState},
    },
};

/// The longest key, in characters.
const MAX_KEY: usize = 255;

/// The request's idempotency key, if it has one, and its route.
#[derive(Debug, Clone)]
pub struct Idempotency {
    key: Option<String>,
    route: String,
}

impl<S: Send + Sync> FromRequestParts<S> for Idempotency {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
        let mut sent = parts.headers.get_all("idempotency-key").iter();
        let key = match (sent.next(), sent.next()) {
            (None, _) => None,
            (Some(key), None) => {
                let plain =
                    |key: &&str| (1..=MAX_KEY).contains(&key.len()) && key.bytes().all(|b| b.is_ascii_graphic());
                let key = key.to_str().ok().filter(plain);
                Some(key.map(str::to_owned).ok_or_else(invalid_key)?)
            }
            (Some(_), Some(_)) => return Err(invalid_key()),
        };
        let path = canonical_path(parts, state).await;
        Ok(Self { key, route: format!("{} {path}", parts.method) })
    }
}

/// The path as we would write it: an id may be typed in several ways, and is the same id.
async fn canonical_path<S: Send + Sync>(parts: &mut Parts, state: &S) -> String {
    let typed = parts.uri.path().to_owned();
    let Some(route) = parts.extensions.get::<MatchedPath>().map(|route| route.as_str().to_owned()) else {
        return typed;
    };
    let Ok(values) = RawPathParams::from_request_parts(parts, state).await else { return typed };
    values.iter().fold(route, |path, (name, value)| {
        let value = value.parse::<Uuid>().map_or_else(|_| value.to_owned(), |id| id.to_string());
        path.replace(&format!("{{{name}}}"), &value)
    })
}

fn invalid_key() -> ApiError {
    ApiError::with(
        ProblemCode::BadRequest,
        format!("`Idempotency-Key` is one text of 1 to {MAX_KEY} visible ASCII characters."),
    )
}

/// Whether a request came before.
#[derive(Debug)]
pub enum Idempotent {
    /// It is the first: do it, and hand the answer to the slot.
    New(ReplaySlot),
    /// It came before: this was the answer.
    Replay(Response),
}

/// Where the answer of a first request goes.
#[derive(Debug)]
pub struct ReplaySlot(Option<(Uuid, Idempotency)>);

impl Idempotency {
    /// Looks whether the request came before; `scope` is the team, or the user where there is no team yet. 422 when the
    /// key came with another body, 409 when the first is still running.
    pub async fn begin(
        self,
        tx: &mut Tx,
        scope: Uuid,
        body: &(impl Serialize + Sync),
        now: Timestamp,
    ) -> ApiResult<Idempotent> {
        let Some(key) = &self.key else { return Ok(Idempotent::New(ReplaySlot(None))) };
        let hash = Sha256::digest(serde_json::to_vec(body)?).to_vec();
        let at = KeyRef { scope, route: &self.route, key };
        let (first_hash, answer) = match idempotency::begin(tx, at, &hash, now).await? {
            KeyState::New => return Ok(Idempotent::New(ReplaySlot(Some((scope, self))))),
            KeyState::Expired => return Err(ApiError::conflict()),
            KeyState::Known { request_hash, answer } => (request_hash, answer),
        };
        if first_hash != hash {
            return Err(ApiError::with(
                ProblemCode::IdempotencyMismatch,
                "This `Idempotency-Key` was used with another body. Use a new key for a new request.",
            ));
        }
        let Some((status, answer)) = answer else {
            return Err(ApiError::with(
                ProblemCode::IdempotencyInFlight,
                "The first request with this `Idempotency-Key` is still in progress. Try again shortly.",
            ));
        };
        let status = u16::try_from(status).ok().and_then(|status| StatusCode::from_u16(status).ok());
        let answer: Box<RawValue> = serde_json::from_str(&answer)?;
        Ok(Idempotent::Replay((status.unwrap_or(StatusCode::OK), Json(answer)).into_response()))
    }
}

impl ReplaySlot {
    /// Keeps the answer for a repeat, and makes it.
    pub async fn store_response(
        self,
        tx: &mut Tx,
        status: StatusCode,
        body: &(impl Serialize + Sync),
    ) -> ApiResult<Response> {
        let answer = serde_json::value::to_raw_value(body)?;
        if let Some((scope, Idempotency { key: Some(key), route })) = &self.0 {
            let at = KeyRef { scope: *scope, route, key };
            idempotency::store_answer(tx, at, status.as_u16(), answer.get()).await?;
        }
        Ok((status, Json(answer)).into_response())
    }
}
