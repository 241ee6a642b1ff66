//! A semaphore whose permits go round the teams that wait.

use std::{
    collections::{HashMap, VecDeque},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use tokio::sync::oneshot;
use uuid::Uuid;

/// How many permits there are, and how many may wait for one.
#[derive(Debug, Clone, Copy)]
pub struct FairLimits {
    /// All permits.
    pub permits: usize,
    /// The most that one team has at once.
    pub per_team: usize,
    /// How many of a team may wait for a permit.
    pub waiting_per_team: usize,
    /// How many may wait, of all teams.
    pub waiting: usize,
}

/// A semaphore that is fair between teams: each team that waits has one turn, then the next team, however many of one of
/// them wait. Cheap to clone.
#[derive(Debug, Clone)]
pub struct FairSemaphore(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    limits: FairLimits,
    queues: Mutex<Queues>,
}

/// Who works and who waits.
#[derive(Debug, Default)]
struct Queues {
    /// How many permits each team has; none without any.
    held: HashMap<Uuid, usize>,
    held_in_all: usize,
    /// What waits of each team, the oldest first; none without any.
    waiting: HashMap<Uuid, VecDeque<oneshot::Sender<Permit>>>,
    /// The teams of which something waits, in the order of their turns.
    order: VecDeque<Uuid>,
}

/// Why there is no permit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refused {
    /// Too much of the team's waits.
    Team,
    /// Too much waits of all.
    All,
}

/// One of the permits; dropped, the next team has it.
#[derive(Debug)]
pub struct Permit {
    inner: Arc<Inner>,
    team: Uuid,
}

impl FairSemaphore {
    /// With these limits. There is one permit at least, and one for a team.
    pub fn new(limits: FairLimits) -> Self {
        Self(Arc::new(Inner { limits, queues: Mutex::default() }))
    }

    /// Waits for a permit. Whoever stops waiting loses its place.
    ///
    /// # Errors
    /// When too many wait already.
    pub async fn acquire(&self, team: Uuid) -> Result<Permit, Refused> {
        let granted = {
            let mut queues = self.0.lock();
            // What waits of others cannot have this permit: they have as many as they may.
            if queues.may_have(team, &self.0.limits) && !queues.waiting.contains_key(&team) {
                queues.hold(team);
                return Ok(Permit { inner: Arc::clone(&self.0), team });
            }
            queues.wait(team, &self.0.limits)?
        };
        // Senders are dropped with their queue only, and that lives as long as this.
        granted.await.map_err(|_| Refused::All)
    }
}

impl Inner {
    fn lock(&self) -> MutexGuard<'_, Queues> {
        self.queues.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Hands out what is free.
    fn grant(self: &Arc<Self>) {
        loop {
            let next = self.lock().next(&self.limits);
            let Some((team, waiter)) = next else { return };
            // Not under the lock: if nobody waits any more the permit comes back, and is dropped here.
            let _ = waiter.send(Permit { inner: Arc::clone(self), team });
        }
    }
}

impl Queues {
    /// Whether a permit is free that the team may have.
    fn may_have(&self, team: Uuid, limits: &FairLimits) -> bool {
        let held = self.held.get(&team).copied().unwrap_or(0);
        self.held_in_all < limits.permits.max(1) && held < limits.per_team.max(1)
    }

    fn hold(&mut self, team: Uuid) {
        *self.held.entry(team).or_default() += 1;
        self.held_in_all += 1;
    }

    fn release(&mut self, team: Uuid) {
        if let Some(held) = self.held.get_mut(&team) {
            *held -= 1;
            self.held_in_all -= 1;
            if *held == 0 {
                self.held.remove(&team);
            }
        }
    }

    fn wait(&mut self, team: Uuid, limits: &FairLimits) -> Result<oneshot::Receiver<Permit>, Refused> {
        let is_full = |this: &Self| this.waiting.get(&team).map_or(0, VecDeque::len) >= limits.waiting_per_team;
        if is_full(self) {
            // Those who went away hold no place.
            self.forget(team);
            if is_full(self) {
                return Err(Refused::Team);
            }
        }
        let in_all = |queues: &Self| queues.waiting.values().map(VecDeque::len).sum::<usize>();
        if in_all(self) >= limits.waiting {
            for team in self.order.clone() {
                self.forget(team);
            }
            if in_all(self) >= limits.waiting {
                return Err(Refused::All);
            }
        }
        let (sender, receiver) = oneshot::channel();
        self.waiting.entry(team).or_insert_with(|| {
            self.order.push_back(team);
            VecDeque::new()
        });
        if let Some(queue) = self.waiting.get_mut(&team) {
            queue.push_back(sender);
        }
        Ok(receiver)
    }

    /// Takes out who no longer waits.
    fn forget(&mut self, team: Uuid) {
        let Some(queue) = self.waiting.get_mut(&team) else { return };
        queue.retain(|waiter| !waiter.is_closed());
        if queue.is_empty() {
            self.waiting.remove(&team);
            self.order.retain(|other| *other != team);
        }
    }

    /// The next that may work, and counts it as working. Its team goes to the end of the order.
    fn next(&mut self, limits: &FairLimits) -> Option<(Uuid, oneshot::Sender<Permit>)> {
        let mut at = 0;
        while let Some(team) = self.order.get(at).copied() {
            if !self.may_have(team, limits) {
                at += 1;
                continue;
            }
            self.order.remove(at);
            let queue = self.waiting.get_mut(&team)?;
            let mut found = None;
            while let Some(waiter) = queue.pop_front() {
                if !waiter.is_closed() {
                    found = Some(waiter);
                    break;
                }
            }
            if queue.is_empty() {
                self.waiting.remove(&team);
            } else {
                self.order.push_back(team);
            }
            if let Some(waiter) = found {
                self.hold(team);
                return Some((team, waiter));
            }
        }
        None
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        self.inner.lock().release(self.team);
        self.inner.grant();
    }
}
