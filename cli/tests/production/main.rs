//! The whole thing from outside: processes, spoken to over HTTP and WebSocket and through the command
//! line. Here as it runs in production: a control-plane and an executor, on Postgres and Redis;
//! `./with-services` starts those.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "in a test what is missing fails the test")]
#![allow(clippy::needless_pass_by_value, reason = "short calls read better")]
#![allow(unreachable_pub, missing_docs, reason = "a test binary has no public")]

include!("../it/suite.rs");

// Only here, since only production is composed of services.
mod accounts;
mod composed;
#[path = "../it/composition.rs"]
mod composition;
mod limits;
mod services;
