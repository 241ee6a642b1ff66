//! How much somebody may ask for: requests per network address, per account and per token (a login, or
//! an API token), and WebSockets per address. In memory and per process: against programs that run
//! wild, not a quota of the team.
//!
//! Every answer says how its caller stands, in `RateLimit-Policy` and `RateLimit`
//! (draft-ietf-httpapi-ratelimit-headers-10).

use std::{
    net::IpAddr,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use restroy_sdk::{ids::Id as _, problem::ProblemCode, time::Timestamp};
use uuid::Uuid;

use super::{
    AuthMethod, Caller,
    gcra::{LimiterGroup, LimiterKey, Rate, RateStatus, RateTable},
    limit::{group, network},
};
use crate::error::{ApiError, ApiResult, whole_seconds};

/// What requests are counted over.
const WINDOW: Duration = Duration::from_mins(1);
/// How many addresses, accounts and tokens are counted at once.
const MAX_KEYS: usize = 100_000;

/// What is counted apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RateClass {
    /// All requests from an address, signed in or not.
    Address,
    /// WebSockets that are opened from an address: after an upgrade all who watch come back at once.
    Streams,
    /// What an account asks for, by whatever token.
    Account,
    /// What is asked for with one login or API token.
    Token,
}

impl RateClass {
    /// Its name in `RateLimit`.
    fn as_str(self) -> &'static str {
        match self {
            Self::Address => "address",
            Self::Streams => "streams",
            Self::Account => "account",
            Self::Token => "token",
        }
    }

    /// How many times as much as one token.
    fn share(self) -> u32 {
        match self {
            Self::Address => 10,
            Self::Account => 3,
            Self::Token | Self::Streams => 1,
        }
    }
}

/// Counts requests.
#[derive(Debug)]
pub struct Rates {
    per_minute: u32,
    table: RateTable,
}

/// What was counted for a request, for its answer's headers. Travels as an extension.
#[derive(Debug, Clone, Default)]
pub struct CountedRates(Arc<CountedOnce>);

/// What is counted once, however often the request is done again.
#[derive(Debug, Default)]
struct CountedOnce {
    classes: Mutex<Vec<(RateClass, u32, RateStatus)>>,
    attempt: AtomicBool,
}

impl CountedRates {
    fn is_counted(&self, class: RateClass) -> bool {
        self.lock().iter().any(|(counted, ..)| *counted == class)
    }

    /// Whether the request is an attempt to sign in that was not counted yet; from now on it is.
    pub(crate) fn take_uncounted_attempt(&self) -> bool {
        !self.0.attempt.swap(true, Ordering::Relaxed)
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<(RateClass, u32, RateStatus)>> {
        self.0.classes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// `RateLimit-Policy` and `RateLimit`; nothing when nothing was counted.
    pub fn headers(&self) -> Option<(String, String)> {
        let counted = self.lock();
        if counted.is_empty() {
            return None;
        }
        let list = |item: &dyn Fn(&(RateClass, u32, RateStatus)) -> String| {
            counted.iter().map(item).collect::<Vec<_>>().join(", ")
        };
        Some((
            list(&|(class, most, _)| format!("\"{}\";q={most};w={}", class.as_str(), WINDOW.as_secs())),
            list(&|(class, _, standing)| {
                format!("\"{}\";r={};t={}", class.as_str(), standing.remaining, whole_seconds(standing.full_in))
            }),
        ))
    }
}

impl Rates {
    /// So many requests a minute with one token; 0 for as many as one likes.
    pub fn new(per_minute: u32) -> Self {
        Self { per_minute, table: RateTable::new(MAX_KEYS) }
    }

    /// Counts a request from an address, or a WebSocket; 429 when it is one too many.
    pub fn count_address(
        &self,
        class: RateClass,
        address: Option<IpAddr>,
        now: Timestamp,
        counted: &CountedRates,
    ) -> ApiResult<()> {
        let Some(address) = address else { return Ok(()) };
        self.count(class, (network(address).as_bytes(), group(Some(address))), now, counted)
    }

    /// Counts a request for who sent it; 429 when it is one too many.
    pub fn count_caller(&self, caller: &Caller, now: Timestamp, counted: &CountedRates) -> ApiResult<()> {
        let token: Uuid = match caller.via {
            AuthMethod::Session(id) => id.uuid(),
            AuthMethod::Token(grant) => grant.id.uuid(),
        };
        self.count(RateClass::Token, (token.as_bytes(), LimiterGroup::KNOWN), now, counted)?;
        self.count(RateClass::Account, (caller.user_id.uuid().as_bytes(), LimiterGroup::KNOWN), now, counted)
    }

    fn count(
        &self,
        class: RateClass,
        (of, group): (&[u8], LimiterGroup),
        now: Timestamp,
        counted: &CountedRates,
    ) -> ApiResult<()> {
        // A request that is done again after a fault of ours is one request.
        if self.per_minute == 0 || counted.is_counted(class) {
            return Ok(());
        }
        let most = self.per_minute.saturating_mul(class.share());
        let key = LimiterKey::from_parts(&[class.as_str().as_bytes(), of]);
        let standing = self.table.count(key, group, Rate { most, window: WINDOW }, now);
        counted.lock().push((class, most, standing));
        let Some(wait) = standing.refused else { return Ok(()) };
        let detail = match class {
            RateClass::Address => format!("More than {most} requests per minute from your network address."),
            RateClass::Streams => format!("More than {most} streams per minute from your network address."),
            RateClass::Account => format!("More than {most} requests per minute from your account."),
            RateClass::Token => format!("More than {most} requests per minute with this token."),
        };
        let detail = format!("{detail} Try again in {} s.", whole_seconds(wait));
        Err(ApiError::with(ProblemCode::RateLimited, detail).retry_after(wait))
    }
}
