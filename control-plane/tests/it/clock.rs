//! Whose time it is.

use std::sync::Arc;

use restroy_control_plane::clock::DatabaseClock;
use restroy_sdk::time::{Clock, System, Timestamp};

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
    let clock = DatabaseClock::new(Arc::new(Wrong));
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
    // Without a database the time goes on as it did.
    world.state.db.close().await;
    assert_eq!(clock.measure(&world.state.db).await.is_err(), PRODUCTION);
    assert_eq!(clock.now(), now);
}
