//! What holds of the queue and of what passes between the services.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "these are tests")]

mod memory;
mod wire;
