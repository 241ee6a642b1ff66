//! Who may fill how much of the executor's scratch space (`docs/adr/0008-executor-resource-limits.md`).
//!
//! A team may have as much as is free: alone it comes to half of the total, two that fill it at the same time to a
//! third each, and whoever comes later to half of what is left. None ever fills it.

use std::{
    collections::HashMap,
    sync::{Mutex, MutexGuard, PoisonError},
};

use restroy_sdk::ids::TeamId;

/// The books of one executor's scratch space.
#[derive(Debug)]
pub(crate) struct ScratchQuota {
    total: u64,
    books: Mutex<QuotaState>,
}

#[derive(Debug, Default)]
struct QuotaState {
    used: u64,
    teams: HashMap<TeamId, u64>,
}

/// There is no room for so much.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct QuotaExceeded {
    /// What the team may have at this moment, in bytes.
    pub(crate) share: u64,
}

impl ScratchQuota {
    /// Nothing is used.
    pub(crate) fn new(total: u64) -> Self {
        Self { total, books: Mutex::default() }
    }

    /// Books bytes for a team, unless it would have more than is free then.
    pub(crate) fn reserve(&self, team: TeamId, bytes: u64) -> Result<(), QuotaExceeded> {
        let mut books = self.books();
        let of_team = books.teams.get(&team).copied().unwrap_or(0);
        let free = self.total.saturating_sub(books.used.saturating_add(bytes));
        if bytes > 0 && of_team.saturating_add(bytes) > free {
            return Err(QuotaExceeded { share: of_team.saturating_add(self.total.saturating_sub(books.used)) / 2 });
        }
        books.add(team, bytes);
        Ok(())
    }

    /// Books bytes that are there already.
    pub(crate) fn reserve_existing(&self, team: TeamId, bytes: u64) {
        self.books().add(team, bytes);
    }

    /// Bytes are free again.
    pub(crate) fn release(&self, team: TeamId, bytes: u64) {
        let mut books = self.books();
        books.used = books.used.saturating_sub(bytes);
        if let Some(of_team) = books.teams.get_mut(&team) {
            *of_team = of_team.saturating_sub(bytes);
            if *of_team == 0 {
                books.teams.remove(&team);
            }
        }
    }

    #[cfg(test)]
    /// What is booked, of all teams.
    #[cfg(test)]
    pub(crate) fn used(&self) -> u64 {
        self.books().used
    }

    fn books(&self) -> MutexGuard<'_, QuotaState> {
        self.books.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl QuotaState {
    fn add(&mut self, team: TeamId, bytes: u64) {
        if bytes > 0 {
            self.used = self.used.saturating_add(bytes);
            let of_team = self.teams.entry(team).or_default();
            *of_team = of_team.saturating_add(bytes);
        }
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    fn team(n: u128) -> TeamId {
        TeamId(Uuid::from_u128(n))
    }

    /// Takes what there is, one by one.
    fn fill(shares: &ScratchQuota, team: TeamId) -> u64 {
        let mut taken = 0;
        while shares.reserve(team, 1).is_ok() {
            taken += 1;
        }
        taken
    }

    #[test]
    fn however_many_fill_it_something_is_left() {
        let shares = ScratchQuota::new(1_200);
        let mut left = 1_200;
        for n in 1..=8 {
            let taken = fill(&shares, team(n));
            assert!(taken > 0 && taken <= left / 2, "{n} takes {taken} of {left}");
            left -= taken;
        }
        assert_eq!(shares.used(), 1_200 - left);
        assert_eq!(fill(&shares, team(1)), 0, "who has most gets nothing more");
    }

    #[test]
    fn a_refusal_books_nothing_and_what_is_given_back_is_free() {
        let shares = ScratchQuota::new(1_000);
        assert_eq!(shares.reserve(team(1), 501), Err(QuotaExceeded { share: 500 }));
        assert_eq!(shares.used(), 0);
        shares.reserve(team(1), 500).unwrap();
        assert_eq!(shares.reserve(team(1), 1), Err(QuotaExceeded { share: 500 }));
        shares.reserve(team(2), 250).unwrap();
        shares.release(team(1), 500);
        assert_eq!(shares.used(), 250);
        shares.reserve(team(1), 375).unwrap();
        // What is there is there, however much it is.
        shares.reserve_existing(team(3), 10_000);
        assert!(shares.reserve(team(2), 1).is_err());
        shares.release(team(3), 10_000);
        shares.reserve(team(2), 1).unwrap();
        shares.reserve(team(9), 0).unwrap();
    }
}
