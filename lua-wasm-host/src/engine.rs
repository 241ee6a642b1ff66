//! The engine: compiles the guest once, then makes sandboxes.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

use crate::{CompileError, Door, Invocation, Outcome, Source};

/// How an engine is made.
#[derive(Debug, Clone)]
pub struct EngineConfig {
    /// Sandboxes alive at once; a further [`Engine::run`] waits for a place. Costs address space
    /// (8 GiB each), not memory.
    pub max_sandboxes: u32,
    /// Where compiled code is kept between processes: a folder that only this user can write to,
    /// made if absent. None: the guest is compiled at every start (half a second).
    pub cache_dir: Option<PathBuf>,
}

impl Default for EngineConfig {
    fn default() -> Self {
        Self {
            max_sandboxes: 256,
            cache_dir: None,
        }
    }
}

/// An engine that could not be made, or a sandbox that could not be run.
#[derive(Debug, thiserror::Error)]
#[error("{context}: {reason}")]
pub struct EngineError {
    context: &'static str,
    reason: String,
}

/// What a result depends on besides sources, inputs and answers: a hash of the guest, the version
/// of wasmtime and the settings that change fuel.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, serde::Serialize)]
pub struct EngineId(Arc<str>);

impl EngineId {
    /// 16 hexadecimal digits.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for EngineId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Makes sandboxes. Cheap to clone; clones share everything.
#[derive(Clone)]
pub struct Engine {
    id: EngineId,
}

impl Engine {
    /// Compiles the guest, or loads it from the cache. Takes up to a second: not for an async
    /// thread.
    pub fn new(_config: EngineConfig) -> Result<Self, EngineError> {
        Err(EngineError {
            context: "engine",
            reason: "not there yet".to_owned(),
        })
    }

    /// What results depend on besides the invocation and the answers.
    pub fn id(&self) -> &EngineId {
        &self.id
    }

    /// Runs a script or expression in a fresh sandbox. Dropping the future ends the sandbox.
    pub async fn run(&self, _invocation: Invocation, _door: Door) -> Outcome {
        std::future::pending().await
    }

    /// Compiles scripts without running them. The inner error lists the sources that do not
    /// compile, one error each.
    pub async fn check(
        &self,
        _sources: &[Source],
    ) -> Result<Result<(), Vec<CompileError>>, EngineError> {
        std::future::pending().await
    }

    /// The same for one expression (`if`, `for_each`).
    pub async fn check_expression(
        &self,
        _expression: &Source,
    ) -> Result<Result<(), CompileError>, EngineError> {
        std::future::pending().await
    }
}
