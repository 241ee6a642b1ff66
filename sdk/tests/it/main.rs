//! What the SDK promises, from outside.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot go on fails")]

mod client_covers;
mod client_requests;
mod client_stream;
mod document_check;
mod document_properties;
mod document_read;
mod installation;
