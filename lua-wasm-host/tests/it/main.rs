//! Behaviour of the sandbox, by subject.

mod calls;
mod compiling;
mod determinism;
mod errors;
mod hostile;
mod isolation;
mod libraries;
mod limits;
mod support;
