//! What the control-plane does, seen from outside: over HTTP, on a database of its own. Here as it is
//! embedded, on SQLite.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "what is not as it should be fails the test")]

include!("suite.rs");

mod layers;
