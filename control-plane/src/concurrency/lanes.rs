//! How many requests of an executor are served at once. The run API counts no requests a minute, as people's API
//! does: it is executors' work that people wait for. What one executor asks for at once is bounded instead, so that
//! none takes the database from the others; more waits for its turn. Leases have a lane of their own: they are
//! renewed however many effects wait.

use std::{
    collections::HashMap,
    hash::Hash,
    net::SocketAddr,
    sync::{Arc, Mutex, PoisonError},
};

use axum::{
    extract::{ConnectInfo, Request, State},
    http::header,
    middleware::Next,
    response::{IntoResponse as _, Response},
};
use restroy_sdk::problem::ProblemCode;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use restroy_domain::runs::lane::Lane;

use crate::error::ApiError;

/// How many requests of an executor are served at once in each of its two lanes.
const MAX_CONCURRENT: usize = 8;
/// How many more wait there; beyond that they are refused with 503, and executors try again.
const MAX_WAITING: usize = 1_024;
/// How many requests are served at once from one network address, whatever credentials they name.
const AT_ONCE_FROM_ADDRESS: usize = 64;
/// How many more wait from there.
const WAITING_FROM_ADDRESS: usize = 8_192;

/// What a request is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum RequestKind {
    /// That the executor is there, and keeps or gives back what it has.
    Lease,
    /// Everything else: claims, reports, calls.
    Work,
}

impl RequestKind {
    fn from_path(path: &str) -> Self {
        match path.rsplit('/').next() {
            Some("heartbeat" | "renew" | "release" | "suspend" | "stopped") => Self::Lease,
            _ => Self::Work,
        }
    }
}

/// The lanes of all executors. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub(crate) struct Lanes {
    executors: KeyedLimiter<(Lane, RequestKind)>,
    addresses: KeyedLimiter<std::net::IpAddr>,
}

/// Serves a request when it is its executor's turn.
pub(crate) async fn limit_concurrency(State(lanes): State<Lanes>, request: Request, next: Next) -> Response {
    let token = request.headers().get(header::AUTHORIZATION).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let token = token.split_once(' ').map_or(token, |(_, token)| token.trim());
    let lane = (Lane::from_bearer(token), RequestKind::from_path(request.uri().path()));
    let address = request.extensions().get::<ConnectInfo<SocketAddr>>().map(|peer| peer.0.ip().to_canonical());
    let Some(_turn) = lanes.executors.acquire(lane, MAX_CONCURRENT, MAX_WAITING).await else { return busy_response() };
    let _from_there = match address {
        Some(address) => {
            let Some(turn) = lanes.addresses.acquire(address, AT_ONCE_FROM_ADDRESS, WAITING_FROM_ADDRESS).await else {
                return busy_response();
            };
            Some(turn)
        }
        None => None,
    };
    next.run(request).await
}

fn busy_response() -> Response {
    ApiError::with(ProblemCode::Unavailable, "Too many requests of this executor are waiting. Try again shortly.")
        .into_response()
}

/// So many at once for each key; the others wait, first come, first served.
#[derive(Debug)]
struct KeyedLimiter<K>(Arc<Mutex<KeyedState<K>>>);

#[derive(Debug)]
struct KeyedState<K> {
    keys: HashMap<K, Arc<Semaphore>>,
    /// At how many keys those are removed that nobody uses.
    sweep_at: usize,
}

impl<K> Clone for KeyedLimiter<K> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<K> Default for KeyedLimiter<K> {
    fn default() -> Self {
        Self(Arc::new(Mutex::new(KeyedState { keys: HashMap::new(), sweep_at: 64 })))
    }
}

impl<K: Hash + Eq> KeyedLimiter<K> {
    /// Waits for a turn; `None` when too many wait.
    async fn acquire(&self, key: K, at_once: usize, waiting: usize) -> Option<OwnedSemaphorePermit> {
        let semaphore = {
            let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            if all.keys.len() >= all.sweep_at {
                // Whoever is served or waits holds the semaphore too.
                all.keys.retain(|_, semaphore| Arc::strong_count(semaphore) > 1);
                all.sweep_at = (all.keys.len() * 2).max(64);
            }
            let semaphore = all.keys.entry(key).or_insert_with(|| Arc::new(Semaphore::new(at_once)));
            if Arc::strong_count(semaphore) > at_once + waiting {
                return None;
            }
            Arc::clone(semaphore)
        };
        // It is never closed.
        semaphore.acquire_owned().await.ok()
    }
}

#[cfg(test)]
mod tests {
    use restroy_domain::auth::token::hash;

    use super::*;

    #[test]
    fn a_credential_and_the_tokens_of_its_tasks_share_a_lane() {
        let lane = Lane::from_credential(&hash("credential"));
        assert!(Lane::from_bearer("credential") == lane);
        assert!(Lane::from_bearer(&format!("team.{lane}.secret")) == lane);
        assert!(Lane::from_bearer("team.secret") != lane);
        assert!(Lane::from_bearer("other") != lane);
    }

    #[test]
    fn leases_have_their_own_lane() {
        assert_eq!(RequestKind::from_path("/run/v1/tasks/1/renew"), RequestKind::Lease);
        assert_eq!(RequestKind::from_path("/run/v1/executors/heartbeat"), RequestKind::Lease);
        assert_eq!(RequestKind::from_path("/run/v1/tasks/1/calls"), RequestKind::Work);
    }

    #[tokio::test]
    async fn so_many_are_served_at_once_and_so_many_wait() {
        let bounded = KeyedLimiter::<u8>::default();
        let first = bounded.acquire(1, 1, 1).await.unwrap();
        let mut second = Box::pin(bounded.acquire(1, 1, 1));
        assert!(futures_util::poll!(&mut second).is_pending());
        assert!(bounded.acquire(1, 1, 1).await.is_none(), "a third does not wait");
        assert!(bounded.acquire(2, 1, 1).await.is_some(), "others are served");
        drop(first);
        assert!(second.await.is_some());
        for key in 3..=255 {
            drop(bounded.acquire(key, 1, 1).await.unwrap());
        }
        assert!(bounded.0.lock().unwrap().keys.len() <= 64, "keys that nobody uses are forgotten");
    }
}
