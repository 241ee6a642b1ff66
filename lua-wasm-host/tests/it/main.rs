//! Behaviour of the sandbox, by subject.

#![allow(clippy::unwrap_used, reason = "tests")]

mod calls;
mod compiling;
mod determinism;
mod errors;
#[cfg(target_os = "linux")]
mod escaping;
mod hostile;
mod interrupting;
mod isolation;
mod libraries;
mod limits;
mod nasty;
mod secrets;
mod support;
#[cfg(target_os = "linux")]
mod workers;
