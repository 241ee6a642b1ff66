//! The whole thing from outside: `restroy dev` as a process, spoken to over HTTP and WebSocket and
//! through the command line.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "in a test what is missing fails the test")]
#![allow(clippy::needless_pass_by_value, reason = "short calls read better")]
#![allow(unreachable_pub, missing_docs, reason = "a test binary has no public")]

mod commands;
mod examples;
mod hostile;
mod invalid;
mod newcomer;
mod recovery;
mod server;
mod streams;
mod tenants;
mod world;
