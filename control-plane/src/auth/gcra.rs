//! Counting by the generic cell rate algorithm: for each key one moment, that at which everything it
//! asked for so far would have come at the agreed rate. No windows that begin anew, and a table of a
//! bounded size.

use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use restroy_sdk::time::Timestamp;
use sha2::{Digest, Sha256};

/// So many within that time, at most all of them at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Rate {
    /// How many.
    pub(crate) most: u32,
    /// Within what time.
    pub(crate) window: Duration,
}

/// How a key stands after it was counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Standing {
    /// How many more are let through at once.
    pub(crate) remaining: u32,
    /// After how long all of them are there again.
    pub(crate) full_in: Duration,
    /// It was one too many: after how long the next one is let through.
    pub(crate) refused: Option<Duration>,
}

/// Whom something is counted for: of fixed length, whatever was typed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Key([u8; 16]);

impl Key {
    /// Of its parts; other parts make another key.
    pub(crate) fn of(parts: &[&[u8]]) -> Self {
        let mut hasher = Sha256::new();
        for part in parts {
            hasher.update(part.len().to_be_bytes());
            hasher.update(part);
        }
        let mut short = [0; 16];
        short.copy_from_slice(&hasher.finalize()[..16]);
        Self(short)
    }
}

/// The moments of so many keys.
#[derive(Debug)]
pub(crate) struct Table {
    most: usize,
    keys: Mutex<Keys>,
}

#[derive(Debug, Default)]
struct Keys {
    /// In microseconds: when what was let through so far would have come at the agreed rate.
    due: HashMap<Key, i64>,
    /// When the table was last rid of those who are owed everything again.
    swept: i64,
}

/// How often a full table is looked through.
const SWEEP: i64 = 1_000_000;

impl Table {
    /// Of at most so many keys; about 64 bytes each.
    pub(crate) fn new(most: usize) -> Self {
        Self { most, keys: Mutex::default() }
    }

    /// Counts one for the key. `None` when the table is full of others who are being counted.
    pub(crate) fn count(&self, key: Key, rate: Rate, now: Timestamp) -> Option<Standing> {
        let now = now.micros();
        let window = i64::try_from(rate.window.as_micros()).unwrap_or(i64::MAX);
        let step = (window / i64::from(rate.most.max(1))).max(1);
        let mut keys = self.keys.lock().unwrap_or_else(PoisonError::into_inner);
        if keys.due.len() >= self.most && !keys.due.contains_key(&key) {
            if now.saturating_sub(keys.swept) < SWEEP {
                return None;
            }
            keys.swept = now;
            keys.due.retain(|_, due| *due > now);
            if keys.due.len() >= self.most {
                return None;
            }
        }
        let due = keys.due.entry(key).or_insert(now);
        // A clock that was set back must not lock anybody out for longer than a window.
        let present = (*due).clamp(now, now.saturating_add(window));
        let next = present.saturating_add(step);
        let over = next.saturating_sub(now).saturating_sub(window);
        // Rounding the step down leaves a remainder of less than one step.
        let refused = (over > 0).then(|| micros(over));
        *due = if refused.is_some() { present } else { next };
        let owed = due.saturating_sub(now);
        Some(Standing {
            remaining: u32::try_from((window - owed).max(0) / step).unwrap_or(u32::MAX).min(rate.most),
            full_in: micros(owed),
            refused,
        })
    }
}

fn micros(micros: i64) -> Duration {
    Duration::from_micros(u64::try_from(micros).unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const RATE: Rate = Rate { most: 10, window: Duration::from_mins(1) };

    fn key(n: u32) -> Key {
        Key::of(&[&n.to_be_bytes()])
    }

    #[test]
    fn all_at_once_then_one_after_the_other() {
        let table = Table::new(10);
        for left in (0..10).rev() {
            let standing = table.count(key(1), RATE, Timestamp(0)).unwrap();
            assert_eq!((standing.remaining, standing.refused), (left, None));
        }
        let standing = table.count(key(1), RATE, Timestamp(0)).unwrap();
        assert_eq!(standing.refused, Some(Duration::from_secs(6)));
        assert_eq!(standing.full_in, Duration::from_mins(1));
        let later = Timestamp(6_000_000);
        assert_eq!(table.count(key(1), RATE, later).unwrap().refused, None);
        assert!(table.count(key(1), RATE, later).unwrap().refused.is_some());
        assert_eq!(table.count(key(2), RATE, later).unwrap().remaining, 9, "nobody else is touched");
    }

    #[test]
    fn the_table_is_bounded_and_forgets_who_is_owed_everything() {
        let table = Table::new(2);
        assert!(table.count(key(1), RATE, Timestamp(0)).is_some());
        assert!(table.count(key(2), RATE, Timestamp(0)).is_some());
        assert!(table.count(key(3), RATE, Timestamp(0)).is_none());
        assert!(table.count(key(1), RATE, Timestamp(0)).is_some(), "who is in is counted on");
        let later = Timestamp(3_600_000_000);
        assert!(table.count(key(3), RATE, later).is_some());
        assert_eq!(table.keys.lock().unwrap().due.len(), 1);
    }

    #[test]
    fn parts_are_told_apart() {
        assert_ne!(Key::of(&[b"ab", b"c"]), Key::of(&[b"a", b"bc"]));
    }

    proptest! {
        /// Whatever the moments are at which somebody asks, no window lets more through than twice the
        /// burst, and what is refused is let through after the time that was said.
        #[test]
        fn no_more_than_agreed(pauses in prop::collection::vec(0_i64..20_000_000, 1..200)) {
            let table = Table::new(4);
            let (mut now, mut through) = (0, Vec::new());
            for pause in pauses {
                now += pause;
                match table.count(key(1), RATE, Timestamp(now)).unwrap().refused {
                    None => through.push(now),
                    Some(wait) => {
                        now += i64::try_from(wait.as_micros()).unwrap();
                        prop_assert_eq!(table.count(key(1), RATE, Timestamp(now)).unwrap().refused, None);
                        through.push(now);
                    }
                }
            }
            for first in &through {
                let within = through.iter().filter(|at| (*first..first + 60_000_000).contains(*at)).count();
                prop_assert!(within <= 20, "{} within a minute", within);
            }
        }
    }
}
