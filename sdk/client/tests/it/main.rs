//! What the client promises, from outside.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot go on fails")]

mod covers;
mod installation;
mod requests;
mod stream;
