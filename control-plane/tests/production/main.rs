//! What the control-plane does, seen from outside: over HTTP, on a database of its own. Here as it runs
//! in production, on Postgres and Redis; `./with-services` starts them.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "what is not as it should be fails the test")]

include!("../it/suite.rs");

mod busy;
mod late;
mod retries;
mod rls;
