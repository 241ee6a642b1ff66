//! Time and randomness as values that are passed in, never reached for.

use std::{
    fmt,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};
use uuid::Uuid;

/// A moment in UTC, in microseconds since the Unix epoch. RFC 3339 in JSON; an integer in the
/// database, where texts of varying precision would sort wrongly.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[cfg_attr(feature = "sqlx", derive(sqlx::Type), sqlx(transparent))]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema), schema(value_type = String, format = DateTime))]
pub struct Timestamp(pub i64);

impl Timestamp {
    /// Microseconds since the Unix epoch.
    pub fn micros(self) -> i64 {
        self.0
    }

    /// The moment `span` later; saturates at the end of time.
    #[must_use]
    pub fn after(self, span: Duration) -> Self {
        Self(self.0.saturating_add(i64::try_from(span.as_micros()).unwrap_or(i64::MAX)))
    }

    /// The moment `span` earlier.
    #[must_use]
    pub fn before(self, span: Duration) -> Self {
        Self(self.0.saturating_sub(i64::try_from(span.as_micros()).unwrap_or(i64::MAX)))
    }

    /// How long after `earlier` this is; zero when it is not.
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_micros(u64::try_from(self.0.saturating_sub(earlier.0)).unwrap_or(0))
    }

    /// The same moment for calendar work; the epoch when it lies outside the calendar.
    pub fn to_jiff(self) -> jiff::Timestamp {
        jiff::Timestamp::from_microsecond(self.0).unwrap_or(jiff::Timestamp::UNIX_EPOCH)
    }
}

impl From<jiff::Timestamp> for Timestamp {
    fn from(moment: jiff::Timestamp) -> Self {
        Self(moment.as_microsecond())
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:.6}", self.to_jiff())
    }
}

impl Serialize for Timestamp {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Timestamp {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let moment: jiff::Timestamp = text.parse().map_err(D::Error::custom)?;
        Ok(moment.into())
    }
}

/// Where the time comes from.
pub trait Clock: Send + Sync {
    /// The present moment.
    fn now(&self) -> Timestamp;
}

/// Where randomness comes from; must be fit for keys and tokens.
pub trait Entropy: Send + Sync {
    /// Fills `buffer` with random bytes.
    fn fill(&self, buffer: &mut [u8]);
}

/// The operating system's clock and randomness: what a process passes in at its start.
#[derive(Debug, Clone, Copy, Default)]
pub struct System;

impl Clock for System {
    #[allow(clippy::disallowed_methods, reason = "the one place where the clock is read")]
    fn now(&self) -> Timestamp {
        jiff::Timestamp::now().into()
    }
}

impl Entropy for System {
    fn fill(&self, buffer: &mut [u8]) {
        // Without randomness no token or key can be made: there is nothing sensible to continue with.
        if let Err(error) = getrandom::fill(buffer) {
            panic!("the operating system gives no randomness: {error}");
        }
    }
}

/// Clock and randomness together, and the identifiers made of both. Cheap to clone.
#[derive(Clone)]
pub struct Ambient {
    clock: Arc<dyn Clock>,
    entropy: Arc<dyn Entropy>,
    /// The milliseconds and the counter of the newest identifier.
    newest: Arc<Mutex<(u64, u16)>>,
}

impl fmt::Debug for Ambient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Ambient")
    }
}

impl Ambient {
    /// From the given sources.
    pub fn new(clock: Arc<dyn Clock>, entropy: Arc<dyn Entropy>) -> Self {
        Self { clock, entropy, newest: Arc::default() }
    }

    /// From the operating system.
    pub fn system() -> Self {
        Self::new(Arc::new(System), Arc::new(System))
    }

    /// The present moment.
    pub fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// `N` random bytes.
    pub fn random<const N: usize>(&self) -> [u8; N] {
        let mut bytes = [0; N];
        self.entropy.fill(&mut bytes);
        bytes
    }

    /// A new UUIDv7 (RFC 9562, section 5.7): 48 bits of milliseconds, a counter of 12 bits (section
    /// 6.2, method 1), 62 random bits. Those of one process ascend: lists by id are in the order in
    /// which things were made, also within a millisecond.
    pub fn uuid(&self) -> Uuid {
        let now = u64::try_from(self.now().micros() / 1000).unwrap_or(0);
        let mut random: [u8; 10] = self.random();
        let (millis, counter) = {
            let mut newest = self.newest.lock().unwrap_or_else(PoisonError::into_inner);
            *newest = match *newest {
                (millis, counter) if millis >= now && counter < 0xFFF => (millis, counter + 1),
                // The counter starts anew with its highest bit clear, so that there is room above.
                (millis, _) => (now.max(millis.saturating_add(1)), u16::from_be_bytes([random[0], random[1]]) & 0x7FF),
            };
            *newest
        };
        random[..2].copy_from_slice(&counter.to_be_bytes());
        uuid::Builder::from_unix_timestamp_millis(millis, &random).into_uuid()
    }

    /// A new identifier of the wanted type.
    pub fn id<T: From<Uuid>>(&self) -> T {
        self.uuid().into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Still;

    impl Clock for Still {
        fn now(&self) -> Timestamp {
            Timestamp(1_767_225_600_000_000)
        }
    }

    #[test]
    fn identifiers_ascend_within_a_millisecond() {
        let ambient = Ambient::new(Arc::new(Still), Arc::new(System));
        let ids: Vec<Uuid> = (0..10_000).map(|_| ambient.uuid()).collect();
        assert!(ids.is_sorted_by(|a, b| a < b));
        assert!(ids.iter().all(|id| id.get_version_num() == 7));
    }
}
