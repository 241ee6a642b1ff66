//! What holds of the queue and of what passes between the services. The tests over Redis need
//! `TEST_REDIS_URL`, the URL of a Redis that may be written to; each keeps to a prefix of its own.
//! Those that take Redis away start a private `redis-server`.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "these are tests")]

mod conformance;
mod outage;
mod redis_queue;
mod support;
mod traffic;
mod wake;
mod wire;
