//! Turns are fair, whatever comes and goes.

use std::{
    future::Future,
    pin::Pin,
    task::{Context, Poll, Waker},
    time::Duration,
};

use proptest::prelude::*;

use uuid::Uuid;

use super::{FairSemaphore, Permit, Refused, TenantError, TenantExecutor, TenantLimits};

fn limits(threads: usize) -> TenantLimits {
    TenantLimits { threads, waiting_per_team: 8, waiting: 20, timeout: Duration::from_mins(1) }
}

fn team(number: u8) -> Uuid {
    Uuid::from_u128(u128::from(number) + 1)
}

type Waiting = Pin<Box<dyn Future<Output = Result<Permit, Refused>>>>;

/// Whoever waits, in order of coming; looked at by hand, so that no runtime decides anything.
struct World {
    limiter: FairSemaphore,
    waiting: Vec<(u8, Waiting)>,
    working: Vec<(u8, Permit)>,
    refused: usize,
}

impl World {
    fn new(threads: usize) -> Self {
        Self {
            limiter: FairSemaphore::new(limits(threads).into()),
            waiting: Vec::new(),
            working: Vec::new(),
            refused: 0,
        }
    }

    fn ask(&mut self, number: u8) {
        let limiter = self.limiter.clone();
        self.waiting.push((number, Box::pin(async move { limiter.acquire(team(number)).await })));
        self.look();
    }

    /// Moves those who have their turn; gives them in the order in which they are found.
    fn look(&mut self) -> Vec<u8> {
        let mut granted = Vec::new();
        let mut left = Vec::new();
        for (number, mut waiting) in self.waiting.drain(..) {
            match waiting.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
                Poll::Ready(Ok(permit)) => {
                    granted.push(number);
                    self.working.push((number, permit));
                }
                Poll::Ready(Err(_)) => self.refused += 1,
                Poll::Pending => left.push((number, waiting)),
            }
        }
        self.waiting = left;
        granted
    }

    fn of(&self, number: u8) -> usize {
        self.working.iter().filter(|(other, _)| *other == number).count()
    }
}

#[derive(Debug, Clone)]
enum Act {
    Ask(u8),
    End(usize),
    GoAway(usize),
}

fn acts() -> impl Strategy<Value = Vec<Act>> {
    let act = prop_oneof![
        4 => (0_u8..4).prop_map(Act::Ask),
        3 => (0_usize..8).prop_map(Act::End),
        1 => (0_usize..8).prop_map(Act::GoAway),
    ];
    prop::collection::vec(act, 0..120)
}

proptest! {
    #[test]
    fn turns_are_never_too_many_nor_idle(threads in 1_usize..4, acts in acts()) {
        let mut world = World::new(threads);
        for act in acts {
            match act {
                Act::Ask(number) => world.ask(number),
                Act::End(at) if at < world.working.len() => drop(world.working.swap_remove(at)),
                Act::GoAway(at) if at < world.waiting.len() => drop(world.waiting.remove(at)),
                Act::End(_) | Act::GoAway(_) => {}
            }
            world.look();
            prop_assert!(world.working.len() <= threads);
            let most = if threads > 1 { threads - 1 } else { 1 };
            for number in 0..4 {
                prop_assert!(world.of(number) <= most);
            }
            // A permit is free only if whoever waits has as many as it may.
            if world.working.len() < threads {
                for (number, _) in &world.waiting {
                    prop_assert!(world.of(*number) == most, "{} waits beside a free permit", number);
                }
            }
        }
        // It comes to rest: everybody has had a turn.
        while !world.working.is_empty() {
            world.working.clear();
            world.look();
        }
        prop_assert!(world.waiting.is_empty());
    }

    #[test]
    fn a_team_waits_for_one_turn_of_each_other(queued in prop::collection::vec(0_u8..6, 1..60)) {
        let mut world = World::new(1);
        world.ask(9);
        for number in &queued {
            world.ask(*number);
        }
        let mut turns = Vec::new();
        let waiting = world.waiting.len();
        while !world.working.is_empty() {
            world.working.clear();
            turns.extend(world.look());
        }
        prop_assert_eq!(turns.len(), waiting);
        // Between two turns of one team nobody else has two.
        for (at, number) in turns.iter().enumerate() {
            let Some(again) = turns[at + 1..].iter().position(|other| other == number) else { continue };
            let mut between = turns[at + 1..at + 1 + again].to_vec();
            let all = between.len();
            between.sort_unstable();
            between.dedup();
            prop_assert_eq!(between.len(), all, "{:?}", turns);
        }
    }
}

#[test]
fn so_much_of_a_team_waits_and_no_more() {
    let mut world = World::new(2);
    for _ in 0..20 {
        world.ask(0);
    }
    assert_eq!((world.working.len(), world.waiting.len(), world.refused), (1, 8, 11), "a thread is left for others");
    world.ask(1);
    assert_eq!(world.of(1), 1);
    // Who goes away makes room.
    world.waiting.clear();
    world.ask(0);
    assert_eq!((world.waiting.len(), world.refused), (1, 11));
    for number in 2..20 {
        world.ask(number);
        world.ask(number);
    }
    assert_eq!(world.waiting.len(), 20, "of all together");
}

#[tokio::test]
async fn work_runs_on_threads_of_its_own_and_a_panic_ends_none() {
    let executor = TenantExecutor::new(limits(1));
    let name = executor.run(team(0), || std::thread::current().name().map(str::to_owned)).await.unwrap();
    assert_eq!(name.as_deref(), Some("tenants-0"));
    let failed = executor.run(team(0), || panic!("on purpose")).await;
    assert_eq!(failed, Err(TenantError::Failed));
    assert_eq!(executor.run(team(0), || 5).await, Ok(5));
}

#[tokio::test]
async fn a_turn_that_does_not_come_is_refused() {
    let soon = TenantLimits { timeout: Duration::from_millis(20), ..limits(1) };
    let executor = TenantExecutor::new(soon);
    let turn = executor.turn(team(0)).await.unwrap();
    assert_eq!(executor.turn(team(1)).await.unwrap_err(), TenantError::Timeout);
    drop(turn);
    executor.turn(team(1)).await.unwrap();

    let executor = TenantExecutor::new(TenantLimits { waiting_per_team: 0, ..soon });
    let _turn = executor.turn(team(0)).await.unwrap();
    assert_eq!(executor.turn(team(0)).await.unwrap_err(), TenantError::TeamQueueFull(0));
}
