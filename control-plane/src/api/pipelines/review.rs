//! What is wrong with a definition: everything, at once.

use std::collections::BTreeMap;

use restroy_sdk::{
    document::{self, Bounds, Document, MAX_TOTAL_BYTES},
    ids::LibraryVersionId,
    problem::{Fault, Problem, ProblemCode},
    schema,
};

use crate::{
    error::{ApiError, ApiResult},
    ports::{CompilerUnavailable, ScriptCompiler},
    store::{
        TeamTx, library,
        quota::{self, Limit},
    },
};

/// How many faults are told at once.
const MAX_FAULTS: usize = 200;

/// Reads and checks a document with its files: its form, what must hold beyond, every script and
/// expression, and the schema of its parameters.
pub(super) async fn read(
    compiler: &dyn ScriptCompiler,
    definition: &str,
    files: &BTreeMap<String, String>,
    bounds: Bounds,
) -> ApiResult<Document> {
    let mut faults = Vec::new();
    let document = match document::read_json(definition) {
        Ok(document) => {
            faults.extend(document::check_within(&document, files, bounds));
            faults.extend(schemas(&document));
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
        .filter(|(_, source)| source.len() <= bounds.source_bytes)
        .map(|(path, source)| (path.clone(), source.clone()))
        .collect();
    faults.extend(compiler.check_files(&fitting).await?);
    faults.truncate(MAX_FAULTS);
    match document {
        Some(document) if faults.is_empty() => Ok(document),
        _ => Err(Problem::new(ProblemCode::InvalidDefinition).errors(faults).into()),
    }
}

/// How much a document of the team may hold.
pub(super) async fn bounds(tx: &mut TeamTx) -> ApiResult<Bounds> {
    let [steps, source_bytes] = quota::several(tx, [Limit::StepsPerPipeline, Limit::SourceBytes]).await?;
    let usize = |value: i64| usize::try_from(value).unwrap_or_default();
    Ok(Bounds { steps: usize(steps), source_bytes: usize(source_bytes) })
}

/// The versions of library modules that a document pins. Refused when one is not there, when a module
/// loads one that is not pinned or itself, or when all sources together are too many bytes.
pub(super) async fn pinned(
    tx: &mut TeamTx,
    document: &Document,
    files: &BTreeMap<String, String>,
) -> ApiResult<Vec<LibraryVersionId>> {
    let (mut versions, mut sources, mut faults) = (Vec::new(), BTreeMap::new(), Vec::new());
    for (name, number) in &document.library {
        let detail = match library::pinned(tx, name, *number).await? {
            Ok(pinned) => {
                versions.push(pinned.id);
                sources.insert(name.clone(), pinned.source);
                continue;
            }
            Err(Some(latest)) => format!("there is no version {number} of `{name}`; the newest is {latest}"),
            Err(None) => format!("the team's library has no module `{name}`"),
        };
        faults.push(Fault::new(format!("/library/{}", name.replace('~', "~0").replace('/', "~1")), detail));
    }
    faults.extend(document::check_library(document, &sources));
    let bytes = files.values().chain(sources.values()).map(String::len).sum::<usize>();
    if bytes > MAX_TOTAL_BYTES {
        let detail =
            format!("the files and the library's modules have {bytes} bytes together; at most {MAX_TOTAL_BYTES}");
        faults.push(Fault::new("/library", detail));
    }
    if faults.is_empty() {
        return Ok(versions);
    }
    faults.truncate(MAX_FAULTS);
    Err(Problem::new(ProblemCode::InvalidDefinition).errors(faults).into())
}

/// The schemas must be such that values can be checked against them.
fn schemas(document: &Document) -> Vec<Fault> {
    let of_steps = document.steps.iter().filter_map(|(name, step)| {
        let name = name.replace('~', "~0").replace('/', "~1");
        step.inputs_schema.as_ref().map(|schema| (format!("/steps/{name}/inputs_schema"), schema))
    });
    let all = document.params.iter().map(|schema| ("/params".to_owned(), schema)).chain(of_steps);
    all.filter_map(|(at, schema)| {
        let error = schema::compile(schema).err()?;
        Some(Fault::new(format!("{at}{}", error.pointer), format!("not a JSON Schema that is taken here: {error}")))
    })
    .collect()
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
