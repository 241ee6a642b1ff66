//! What the control-plane needs from outside and does not know itself.

use std::collections::BTreeMap;

use async_trait::async_trait;
use restroy_sdk::problem::Fault;

/// Compiles scripts without running them. The control-plane holds no Lua: whoever starts it passes
/// in the sandbox's compiler.
#[async_trait]
pub trait ScriptCompiler: Send + Sync {
    /// Compiles every file; faults name `/files/<path>`, line and column.
    async fn check_files(&self, files: &BTreeMap<String, String>) -> Result<Vec<Fault>, CompilerUnavailable>;

    /// Compiles an expression of a document (`if`, `for_each`); `None` when it compiles, else what
    /// is wrong with it.
    async fn check_expression(&self, expression: &str) -> Result<Option<String>, CompilerUnavailable>;
}

/// The compiler itself failed; nothing is known about the script.
#[derive(Debug, thiserror::Error)]
#[error("scripts cannot be checked just now: {0}")]
pub struct CompilerUnavailable(pub String);
