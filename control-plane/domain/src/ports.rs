//! What the control-plane needs from outside and does not know itself.

use async_trait::async_trait;
use restroy_sdk::problem::FieldError;

/// Compiles scripts without running them. The control-plane holds no Lua: whoever starts it passes
/// in the sandbox's compiler.
#[async_trait]
pub trait ScriptCompiler: Send + Sync {
    /// Compiles a file with at most so much fuel. The error has line and column, and no pointer.
    async fn check_file(&self, path: &str, source: &str, fuel: u64) -> Result<CompileReport, CompilerUnavailable>;

    /// Compiles an expression of a document (`if`, `for_each`).
    async fn check_expression(&self, expression: &str, fuel: u64) -> Result<CompileReport, CompilerUnavailable>;
}

/// The compiler's result.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct CompileReport {
    /// What is wrong, if it does not compile.
    pub fault: Option<FieldError>,
    /// The fuel that it took.
    pub fuel: u64,
}

/// The compiler itself failed; nothing is known about the script.
#[derive(Debug, thiserror::Error)]
#[error("script checks are temporarily unavailable: {0}")]
pub struct CompilerUnavailable(pub String);
