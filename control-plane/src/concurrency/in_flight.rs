//! How many requests somebody may have under way at once: an account, and a network address. A rate alone does not
//! bound what is held by requests that take long, or whose answers nobody reads.

use std::{
    collections::{HashMap, hash_map::Entry},
    net::IpAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use restroy_domain::auth::limit::network;
use restroy_sdk::{ids::UserId, problem::ProblemCode};

use crate::error::{ApiError, ApiResult};

/// How many times as many as an account an address may have.
const ADDRESS_SHARE: u32 = 4;
const RETRY_AFTER: Duration = Duration::from_secs(1);

/// Who has requests under way.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Requester {
    Account(UserId),
    Address(String),
}

/// The requests under way. Cheap to clone.
#[derive(Debug, Clone)]
pub struct InFlightRequests {
    most: u32,
    /// Who has none is not in it.
    counts: Arc<Mutex<HashMap<Requester, u32>>>,
}

impl InFlightRequests {
    /// So many of one account, and four times as many of an address; 0 for as many as they like.
    pub fn new(most: u32) -> Self {
        Self { most, counts: Arc::default() }
    }

    /// How many accounts and addresses have requests under way.
    pub fn holders(&self) -> usize {
        lock(&self.counts).len()
    }

    fn begin(&self, holder: Requester) -> ApiResult<InFlightGuard> {
        let most = match &holder {
            Requester::Account(_) => self.most,
            Requester::Address(_) => self.most.saturating_mul(ADDRESS_SHARE),
        };
        let mut counts = lock(&self.counts);
        let count = counts.entry(holder.clone()).or_default();
        if *count >= most && most > 0 {
            let whose = match holder {
                Requester::Account(_) => "your account",
                Requester::Address(_) => "your network address",
            };
            let detail = format!("{most} requests of {whose} are in progress, the maximum. Wait for a response.");
            return Err(ApiError::with(ProblemCode::TooManyConcurrentRequests, detail).retry_after(RETRY_AFTER));
        }
        *count += 1;
        drop(counts);
        Ok(InFlightGuard { holder, counts: Arc::clone(&self.counts) })
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A request under way, as it counts for one holder.
#[derive(Debug)]
pub struct InFlightGuard {
    holder: Requester,
    counts: Arc<Mutex<HashMap<Requester, u32>>>,
}

impl Drop for InFlightGuard {
    fn drop(&mut self) {
        if let Entry::Occupied(mut count) = lock(&self.counts).entry(self.holder.clone()) {
            *count.get_mut() -= 1;
            if *count.get() == 0 {
                count.remove();
            }
        }
    }
}

/// A request that is counted. Travels with it as an extension.
#[derive(Debug, Clone, Default)]
pub struct CountedRequest(Arc<Mutex<Vec<InFlightGuard>>>);

impl CountedRequest {
    /// Counts the request for the account that sent it; 429 when it is one too many.
    pub fn count_for_account(&self, requests: &InFlightRequests, account: UserId) -> ApiResult<()> {
        let mut guards = lock(&self.0);
        if !guards.iter().any(|guard| matches!(guard.holder, Requester::Account(_))) {
            guards.push(requests.begin(Requester::Account(account))?);
        }
        Ok(())
    }

    /// Counts the request for the network that it came from; 429 when it is one too many.
    pub fn count_for_address(&self, requests: &InFlightRequests, address: IpAddr) -> ApiResult<()> {
        lock(&self.0).push(requests.begin(Requester::Address(network(address)))?);
        Ok(())
    }

    /// Takes the guards of the counted request; they are held until its answer is sent.
    pub fn take(&self) -> Vec<InFlightGuard> {
        std::mem::take(&mut *lock(&self.0))
    }

    /// The account that it is counted for.
    pub fn account(&self) -> Option<UserId> {
        lock(&self.0).iter().find_map(|guard| match guard.holder {
            Requester::Account(account) => Some(account),
            Requester::Address(_) => None,
        })
    }
}

#[cfg(test)]
mod tests {
    use restroy_sdk::time::Ambient;

    use super::*;

    #[test]
    fn so_many_at_once_and_no_more() {
        let in_flight = InFlightRequests::new(2);
        let ann = Requester::Account(UserId(Ambient::system().uuid()));
        let home = Requester::Address("192.0.2.1".to_owned());
        let guards: Vec<_> = (0..2).map(|_| in_flight.begin(ann.clone()).unwrap()).collect();
        assert_eq!(in_flight.begin(ann.clone()).unwrap_err().code(), ProblemCode::TooManyConcurrentRequests);
        let of_home: Vec<_> = (0..8).map(|_| in_flight.begin(home.clone()).unwrap()).collect();
        assert!(in_flight.begin(home).is_err());
        drop(guards);
        assert!(in_flight.begin(ann.clone()).is_ok());
        drop(of_home);
        assert_eq!(in_flight.holders(), 0, "nobody is remembered who has none");
        let free = InFlightRequests::new(0);
        let guards: Vec<_> = (0..1_000).map(|_| free.begin(ann.clone()).unwrap()).collect();
        assert_eq!((guards.len(), free.holders()), (1_000, 1));
    }
}
