//! Runs strangers' Lua in WebAssembly sandboxes.
//!
//! A script is run by [`Engine::run`]: it takes an [`Invocation`] (sources, globals, limits, seed)
//! and a [`HostContext`] (what the script may reach outside), and gives an [`Outcome`] (the returned value
//! as JSON, or a [`StepError`], and in both cases the [`Usage`]).
//!
//! What holds:
//! - every run has a sandbox of its own, dropped afterwards, never reused;
//! - the guest has one import for calls to the host; behind it one dispatcher checks capability and
//!   limit, journals, and only then calls a capability trait ([`Http`], [`Kv`], [`Mail`], [`Files`]);
//! - the same sources, globals, seed and answers through host calls give the same result and the same
//!   fuel wherever [`Engine::id`] is the same;
//! - a script can catch what it or a host call raises, and cannot catch running out of fuel, memory,
//!   output or time.
//!
//! What may not live here: knowledge of pipelines, tenants, databases or networks. Those come in
//! through the traits.

mod cache;
mod capability;
mod compile;
mod dispatch;
mod engine;
mod grants;
mod host;
mod host_context;
mod invocation;
mod isolation;
mod limits;
mod meter;
mod outcome;
#[cfg(target_os = "linux")]
mod process;
mod sandbox;
mod shares;
mod threads;
mod wasi;
mod wire;

pub use capability::{
    ArtifactRequest, CallContext, CallError, CallFailure, CallKind, CallRecord, CallResult, Clock, EffectGate, Email,
    Entropy, FileEntry, Files, Http, HttpRequest, HttpResponse, Journal, Kv, KvEntry, Level, Mail, Secrets, Sink,
    WriteAt,
};
pub use engine::{CheckReport, Engine, EngineConfig, EngineError, EngineId};
pub use grants::Grants;
pub use host_context::HostContext;
pub use invocation::{Globals, Invocation, Mode, Source};
pub use isolation::{Isolation, IsolationReport, ProcessConfig};
pub use limits::Limits;
pub use outcome::{CompileError, ErrorCode, Outcome, StepError, Usage};
#[cfg(target_os = "linux")]
#[doc(hidden)]
pub use process::escape;
#[cfg(target_os = "linux")]
pub use process::{sandbox_worker, sandbox_worker_with};
pub use shares::Owner;
pub use threads::{Running, SandboxThreads};
