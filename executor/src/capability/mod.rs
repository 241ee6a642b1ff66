//! What scripts may reach outside of their sandbox: the implementations behind lua-wasm-host's
//! traits, a folder or file for each.
//!
//! The sandbox's dispatcher has checked grants and limits before it comes here. What is checked here
//! is what only an executor can know: addresses, secrets in what goes out, the lease.

pub(crate) mod ambient;
pub(crate) mod attempt;
pub(crate) mod files;
pub(crate) mod http;
mod kv;
mod mail;
