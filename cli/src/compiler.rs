//! The sandbox's compiler as the control-plane's port.

use std::{collections::BTreeMap, path::Path};

use async_trait::async_trait;
use lua_wasm_host::{Engine, SandboxThreads, Source};
use restroy_control_plane::ports::{CompilerUnavailable, ScriptCompiler};
use restroy_sdk::problem::Fault;

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
        Ok(Self { engine, threads: SandboxThreads::new("compile", Some(THREADS))? })
    }
}

#[async_trait]
impl ScriptCompiler for SandboxCompiler {
    async fn check_files(&self, files: &BTreeMap<String, String>) -> Result<Vec<Fault>, CompilerUnavailable> {
        let scripts: Vec<_> = files
            .iter()
            .filter(|(path, _)| Path::new(path).extension().is_some_and(|kind| kind == "lua"))
            .map(|(path, text)| Source::new(path.as_str(), text.as_str()))
            .collect();
        let engine = self.engine.clone();
        let checked = self.threads.run(async move { engine.check(&scripts).await });
        match checked.await.map_err(|error| CompilerUnavailable(error.to_string()))? {
            Ok(()) => Ok(Vec::new()),
            Err(errors) => Ok(errors
                .into_iter()
                .map(|error| Fault {
                    pointer: format!("/files/{}", error.file.replace('~', "~0").replace('/', "~1")),
                    detail: error.message,
                    line: Some(error.line),
                    column: Some(error.column),
                })
                .collect()),
        }
    }

    async fn check_expression(&self, expression: &str) -> Result<Option<String>, CompilerUnavailable> {
        let source = Source::new("expression", expression);
        let engine = self.engine.clone();
        let checked = self.threads.run(async move { engine.check_expression(&source).await });
        match checked.await.map_err(|error| CompilerUnavailable(error.to_string()))? {
            Ok(()) => Ok(None),
            Err(error) => Ok(Some(format!("column {}: {}", error.column, error.message))),
        }
    }
}
