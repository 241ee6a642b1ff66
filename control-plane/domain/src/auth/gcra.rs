//! Counting by the generic cell rate algorithm: for each key one moment, that at which everything it
//! asked for so far would have come at the agreed rate. No windows that begin anew, and a table of a
//! bounded size.
//!
//! A full table turns nobody away: whoever is owed the most is forgotten for whoever comes. Keys belong to groups, such
//! as a large network, of which none has more than its share of the table, so that a network with ever new addresses
//! pushes out itself.

use std::{
    collections::{BTreeSet, HashMap},
    sync::{Mutex, PoisonError},
    time::Duration,
};

use restroy_sdk::time::Timestamp;
use sha2::{Digest, Sha256};

/// So many within that time, at most all of them at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rate {
    /// The maximum number within the window.
    pub most: u32,
    /// Within what time.
    pub window: Duration,
}

/// How a key stands after it was counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RateStatus {
    /// How many more are let through at once.
    pub remaining: u32,
    /// After how long all of them are there again.
    pub full_in: Duration,
    /// It was one too many: after how long the next one is let through.
    pub refused: Option<Duration>,
}

/// Whom something is counted for: of fixed length, whatever was typed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LimiterKey([u8; 16]);

impl LimiterKey {
    /// Of its parts; other parts make another key.
    pub fn from_parts(parts: &[&[u8]]) -> Self {
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

/// Which keys share a part of the table.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LimiterGroup(Option<u64>);

impl LimiterGroup {
    /// Keys that nobody can make up at will, such as accounts that are there: bounded by the table alone.
    pub const KNOWN: Self = Self(None);

    /// Of what they have in common.
    pub fn from_bytes(what: &[u8]) -> Self {
        let LimiterKey(key) = LimiterKey::from_parts(&[what]);
        let (first, _) = key.split_first_chunk::<8>().unwrap_or((&[0; 8], &[]));
        Self(Some(u64::from_be_bytes(*first)))
    }
}

/// The moments of so many keys.
#[derive(Debug)]
pub struct RateTable {
    most: usize,
    /// The most that a group has of it.
    share: usize,
    keys: Mutex<KeyTable>,
}

/// Into how many shares a table is divided.
const SHARES: usize = 16;

#[derive(Debug, Default)]
struct KeyTable {
    /// In microseconds: when what was let through so far would have come at the agreed rate.
    due: HashMap<LimiterKey, (i64, LimiterGroup)>,
    /// The same by group, who is owed the most first.
    groups: HashMap<LimiterGroup, BTreeSet<(i64, LimiterKey)>>,
    /// The groups by how many keys they have.
    sizes: BTreeSet<(usize, LimiterGroup)>,
}

impl KeyTable {
    /// Writes a key's moment.
    fn set(&mut self, key: LimiterKey, group: LimiterGroup, due: i64) {
        self.remove(key);
        self.due.insert(key, (due, group));
        let keys = self.groups.entry(group).or_default();
        self.sizes.remove(&(keys.len(), group));
        keys.insert((due, key));
        self.sizes.insert((keys.len(), group));
    }

    fn remove(&mut self, key: LimiterKey) {
        let Some((due, group)) = self.due.remove(&key) else { return };
        let Some(keys) = self.groups.get_mut(&group) else { return };
        self.sizes.remove(&(keys.len(), group));
        keys.remove(&(due, key));
        if keys.is_empty() {
            self.groups.remove(&group);
        } else {
            self.sizes.insert((keys.len(), group));
        }
    }

    /// Forgets whoever of a group is owed the most.
    fn evict_one(&mut self, group: LimiterGroup) {
        let first = self.groups.get(&group).and_then(BTreeSet::first).copied();
        if let Some((_, key)) = first {
            self.remove(key);
        }
    }

    /// Makes room for a new key of a group.
    fn evict_for(&mut self, group: LimiterGroup, share: usize, most: usize) {
        if group != LimiterGroup::KNOWN && self.groups.get(&group).is_some_and(|keys| keys.len() >= share) {
            self.evict_one(group);
        }
        if self.due.len() >= most
            && let Some((_, largest)) = self.sizes.last().copied()
        {
            self.evict_one(largest);
        }
    }
}

impl RateTable {
    /// Of at most so many keys; about 200 bytes each.
    pub fn new(most: usize) -> Self {
        Self { most, share: (most / SHARES).max(1), keys: Mutex::default() }
    }

    /// Counts one for the key.
    pub fn count(&self, key: LimiterKey, group: LimiterGroup, rate: Rate, now: Timestamp) -> RateStatus {
        let now = now.micros();
        let window = i64::try_from(rate.window.as_micros()).unwrap_or(i64::MAX);
        let step = (window / i64::from(rate.most.max(1))).max(1);
        let mut keys = self.keys.lock().unwrap_or_else(PoisonError::into_inner);
        let known = keys.due.get(&key).map(|(due, _)| *due);
        if known.is_none() {
            keys.evict_for(group, self.share, self.most);
        }
        // A clock that was set back must not lock anybody out for longer than a window.
        let present = known.unwrap_or(now).clamp(now, now.saturating_add(window));
        let next = present.saturating_add(step);
        let over = next.saturating_sub(now).saturating_sub(window);
        // Rounding the step down leaves a remainder of less than one step.
        let refused = (over > 0).then(|| micros(over));
        let due = if refused.is_some() { present } else { next };
        keys.set(key, group, due);
        let owed = due.saturating_sub(now);
        RateStatus {
            remaining: u32::try_from((window - owed).max(0) / step).unwrap_or(u32::MAX).min(rate.most),
            full_in: micros(owed),
            refused,
        }
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

    fn key(n: u32) -> LimiterKey {
        LimiterKey::from_parts(&[&n.to_be_bytes()])
    }

    #[test]
    fn all_at_once_then_one_after_the_other() {
        let table = RateTable::new(10);
        for left in (0..10).rev() {
            let standing = table.count(key(1), LimiterGroup::KNOWN, RATE, Timestamp(0));
            assert_eq!((standing.remaining, standing.refused), (left, None));
        }
        let standing = table.count(key(1), LimiterGroup::KNOWN, RATE, Timestamp(0));
        assert_eq!(standing.refused, Some(Duration::from_secs(6)));
        assert_eq!(standing.full_in, Duration::from_mins(1));
        let later = Timestamp(6_000_000);
        assert_eq!(table.count(key(1), LimiterGroup::KNOWN, RATE, later).refused, None);
        assert!(table.count(key(1), LimiterGroup::KNOWN, RATE, later).refused.is_some());
        assert_eq!(table.count(key(2), LimiterGroup::KNOWN, RATE, later).remaining, 9, "nobody else is touched");
    }

    #[test]
    fn a_full_table_forgets_who_is_owed_the_most() {
        let table = RateTable::new(2);
        let count = |n: u32| table.count(key(n), LimiterGroup::KNOWN, RATE, Timestamp(0)).remaining;
        assert_eq!((count(1), count(1), count(2)), (9, 8, 9));
        assert_eq!(count(3), 9, "nobody is turned away");
        assert_eq!(count(1), 7, "who has done the most is counted on");
        assert_eq!(table.keys.lock().unwrap().due.len(), 2);
    }

    #[test]
    fn a_group_pushes_out_itself() {
        let table = RateTable::new(64);
        let (ours, theirs) = (LimiterGroup::from_bytes(b"ours"), LimiterGroup::from_bytes(b"theirs"));
        let of = |n: u32| LimiterKey::from_parts(&[&n.to_be_bytes()]);
        for _ in 0..10 {
            table.count(of(0), ours, RATE, Timestamp(0));
            table.count(of(1), theirs, RATE, Timestamp(0));
        }
        for n in 2..10_000 {
            assert_eq!(table.count(of(n), theirs, RATE, Timestamp(0)).remaining, 9);
        }
        let keys = table.keys.lock().unwrap();
        assert_eq!(keys.groups[&theirs].len(), 4, "a sixteenth of the table");
        assert_eq!(keys.due.len(), 5);
        assert_eq!(keys.sizes.len(), 2);
        drop(keys);
        for n in [0, 1] {
            let standing = table.count(of(n), if n == 0 { ours } else { theirs }, RATE, Timestamp(0));
            assert!(standing.refused.is_some(), "who has used up everything is not forgotten for those");
        }
    }

    #[test]
    fn parts_are_distinguished() {
        assert_ne!(LimiterKey::from_parts(&[b"ab", b"c"]), LimiterKey::from_parts(&[b"a", b"bc"]));
    }

    proptest! {
        /// Whatever the moments are at which somebody asks, no window lets more through than twice the
        /// burst, and what is refused is let through after the time that was said.
        #[test]
        fn no_more_than_agreed(pauses in prop::collection::vec(0_i64..20_000_000, 1..200)) {
            let table = RateTable::new(4);
            let (mut now, mut through) = (0, Vec::new());
            for pause in pauses {
                now += pause;
                match table.count(key(1), LimiterGroup::KNOWN, RATE, Timestamp(now)).refused {
                    None => through.push(now),
                    Some(wait) => {
                        now += i64::try_from(wait.as_micros()).unwrap();
                        prop_assert_eq!(table.count(key(1), LimiterGroup::KNOWN, RATE, Timestamp(now)).refused, None);
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
