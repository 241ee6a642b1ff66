//! The sandbox's compiler as the control-plane's port.

use async_trait::async_trait;
use lua_wasm_host::{CheckReport, CompileError, Engine, Running, SandboxThreads, Source};
use restroy_control_plane::ports::{CompileReport, CompilerUnavailable, ScriptCompiler};
use restroy_sdk::problem::FieldError;

/// Compiles in a sandbox: sources of strangers never meet a Lua compiler outside of one.
pub(crate) struct SandboxCompiler {
    engine: Engine,
    /// Not those that serve people.
    threads: SandboxThreads,
}

/// How many threads compile.
const THREADS: usize = 2;

impl SandboxCompiler {
    /// Fails when threads cannot be made.
    pub(crate) fn new(engine: Engine) -> std::io::Result<Self> {
        Ok(Self { engine, threads: SandboxThreads::new("compile", Some(THREADS), Running::Sandboxes)? })
    }

    async fn check(&self, source: Source, expression: bool, fuel: u64) -> Result<CheckReport, CompilerUnavailable> {
        let engine = self.engine.clone();
        let checked = self.threads.run(async move { engine.check_within(&source, expression, fuel).await });
        checked.await.map_err(|error| CompilerUnavailable(error.to_string()))
    }
}

#[async_trait]
impl ScriptCompiler for SandboxCompiler {
    async fn check_file(&self, path: &str, source: &str, fuel: u64) -> Result<CompileReport, CompilerUnavailable> {
        let checked = self.check(Source::new(path, source), false, fuel).await?;
        let fault = |error: CompileError| FieldError {
            line: Some(error.line),
            column: Some(error.column),
            ..FieldError::new("", error.message)
        };
        Ok(CompileReport { fault: checked.error.map(fault), fuel: checked.fuel })
    }

    async fn check_expression(&self, expression: &str, fuel: u64) -> Result<CompileReport, CompilerUnavailable> {
        let checked = self.check(Source::new("expression", expression), true, fuel).await?;
        let fault = |error: CompileError| FieldError::new("", format!("column {}: {}", error.column, error.message));
        Ok(CompileReport { fault: checked.error.map(fault), fuel: checked.fuel })
    }
}
