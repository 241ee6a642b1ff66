//! The whole thing from outside: processes, spoken to over HTTP and WebSocket and through the command
//! line. Here as it is embedded: `restroy dev`.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "in a test what is missing fails the test")]
#![allow(clippy::needless_pass_by_value, reason = "short calls read better")]
#![allow(unreachable_pub, missing_docs, reason = "a test binary has no public")]

include!("suite.rs");

// Only here, since only `restroy dev` has a data folder and answers for its settings.
mod embedded;
// Only here: what is on the disk in production is Postgres's.
mod full_disk;
// Of what is deployed, everything that needs no installation: once is enough.
mod composition;
mod deployment;
