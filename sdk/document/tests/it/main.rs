//! What the pipeline document promises, from outside.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot go on fails")]

mod check;
mod properties;
mod read;
