//! What must hold of a document beyond its form.
//!
//! Whether expressions and scripts compile, and whether `params` is a valid schema, is not decided
//! here: that takes the Lua compiler and a schema compiler, which this crate does not carry.

mod files;
mod graph;
mod schedule;
mod step;

use std::collections::BTreeMap;

pub use files::{MAX_FOLDERS, path_error, path_errors};
pub use graph::order;

use super::{Document, NOT_YET, modules, pointer, read::MAX_FAULTS};
use restroy_model::problem::FieldError;

/// The most modules of the library that a document can pin.
const MAX_MODULES: usize = 50;
/// Default maximum number of steps in a pipeline.
pub const MAX_STEPS: usize = 100;
/// Default maximum size of a source, in bytes.
pub const MAX_SOURCE_BYTES: usize = 256 * 1024;
/// A document and its files together, in bytes.
pub const MAX_TOTAL_BYTES: usize = super::tree::MAX_BYTES;

/// How much a document may hold; a team can have more than what is said here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DocumentBounds {
    /// The maximum number of steps.
    pub steps: usize,
    /// A source, in bytes.
    pub source_bytes: usize,
}

impl Default for DocumentBounds {
    fn default() -> Self {
        Self { steps: MAX_STEPS, source_bytes: MAX_SOURCE_BYTES }
    }
}

/// Every error of a document with its files (sources by path); none means that it can be taken.
pub fn check(document: &Document, files: &BTreeMap<String, String>) -> Vec<FieldError> {
    check_within(document, files, DocumentBounds::default())
}

/// The same where other bounds are set.
pub fn check_within(document: &Document, files: &BTreeMap<String, String>, bounds: DocumentBounds) -> Vec<FieldError> {
    let mut faults = Vec::new();
    head(document, bounds, &mut faults);
    for (name, step) in &document.steps {
        step::check(document, name, step, files, &mut faults);
    }
    graph::check(document, &mut faults);
    concurrency(document, &mut faults);
    schedule::check(document, &mut faults);
    files::check(document, files, bounds, &mut faults);
    library(document, &mut faults);
    modules::check(document, files, &mut faults);
    faults.truncate(MAX_FAULTS);
    faults
}

fn head(document: &Document, bounds: DocumentBounds, faults: &mut Vec<FieldError>) {
    if document.restroy != 1 {
        let detail = format!("unknown format version {}; write 1", document.restroy);
        faults.push(FieldError::new("/restroy", detail));
    }
    if let Some(name) = &document.name
        && let Some(detail) = title_error(name)
    {
        faults.push(FieldError::new("/name", detail));
    }
    if document.description.as_ref().is_some_and(|text| text.len() > 4096) {
        faults.push(FieldError::new("/description", "at most 4096 bytes"));
    }
    if let Some(params) = &document.params {
        match params {
            serde_json::Value::Object(schema) => {
                if schema.get("type").is_some_and(|kind| kind != "object") {
                    faults.push(FieldError::new(
                        "/params/type",
                        "a run's parameters are an object; write `type: object`",
                    ));
                }
            }
            _ => faults.push(FieldError::new("/params", "expected a JSON Schema: a mapping")),
        }
    }
    if document.steps.is_empty() {
        faults.push(FieldError::new("/steps", "a pipeline has at least one step"));
    }
    if document.steps.len() > bounds.steps {
        let detail = format!("{} steps; a pipeline has at most {}", document.steps.len(), bounds.steps);
        faults.push(FieldError::new("/steps", detail));
    }
}

fn library(document: &Document, faults: &mut Vec<FieldError>) {
    if document.library.len() > MAX_MODULES {
        let detail = format!("{} modules; at most {MAX_MODULES}", document.library.len());
        faults.push(FieldError::new("/library", detail));
    }
    for (name, version) in &document.library {
        let at = pointer::member("/library", name);
        if !is_module_name(name) {
            let detail = format!(
                "`{name}` is not a module's name: a lower-case letter first, then lower-case letters, digits and `_`, \
                at most 64 in all"
            );
            faults.push(FieldError::new(&at, detail));
        }
        if *version == 0 {
            faults.push(FieldError::new(at, "versions are counted from 1"));
        }
    }
}

fn concurrency(document: &Document, faults: &mut Vec<FieldError>) {
    let Some(concurrency) = &document.concurrency else { return };
    if !(1..=50).contains(&concurrency.limit) {
        let detail = format!("{} must be between 1 and 50", concurrency.limit);
        faults.push(FieldError::new("/concurrency/limit", detail));
    }
    if concurrency.key.is_some() {
        faults.push(FieldError::new("/concurrency/key", NOT_YET));
    }
}

/// Why a name for people is none.
fn title_error(name: &str) -> Option<&'static str> {
    let length = name.chars().count();
    if name.trim() != name || length == 0 {
        Some("a name is not empty and neither begins nor ends with a space")
    } else if length > 64 {
        Some("a name has at most 64 characters")
    } else if name.chars().any(char::is_control) {
        Some("a name has no control characters")
    } else {
        None
    }
}

/// Whether a name can be one of a step or a schedule.
fn is_name(name: &str) -> bool {
    let mut chars = name.chars();
    chars.next().is_some_and(|first| first.is_ascii_alphabetic() || first == '_')
        && chars.all(|c| c.is_ascii_alphanumeric() || c == '_' || c == '-')
        && name.len() <= 64
}

/// Whether a name can be a key of a configuration.
fn is_key(name: &str) -> bool {
    is_name(name) && !name.contains('-')
}

/// Whether a name can be one of a library module.
pub fn is_module_name(name: &str) -> bool {
    name.starts_with(|first: char| first.is_ascii_lowercase())
        && name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_')
        && name.len() <= 64
}

/// The pointer of a step.
fn step_pointer(name: &str) -> String {
    pointer::member("/steps", name)
}
