//! What is wrong with a definition: everything, at once. All of it in turns of the team, off the threads that
//! serve requests.

use std::{collections::BTreeMap, sync::Arc};

use restroy_sdk::{
    document::{self, Document, DocumentBounds, MAX_TOTAL_BYTES},
    ids::{Id, LibraryVersionId, TeamId},
    problem::{FieldError, Problem, ProblemCode},
    schema::Schema,
};
use serde_json::value::RawValue;

use crate::{
    api::compile::CompileBudget,
    auth::Scope,
    error::ApiResult,
    state::AppState,
    store::{
        TeamTx, library,
        quota::{self, Limit},
    },
};

/// How many errors are reported at once.
const MAX_ERRORS: usize = 200;

/// Reads and checks a document with its files: its form, what must hold beyond, every script and
/// expression, and the schema of its parameters.
pub(super) async fn read(
    state: &AppState,
    team: TeamId,
    definition: Box<RawValue>,
    files: &Arc<BTreeMap<String, String>>,
    bounds: DocumentBounds,
) -> ApiResult<Document> {
    let mut compiling = CompileBudget::new(state, team);
    let of_document = Arc::clone(files);
    let checked = state.tenants.run(team.uuid(), move || check(&definition, &of_document, bounds)).await?;
    let (document, mut faults) = match checked {
        Ok((document, mut faults)) => {
            faults.extend(check_expressions(&mut compiling, &document).await?);
            (Some(document), faults)
        }
        Err(faults) => (None, faults),
    };
    // What is too long is named by `check` and not compiled.
    let fitting: BTreeMap<String, String> = files
        .iter()
        .filter(|(_, source)| source.len() <= bounds.source_bytes)
        .map(|(path, source)| (path.clone(), source.clone()))
        .collect();
    faults.extend(compiling.check_files(&fitting).await?);
    faults.truncate(MAX_ERRORS);
    match document {
        Some(document) if faults.is_empty() => Ok(document),
        _ => Err(Problem::new(ProblemCode::InvalidDefinition).errors(faults).into()),
    }
}

/// How much a document of the team may hold.
pub(super) async fn bounds(tx: &mut TeamTx) -> ApiResult<DocumentBounds> {
    let [steps, source_bytes] = quota::effective_many(tx, [Limit::StepsPerPipeline, Limit::SourceBytes]).await?;
    let usize = |value: i64| usize::try_from(value).unwrap_or_default();
    Ok(DocumentBounds { steps: usize(steps), source_bytes: usize(source_bytes) })
}

/// What needs no compiler; what is wrong when it is no document.
fn check(
    definition: &RawValue,
    files: &BTreeMap<String, String>,
    bounds: DocumentBounds,
) -> Result<(Document, Vec<FieldError>), Vec<FieldError>> {
    let document = document::read_json(definition.get())?;
    let mut faults = document::check_within(&document, files, bounds);
    faults.extend(check_schemas(&document));
    Ok((document, faults))
}

/// The versions of library modules that a document pins. Refused when one is not there, when a module loads one
/// that is not pinned or itself, or when all sources together are too many bytes. Read and checked before the
/// writer is taken; [`library::are_there`] says whether they still are then.
pub(super) async fn resolve_pins(
    state: &AppState,
    scope: &Scope,
    document: &Arc<Document>,
    files: &BTreeMap<String, String>,
) -> ApiResult<Vec<LibraryVersionId>> {
    let (mut versions, mut sources, mut faults) = (Vec::new(), BTreeMap::new(), Vec::new());
    if document.library.is_empty() {
        return Ok(versions);
    }
    let turn = state.tenants.turn(scope.team().uuid()).await?;
    let mut tx = scope.read().await?;
    for (name, number) in &document.library {
        let detail = match library::resolve_pin(&mut tx, name, *number).await? {
            Ok(pinned) => {
                versions.push(pinned.id);
                sources.insert(name.clone(), pinned.source);
                continue;
            }
            Err(Some(latest)) => format!("there is no version {number} of `{name}`; the newest is {latest}"),
            Err(None) => format!("the team's library has no module `{name}`"),
        };
        faults.push(FieldError::new(format!("/library/{}", name.replace('~', "~0").replace('/', "~1")), detail));
    }
    drop(tx);
    let bytes = files.values().chain(sources.values()).map(String::len).sum::<usize>();
    let of_sources = Arc::clone(document);
    faults.extend(turn.run(move || document::check_library(&of_sources, &sources)).await?);
    if bytes > MAX_TOTAL_BYTES {
        let detail =
            format!("the files and the library's modules have {bytes} bytes together; at most {MAX_TOTAL_BYTES}");
        faults.push(FieldError::new("/library", detail));
    }
    if faults.is_empty() {
        return Ok(versions);
    }
    faults.truncate(MAX_ERRORS);
    Err(Problem::new(ProblemCode::InvalidDefinition).errors(faults).into())
}

/// The schemas must be such that values can be checked against them.
fn check_schemas(document: &Document) -> Vec<FieldError> {
    let of_steps = document.steps.iter().filter_map(|(name, step)| {
        let name = name.replace('~', "~0").replace('/', "~1");
        step.inputs_schema.as_ref().map(|schema| (format!("/steps/{name}/inputs_schema"), schema))
    });
    let all = document.params.iter().map(|schema| ("/params".to_owned(), schema)).chain(of_steps);
    all.flat_map(|(at, schema)| {
        let errors = Schema::compile(schema).err().unwrap_or_default();
        errors.into_iter().map(move |error| FieldError::new(format!("{at}{}", error.pointer), error.detail))
    })
    .collect()
}

async fn check_expressions(compiling: &mut CompileBudget<'_>, document: &Document) -> ApiResult<Vec<FieldError>> {
    let mut faults = Vec::new();
    for (name, step) in &document.steps {
        for (field, expression) in step.expressions() {
            if let Some(FieldError { detail, .. }) = compiling.check_expression(expression).await? {
                let name = name.replace('~', "~0").replace('/', "~1");
                faults.push(FieldError::new(format!("/steps/{name}/{field}"), detail));
            }
        }
    }
    Ok(faults)
}
