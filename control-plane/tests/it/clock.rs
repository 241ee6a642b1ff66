//! Whose time it is.

use std::{
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
    time::Duration,
};

use restroy_control_plane::clock::DatabaseClock;
use restroy_sdk::time::{Clock, System, Timestamp};

use tokio_util::sync::CancellationToken;

use crate::{database::PRODUCTION, support::World};

/// A machine's clock that was set wrong, and stands.
struct Wrong;

const WRONG: Timestamp = Timestamp(1_000_000_000_000_000);

impl Clock for Wrong {
    fn now(&self) -> Timestamp {
        WRONG
    }
}

#[tokio::test]
async fn on_postgres_the_database_says_what_time_it_is() {
    let world = World::new().await;
    let clock = DatabaseClock::with_clocks(Arc::new(Wrong), Arc::new(Wrong));
    assert_eq!(clock.now(), WRONG);
    let before = System.now();
    clock.measure(&world.state.db).await.unwrap();
    let now = clock.now();
    if PRODUCTION {
        // The test's database is on this machine: it has the same clock as the test.
        assert!(before <= now && now <= System.now(), "{before} {now}");
    } else {
        assert_eq!(now, WRONG, "an embedded database has no clock of its own");
    }
    // Without a database the time continues as it did.
    world.state.db.close().await;
    assert_eq!(clock.measure(&world.state.db).await.is_err(), PRODUCTION);
    assert_eq!(clock.now(), now);
}

/// The system's clock, and what it lost.
#[derive(Default)]
struct Behind(AtomicI64);

impl Clock for Behind {
    fn now(&self) -> Timestamp {
        Timestamp(System.now().micros() - self.0.load(Ordering::SeqCst))
    }
}

#[tokio::test]
async fn after_a_machine_stood_still_the_database_is_asked_at_once() {
    let world = World::new().await;
    let local = Arc::new(Behind::default());
    // It would be an hour until the next time.
    let clock =
        Arc::new(DatabaseClock::with_clocks(local.clone(), Arc::new(System)).with_period(Duration::from_hours(1)));
    clock.measure(&world.state.db).await.unwrap();
    let stop = CancellationToken::new();
    let keeping = tokio::spawn(Arc::clone(&clock).run(world.state.domain.clone(), stop.clone()));
    let hour = Duration::from_hours(1);
    local.0.store(i64::try_from(hour.as_micros()).unwrap(), Ordering::SeqCst);
    let right = async {
        while clock.now() < System.now().before(Duration::from_mins(5)) {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    if PRODUCTION {
        tokio::time::timeout(Duration::from_mins(1), right).await.expect("the time is right again");
    } else {
        assert!(clock.now() < System.now().before(hour / 2), "an embedded database has no clock of its own");
    }
    stop.cancel();
    keeping.await.unwrap();
}
