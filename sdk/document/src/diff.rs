//! What differs between two versions: the document field by field, the files line by line.

use std::{collections::BTreeMap, time::Duration};

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use similar::TextDiff;

use super::{Capability, Document, capabilities, pointer};

/// The lines around a change that are shown.
const CONTEXT: usize = 3;
/// How long is searched for a short answer to one file; after that, for any.
const SEARCH: Duration = Duration::from_millis(50);
/// How long is searched in all: the more files differ, the less is left for each.
const SEARCH_IN_ALL: Duration = Duration::from_millis(500);
/// How many files are reported line by line, and with how many bytes together.
const MAX_FILES: usize = 100;
const MAX_BYTES: usize = 1024 * 1024;

/// What became of a thing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum Change {
    /// It is there now.
    Added,
    /// It is there no more.
    Removed,
    /// It is another.
    Changed,
}

/// What differs between two versions.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Diff {
    /// The document's own fields that differ, without the steps.
    pub document: Vec<FieldChange>,
    /// The steps that differ, those that are there now in their order, then those that went.
    pub steps: Vec<StepChange>,
    /// The files that differ, by path.
    pub files: Vec<FileChange>,
    /// The capabilities that were added or removed.
    pub capabilities: Vec<CapabilityChange>,
}

/// A field that differs.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct FieldChange {
    /// Where it stands in the document, as a JSON pointer.
    pub pointer: String,
    /// What it was; null when it was not there.
    #[cfg_attr(feature = "openapi", schema(value_type = serde_json::Value))]
    pub from: Value,
    /// What it is; null when it is not there.
    #[cfg_attr(feature = "openapi", schema(value_type = serde_json::Value))]
    pub to: Value,
}

/// A step that differs.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct StepChange {
    /// Its name.
    pub name: String,
    /// What became of it.
    pub change: Change,
    /// Its fields that differ.
    pub fields: Vec<FieldChange>,
}

/// A file that differs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct FileChange {
    /// Its path.
    pub path: String,
    /// What became of it.
    pub change: Change,
    /// A unified diff; null if it is too large.
    pub diff: Option<String>,
}

/// A capability that was added or removed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct CapabilityChange {
    /// What became of it: added or removed.
    pub change: Change,
    /// The capability.
    #[serde(flatten)]
    pub touch: Capability,
}

impl Diff {
    /// Whether nothing differs.
    pub fn is_empty(&self) -> bool {
        self.document.is_empty() && self.steps.is_empty() && self.files.is_empty()
    }
}

/// A version: its document and its sources by path.
type Version<'a> = (&'a Document, &'a BTreeMap<String, String>);

/// What differs from one version to another. Takes its time with much text: about a second.
pub fn diff(from: Version<'_>, to: Version<'_>) -> Diff {
    Diff {
        document: fields("", &head(from.0), &head(to.0)),
        steps: steps(from.0, to.0),
        files: files(from.1, to.1),
        capabilities: capability_changes(from.0, to.0),
    }
}

/// The document without its steps.
fn head(document: &Document) -> Map<String, Value> {
    let mut fields = object(document);
    fields.remove("steps");
    fields
}

/// A thing's fields as JSON has them.
fn object(of: &impl Serialize) -> Map<String, Value> {
    match serde_json::to_value(of) {
        Ok(Value::Object(fields)) => fields,
        _ => Map::new(),
    }
}

fn fields(at: &str, from: &Map<String, Value>, to: &Map<String, Value>) -> Vec<FieldChange> {
    let gone = from.keys().filter(|name| !to.contains_key(*name));
    to.keys()
        .chain(gone)
        .filter(|name| from.get(*name) != to.get(*name))
        .map(|name| FieldChange {
            pointer: pointer::member(at, name),
            from: from.get(name).cloned().unwrap_or_default(),
            to: to.get(name).cloned().unwrap_or_default(),
        })
        .collect()
}

fn steps(from: &Document, to: &Document) -> Vec<StepChange> {
    let gone = from.steps.keys().filter(|name| !to.steps.contains_key(*name));
    let names = to.steps.keys().chain(gone);
    let changes = names.filter_map(|name| {
        let of = |document: &Document| document.steps.get(name).map(object);
        let (old, new) = (of(from), of(to));
        let change = match (&old, &new) {
            (Some(old), Some(new)) if old == new => return None,
            (Some(_), Some(_)) => Change::Changed,
            (None, _) => Change::Added,
            (_, None) => Change::Removed,
        };
        let at = pointer::member("/steps", name);
        let fields = fields(&at, &old.unwrap_or_default(), &new.unwrap_or_default());
        Some(StepChange { name: name.clone(), change, fields })
    });
    changes.collect()
}

fn files(from: &BTreeMap<String, String>, to: &BTreeMap<String, String>) -> Vec<FileChange> {
    let mut paths: Vec<_> = from.keys().chain(to.keys()).collect();
    paths.sort_unstable();
    paths.dedup();
    paths.retain(|path| from.get(*path) != to.get(*path));
    let told = u32::try_from(paths.len().clamp(1, MAX_FILES)).unwrap_or(u32::MAX);
    let search = SEARCH.min(SEARCH_IN_ALL / told);
    let mut changes = Vec::new();
    let mut left = MAX_BYTES;
    for path in paths {
        let (old, new) = (from.get(path), to.get(path));
        let change = match (old, new) {
            (Some(_), Some(_)) => Change::Changed,
            (None, _) => Change::Added,
            (_, None) => Change::Removed,
        };
        let told = (changes.len() < MAX_FILES && left > 0).then(|| lines(path, (old, new), search));
        let told = told.filter(|text| text.len() <= left);
        left = told.as_ref().map_or(left, |text| left - text.len());
        changes.push(FileChange { path: path.clone(), change, diff: told });
    }
    changes
}

/// A unified diff of a file.
fn lines(path: &str, (from, to): (Option<&String>, Option<&String>), search: Duration) -> String {
    let name = |there: bool, side: &str| if there { format!("{side}/{path}") } else { "/dev/null".to_owned() };
    let (old, new) = (name(from.is_some(), "a"), name(to.is_some(), "b"));
    let (from, to) = (from.map_or("", String::as_str), to.map_or("", String::as_str));
    let diff = TextDiff::configure().timeout(search).diff_lines(from, to);
    diff.unified_diff().context_radius(CONTEXT).header(&old, &new).to_string()
}

fn capability_changes(from: &Document, to: &Document) -> Vec<CapabilityChange> {
    let of = |document: &Document| -> Vec<Capability> {
        capabilities(document).into_iter().map(|capability| capability.touch).collect()
    };
    let (old, new) = (of(from), of(to));
    let added = new.iter().filter(|touch| !old.contains(touch)).map(|touch| (Change::Added, touch));
    let removed = old.iter().filter(|touch| !new.contains(touch)).map(|touch| (Change::Removed, touch));
    added.chain(removed).map(|(change, touch)| CapabilityChange { change, touch: touch.clone() }).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::read_json;

    fn document(of: &Value) -> Document {
        read_json(&of.to_string()).unwrap()
    }

    #[test]
    fn reports_steps_fields_lines_and_capabilities() {
        let old = document(&json!({
            "restroy": 1, "name": "Old",
            "steps": { "a": { "script": "a.lua", "timeout": "5s" }, "gone": { "script": "a.lua" } },
        }));
        let new = document(&json!({
            "restroy": 1, "description": "Now with one",
            "steps": { "a": { "script": "a.lua", "allow": { "kv": true } }, "b": { "script": "b.lua", "needs": ["a"] } },
        }));
        let old_files = BTreeMap::from([("a.lua".to_owned(), "one\ntwo\n".to_owned())]);
        let new_files = BTreeMap::from([
            ("a.lua".to_owned(), "one\n2\n".to_owned()),
            ("b.lua".to_owned(), "return 1\n".to_owned()),
        ]);
        let told = diff((&old, &old_files), (&new, &new_files));
        let pointers: Vec<_> = told.document.iter().map(|field| field.pointer.as_str()).collect();
        assert_eq!(pointers, ["/description", "/name"]);
        assert_eq!((&told.document[1].from, &told.document[1].to), (&json!("Old"), &Value::Null));
        let steps: Vec<_> = told.steps.iter().map(|step| (step.name.as_str(), step.change)).collect();
        assert_eq!(steps, [("a", Change::Changed), ("b", Change::Added), ("gone", Change::Removed)]);
        let fields: Vec<_> = told.steps[0].fields.iter().map(|field| field.pointer.as_str()).collect();
        assert_eq!(fields, ["/steps/a/allow", "/steps/a/timeout"]);
        assert_eq!(told.files[0].diff.as_deref(), Some("--- a/a.lua\n+++ b/a.lua\n@@ -1,2 +1,2 @@\n one\n-two\n+2\n"));
        assert!(told.files[1].diff.as_deref().is_some_and(|text| text.starts_with("--- /dev/null\n+++ b/b.lua\n")));
        assert_eq!(told.capabilities, [CapabilityChange { change: Change::Added, touch: Capability::Kv }]);
        assert!(diff((&old, &old_files), (&old, &old_files)).is_empty());
    }

    #[test]
    fn an_oversized_state_is_named_but_not_recorded() {
        let document = document(&json!({ "restroy": 1, "steps": { "a": { "script": "a.lua" } } }));
        let long = (0..30_000).map(|n| format!("x = {n}")).collect::<Vec<_>>().join("\n");
        let files: BTreeMap<_, _> = (0..10).map(|n| (format!("{n}.lua"), long.clone())).collect();
        let told = diff((&document, &BTreeMap::new()), (&document, &files));
        assert_eq!(told.files.len(), 10);
        assert!(told.files[0].diff.is_some() && told.files[9].diff.is_none());
        assert!(told.files.iter().flat_map(|file| &file.diff).map(String::len).sum::<usize>() <= MAX_BYTES);
    }
}
