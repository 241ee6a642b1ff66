//! `restroy check`.

use lua_wasm_host::{CompileError, Source};
use restroy_sdk::{document::Document, problem::FieldError};
use serde_json::json;

use crate::{
    args::Check,
    context::json,
    diagnostics,
    engine::engine,
    failure::{Failure, Outcome, code},
    folder::Folder,
    output,
    style::Paint,
};

/// Checks a folder's pipeline without a server.
pub(crate) async fn check(as_json: bool, args: &Check) -> Outcome {
    let folder = Folder::read(&args.folder)?;
    let (found, document) = match folder.check() {
        Ok(document) => (compile(&folder, &document).await?, Some(document)),
        Err(found) => (found, None),
    };
    if as_json {
        output::print(&json(&json!({ "ok": found.is_empty(), "errors": found }))?);
        return if found.is_empty() { Ok(()) } else { Err(Failure::silent(code::FAILED)) };
    }
    if !found.is_empty() {
        let count = if found.len() == 1 { "1 fault".to_owned() } else { format!("{} faults", found.len()) };
        return Err(Failure::new(format!("{count} in {}", folder.root.display()))
            .details(diagnostics::show(&found, &folder, Paint::stderr()) + "\n"));
    }
    let steps = document.map_or(0, |document| document.steps.len());
    let count = |number: usize, what: &str| format!("{number} {what}{}", if number == 1 { "" } else { "s" });
    output::print(&format!(
        "{}: {}, {}, no problems",
        folder.document.display(),
        count(steps, "step"),
        count(folder.files.len(), "Lua file")
    ));
    Ok(())
}

/// What does not compile.
async fn compile(folder: &Folder, document: &Document) -> Outcome<Vec<FieldError>> {
    let engine = engine().await?;
    let failed = |error: lua_wasm_host::EngineError| Failure::new(error.to_string());
    let pointer = |file: &str| format!("/files/{}", file.replace('~', "~0").replace('/', "~1"));
    let fault = |pointer: String, error: CompileError| FieldError {
        line: Some(error.line),
        column: Some(error.column),
        ..FieldError::new(pointer, error.message)
    };
    let sources: Vec<_> = folder.files.iter().map(|(path, text)| Source::new(path.as_str(), text.as_str())).collect();
    let mut faults = Vec::new();
    if let Err(errors) = engine.check(&sources).await.map_err(failed)? {
        faults.extend(errors.into_iter().map(|error| fault(pointer(&error.file), error)));
    }
    for (name, step) in &document.steps {
        for (field, text) in step.expressions() {
            let source = Source::new(format!("steps.{name}.{field}"), text);
            if let Err(error) = engine.check_expression(&source).await.map_err(failed)? {
                // The place within the expression is not one within the file: only said.
                let detail = format!("not a Lua expression: {} (column {})", error.message, error.column);
                faults.push(FieldError::new(format!("/steps/{name}/{field}"), detail));
            }
        }
    }
    Ok(faults)
}
