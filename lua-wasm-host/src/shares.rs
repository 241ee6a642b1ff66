//! How sandboxes share the processors: by owner, in turns.
//!
//! Each owner may have one sandbox running at any time. Further ones take one of as many tickets as
//! there are processors, which are handed out to owners in turn. A sandbox asks again after each slice
//! of time, and gives its ticket back while it waits for an answer. So an owner with a hundred busy
//! sandboxes runs one beside everybody else's, and more only where nobody else has use for a processor.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::oneshot;

/// How long a sandbox runs before it asks again whether it is its turn.
pub(crate) const SLICE: Duration = Duration::from_millis(5);

/// Whose sandbox it is: sandboxes of one owner share what there is, and may share a worker process one
/// after the other; those of two owners never do. An embedder takes the id of its tenant.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Owner(pub u128);

/// Who has a ticket and who waits for one.
#[derive(Debug)]
struct ShareQueue<W> {
    /// Tickets beside the one that each owner always has.
    tickets: usize,
    /// How many of them are out.
    out: usize,
    running: HashMap<Owner, usize>,
    waiting: HashMap<Owner, VecDeque<W>>,
    /// The owners with somebody waiting, whose turn is next first.
    turns: VecDeque<Owner>,
}

impl<W> ShareQueue<W> {
    fn new(tickets: usize) -> Self {
        Self { tickets, out: 0, running: HashMap::new(), waiting: HashMap::new(), turns: VecDeque::new() }
    }

    /// Whether a sandbox of `owner` may run at once. If not, it has to [`ShareQueue::wait`].
    fn acquire(&mut self, owner: Owner) -> bool {
        let running = self.running.get(&owner).copied().unwrap_or(0);
        let free = running == 0 || (self.out < self.tickets && self.turns.is_empty());
        if free {
            self.start(owner);
        }
        free
    }

    fn wait(&mut self, owner: Owner, waiter: W) {
        let waiting = self.waiting.entry(owner).or_default();
        if waiting.is_empty() {
            self.turns.push_back(owner);
        }
        waiting.push_back(waiter);
    }

    fn start(&mut self, owner: Owner) {
        let running = self.running.entry(owner).or_default();
        self.out += usize::from(*running > 0);
        *running += 1;
    }

    /// Ends a sandbox's time. [`ShareQueue::next`] is to be asked afterwards.
    fn release(&mut self, owner: Owner) {
        if let Some(running) = self.running.get_mut(&owner) {
            *running -= 1;
            if *running == 0 {
                self.running.remove(&owner);
            } else {
                self.out -= 1;
            }
        }
    }

    /// The next who may run, counted as running.
    fn next(&mut self) -> Option<(Owner, W)> {
        // Whoever runs nothing goes first: that costs no ticket.
        let idle = self.turns.iter().position(|owner| !self.running.contains_key(owner));
        let at = match idle {
            Some(at) => at,
            None if self.out < self.tickets => 0,
            None => return None,
        };
        let owner = self.turns.remove(at)?;
        let waiting = self.waiting.get_mut(&owner)?;
        let waiter = waiting.pop_front()?;
        if waiting.is_empty() {
            self.waiting.remove(&owner);
        } else {
            self.turns.push_back(owner);
        }
        self.start(owner);
        Some((owner, waiter))
    }
}

/// The processors, as sandboxes share them. Cheap to clone.
#[derive(Clone)]
pub(crate) struct ProcessorShares(Arc<Mutex<ShareQueue<oneshot::Sender<ShareTicket>>>>);

/// The right to run. Dropped, somebody else has it.
pub(crate) struct ShareTicket {
    /// Taken when it continues.
    shares: Option<ProcessorShares>,
    owner: Owner,
}

impl ProcessorShares {
    /// Shares for so many processors.
    pub(crate) fn new(processors: usize) -> Self {
        Self(Arc::new(Mutex::new(ShareQueue::new(processors.max(1)))))
    }

    fn core(&self) -> MutexGuard<'_, ShareQueue<oneshot::Sender<ShareTicket>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits for the turn of a sandbox. Without an owner it is always its turn.
    pub(crate) async fn ticket(&self, owner: Option<Owner>) -> Option<ShareTicket> {
        let owner = owner?;
        let turn = {
            let mut core = self.core();
            if core.acquire(owner) {
                return Some(ShareTicket { shares: Some(self.clone()), owner });
            }
            let (sender, turn) = oneshot::channel();
            core.wait(owner, sender);
            turn
        };
        // The sender is dropped only with all shares.
        turn.await.ok()
    }

    /// Whether anybody waits.
    pub(crate) fn contended(&self) -> bool {
        !self.core().turns.is_empty()
    }
}

impl Drop for ShareTicket {
    fn drop(&mut self) {
        let Some(shares) = self.shares.take() else { return };
        let mut owner = self.owner;
        loop {
            let next = {
                let mut core = shares.core();
                core.release(owner);
                core.next()
            };
            let Some((next_owner, waiter)) = next else { return };
            match waiter.send(ShareTicket { shares: Some(shares.clone()), owner: next_owner }) {
                // One release makes room for one.
                Ok(()) => return,
                // It does not wait any more. Its ticket continues from here: by its own end, drops would nest as deep
                // as the queue is long.
                Err(mut ticket) => {
                    ticket.shares = None;
                    owner = next_owner;
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const A: Owner = Owner(1);
    const B: Owner = Owner(2);

    /// Rounds of slices: everybody who runs gives back and asks again, in the order they started. Gives
    /// how many slices each owner had.
    fn slices(tickets: usize, busy: &[(Owner, usize)], rounds: usize) -> HashMap<Owner, usize> {
        let mut core = ShareQueue::new(tickets);
        let mut running = VecDeque::new();
        for (owner, sandboxes) in busy {
            for _ in 0..*sandboxes {
                if core.acquire(*owner) { running.push_back(*owner) } else { core.wait(*owner, ()) }
            }
        }
        let mut had = HashMap::new();
        for _ in 0..rounds {
            for _ in 0..running.len() {
                let owner = running.pop_front().unwrap();
                *had.entry(owner).or_default() += 1;
                core.wait(owner, ());
                core.release(owner);
                while let Some((owner, ())) = core.next() {
                    running.push_back(owner);
                }
            }
        }
        had
    }

    #[test]
    fn a_hundred_busy_sandboxes_leave_another_owner_its_share() {
        let had = slices(2, &[(A, 100), (B, 1)], 100);
        // B runs always; A one beside it, and two more while nobody else asks.
        assert_eq!(had[&B], 100);
        assert!(had[&A] <= 300, "{had:?}");
    }

    #[test]
    fn tickets_go_round_between_owners() {
        let had = slices(1, &[(A, 100), (B, 2)], 100);
        let (a, b) = (had[&A], had[&B]);
        assert!(a.abs_diff(b) <= 2, "{had:?}");
    }

    proptest! {
        /// Never more than one for each owner and the tickets; nobody who could run waits.
        #[test]
        fn nobody_waits_for_nothing(tickets in 1..4_usize, moves in prop::collection::vec((0..5_u128, any::<bool>()), 0..200)) {
            let mut core = ShareQueue::new(tickets);
            let mut running: Vec<Owner> = Vec::new();
            for (owner, start) in moves {
                let owner = Owner(owner);
                if start {
                    if core.acquire(owner) { running.push(owner) } else { core.wait(owner, ()) }
                } else if let Some(at) = running.iter().position(|one| *one == owner) {
                    running.swap_remove(at);
                    core.release(owner);
                    while let Some((owner, ())) = core.next() {
                        running.push(owner);
                    }
                }
                let owners: std::collections::HashSet<_> = running.iter().collect();
                let beside = running.len() - owners.len();
                prop_assert_eq!(core.out, beside);
                prop_assert!(beside <= tickets);
                prop_assert!(core.turns.iter().all(|owner| owners.contains(owner)), "one waits that runs nothing");
                prop_assert!(core.turns.is_empty() || beside == tickets, "one waits for a ticket that is there");
            }
        }
    }

    #[tokio::test]
    async fn a_ticket_passes_those_who_gave_up() {
        let shares = ProcessorShares::new(1);
        let first = shares.ticket(Some(A)).await;
        let second = shares.ticket(Some(A)).await;
        let given_up: Vec<_> = (0..10_000)
            .map(|_| {
                let shares = shares.clone();
                let mut wait = Box::pin(async move { shares.ticket(Some(A)).await });
                assert!(futures_util::FutureExt::now_or_never(&mut wait).is_none());
                wait
            })
            .collect();
        let mut last = Box::pin(shares.ticket(Some(A)));
        assert!(futures_util::FutureExt::now_or_never(&mut last).is_none());
        drop(given_up);
        drop(first);
        assert!(last.await.is_some());
        drop(second);
        assert!(!shares.contended());
        assert!(shares.core().running.is_empty());
    }

    #[tokio::test]
    async fn another_owner_does_not_wait() {
        let shares = ProcessorShares::new(1);
        let _first = (shares.ticket(Some(A)).await, shares.ticket(Some(A)).await);
        let mut waiting = Box::pin(shares.ticket(Some(A)));
        assert!(futures_util::FutureExt::now_or_never(&mut waiting).is_none());
        assert!(shares.ticket(Some(B)).await.is_some());
        assert!(shares.ticket(None).await.is_none());
    }
}
