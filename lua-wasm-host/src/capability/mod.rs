//! The traits behind the host interface: what an embedder implements.
//!
//! All are object-safe. The dispatcher has checked grant and limits before it calls one, and
//! enforces the wall time around it by dropping the future; an implementation must be sound when
//! dropped at any await.

mod ambient;
mod call;
mod files;
mod http;
mod kv;
mod mail;
mod secrets;

pub use ambient::{Clock, EffectGate, Entropy, Journal, Level, Sink};
pub use call::{CallContext, CallError, CallFailure, CallKind, CallRecord, CallResult};
pub use files::{ArtifactRequest, FileEntry, Files, WriteAt};
pub use http::{Http, HttpRequest, HttpResponse};
pub use kv::{Kv, KvEntry};
pub use mail::{Email, Mail};
pub use secrets::Secrets;
