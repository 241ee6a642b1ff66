//! What the control-plane does, seen from outside: over HTTP, on a database of its own.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "what is not as it should be fails the test")]

mod accounts;
mod boards;
mod configuration;
mod definitions;
mod http;
mod idempotency;
mod pages;
mod permissions;
mod runs_calls;
mod runs_lease;
mod runs_property;
mod runs_schedule;
mod runs_start;
mod runs_stream;
mod runs_support;
mod strangers;
mod support;
mod tickets;
mod tokens;
