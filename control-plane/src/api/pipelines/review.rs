//! What is wrong with a definition: everything, at once.

use std::collections::BTreeMap;

use restroy_sdk::{
    document::{self, Document, MAX_SOURCE_BYTES},
    problem::{Fault, Problem, ProblemCode},
};

use crate::{
    error::{ApiError, ApiResult},
    ports::{CompilerUnavailable, ScriptCompiler},
    runs::params,
};

/// How many faults are told at once.
const MAX_FAULTS: usize = 200;

/// Reads and checks a document with its files: its form, what must hold beyond, every script and
/// expression, and the schema of its parameters.
pub(super) async fn read(
    compiler: &dyn ScriptCompiler,
    definition: &str,
    files: &BTreeMap<String, String>,
) -> ApiResult<Document> {
    let mut faults = Vec::new();
    let document = match document::read_json(definition) {
        Ok(document) => {
            faults.extend(document::check(&document, files));
            faults.extend(schema(&document));
            faults.extend(expressions(compiler, &document).await?);
            Some(document)
        }
        Err(read) => {
            faults.extend(read);
            None
        }
    };
    // What is too long is named by `check` and not compiled.
    let fitting: BTreeMap<String, String> = files
        .iter()
        .filter(|(_, source)| source.len() <= MAX_SOURCE_BYTES)
        .map(|(path, source)| (path.clone(), source.clone()))
        .collect();
    faults.extend(compiler.check_files(&fitting).await?);
    faults.truncate(MAX_FAULTS);
    match document {
        Some(document) if faults.is_empty() => Ok(document),
        _ => Err(Problem::new(ProblemCode::InvalidDefinition).errors(faults).into()),
    }
}

/// The schema of the parameters must be one that runs can be checked against.
fn schema(document: &Document) -> Option<Fault> {
    let error = params::compile(document.params.as_ref()?).err()?;
    Some(Fault::new(format!("/params{}", error.pointer), format!("not a JSON Schema that is taken here: {error}")))
}

async fn expressions(compiler: &dyn ScriptCompiler, document: &Document) -> ApiResult<Vec<Fault>> {
    let mut faults = Vec::new();
    for (name, step) in &document.steps {
        for (field, expression) in [("if", &step.condition), ("for_each", &step.for_each)] {
            let Some(expression) = expression else { continue };
            if let Some(detail) = compiler.check_expression(expression).await? {
                let name = name.replace('~', "~0").replace('/', "~1");
                faults.push(Fault::new(format!("/steps/{name}/{field}"), detail));
            }
        }
    }
    Ok(faults)
}

impl From<CompilerUnavailable> for ApiError {
    fn from(error: CompilerUnavailable) -> Self {
        tracing::error!(%error, "scripts cannot be checked");
        Self::with(ProblemCode::Unavailable, "Scripts cannot be checked just now; try again.")
    }
}
