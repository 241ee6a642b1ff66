//! From what was written to a [`Document`], with every error and its place.

mod step;

use std::collections::HashMap;

use indexmap::IndexMap;
use serde::de::DeserializeOwned;

use super::{
    Allow, Concurrency, Document, DurationText, Retry, Schedule, pointer, suggest,
    tree::{self, Entry, Node, Position, Value},
};
use restroy_model::problem::FieldError;

/// How many errors are reported at once.
pub(super) const MAX_FAULTS: usize = 100;

/// Reads a document from JSON. The errors name their places with JSON pointers.
pub fn read_json(text: &str) -> Result<Document, Vec<FieldError>> {
    document(tree::from_json(text).map_err(|fault| vec![fault])?)
}

/// Reads a document from YAML. The errors name their places with JSON pointers, lines and columns.
pub fn read_yaml(text: &str) -> Result<Document, Vec<FieldError>> {
    document(tree::from_yaml(text).map_err(|fault| vec![fault])?)
}

fn document(node: Node) -> Result<Document, Vec<FieldError>> {
    let mut reader = DocumentReader::default();
    let document = reader.document(NodeAt { node, pointer: String::new() });
    match document {
        Some(document) if reader.faults.is_empty() => Ok(document),
        _ => Err(reader.faults),
    }
}

/// A node and where it stands.
struct NodeAt {
    node: Node,
    pointer: String,
}

/// A mapping whose keys were checked, being deleted piece by piece.
struct MappingReader {
    pointer: String,
    place: Option<Position>,
    entries: Vec<Entry>,
}

impl MappingReader {
    /// Whether it has a value for `name`.
    fn has(&self, name: &str) -> bool {
        self.entries.iter().any(|entry| entry.key.name == name && !matches!(entry.node.value, Value::Null))
    }

    /// Where the key `name` stands.
    fn place_of(&self, name: &str) -> Option<Position> {
        self.entries.iter().find(|entry| entry.key.name == name)?.key.place
    }

    /// The value of `name`; none when it is absent or null.
    fn take(&mut self, name: &str) -> Option<NodeAt> {
        let position = self.entries.iter().position(|entry| entry.key.name == name)?;
        let entry = self.entries.swap_remove(position);
        if matches!(entry.node.value, Value::Null) {
            return None;
        }
        Some(NodeAt { node: entry.node, pointer: pointer::member(&self.pointer, name) })
    }
}

#[derive(Default)]
struct DocumentReader {
    faults: Vec<FieldError>,
}

impl DocumentReader {
    fn error(&mut self, pointer: &str, place: Option<Position>, detail: impl Into<String>) {
        if self.faults.len() < MAX_FAULTS {
            let mut fault = FieldError::new(pointer, detail);
            fault.line = place.map(|place| place.line);
            fault.column = place.map(|place| place.column);
            self.faults.push(fault);
        }
    }

    fn wrong_type(&mut self, at: &NodeAt, wanted: &str) {
        let detail = match (&at.node.value, wanted) {
            (Value::Number(number), "a text") => format!("expected a string, found a number; write \"{number}\""),
            (Value::Bool(value), "a text") => format!("expected a string, found a boolean; write \"{value}\""),
            _ => format!("expected {wanted}, found {}", at.node.kind()),
        };
        self.error(&at.pointer, at.node.place, detail);
    }

    /// A mapping with every key once, in the author's order.
    fn entries(&mut self, at: NodeAt, wanted: &str) -> Option<MappingReader> {
        let place = at.node.place;
        let Value::Map(entries) = at.node.value else {
            self.wrong_type(&at, wanted);
            return None;
        };
        let mut seen: HashMap<String, Option<Position>> = HashMap::new();
        let mut kept = Vec::with_capacity(entries.len());
        for entry in entries {
            if let Some(first) = seen.get(&entry.key.name) {
                let line = first.map(|place| format!("; the first is on line {}", place.line)).unwrap_or_default();
                let name = &entry.key.name;
                self.error(
                    &pointer::member(&at.pointer, name),
                    entry.key.place,
                    format!("duplicate key `{name}`{line}; keep one of them"),
                );
                continue;
            }
            seen.insert(entry.key.name.clone(), entry.key.place);
            kept.push(entry);
        }
        Some(MappingReader { pointer: at.pointer, place, entries: kept })
    }

    /// A mapping of which no key but `allowed` may be there.
    fn fields(&mut self, at: NodeAt, what: &str, allowed: &[&str]) -> Option<MappingReader> {
        let fields = self.entries(at, &format!("{what}: a mapping"))?;
        for Entry { key, .. } in &fields.entries {
            let name = key.name.as_str();
            if !allowed.contains(&name) {
                let hint = suggest::hint(name, allowed.iter().copied());
                let hint = if hint.is_empty() {
                    format!("; {what} has {}", suggest::list(allowed.iter().copied()))
                } else {
                    hint
                };
                self.error(&pointer::member(&fields.pointer, name), key.place, format!("unknown field `{name}`{hint}"));
            }
        }
        Some(fields)
    }

    fn text(&mut self, at: NodeAt) -> Option<String> {
        if let Value::Text(text) = at.node.value {
            return Some(text);
        }
        self.wrong_type(&at, "a text");
        None
    }

    fn boolean(&mut self, at: &NodeAt) -> bool {
        if let Value::Bool(value) = at.node.value {
            return value;
        }
        self.wrong_type(at, "true or false");
        false
    }

    fn count(&mut self, at: &NodeAt) -> Option<u32> {
        if let Value::Number(number) = &at.node.value {
            if let Some(count) = number.as_u64().and_then(|count| u32::try_from(count).ok()) {
                return Some(count);
            }
            self.error(&at.pointer, at.node.place, format!("expected a whole number, found {number}"));
        } else {
            self.wrong_type(at, "a whole number");
        }
        None
    }

    fn span(&mut self, at: NodeAt) -> Option<DurationText> {
        let (pointer, place) = (at.pointer.clone(), at.node.place);
        if let Value::Number(number) = &at.node.value {
            let detail = format!("a duration needs a unit: write `{number}s` for seconds, or ms, m, h or d");
            self.error(&pointer, place, detail);
            return None;
        }
        match self.text(at)?.parse() {
            Ok(span) => Some(span),
            Err(detail) => {
                self.error(&pointer, place, detail);
                None
            }
        }
    }

    /// One of a closed list of words.
    fn choice<T: DeserializeOwned>(&mut self, at: NodeAt, words: &[&str]) -> Option<T> {
        let (pointer, place) = (at.pointer.clone(), at.node.place);
        let word = self.text(at)?;
        if let Ok(value) = serde_json::from_value(serde_json::Value::String(word.clone())) {
            return Some(value);
        }
        let hint = suggest::hint(&word, words.iter().copied());
        let known = suggest::list(words.iter().copied());
        self.error(&pointer, place, format!("unknown value `{word}`{hint} (known are {known})"));
        None
    }

    fn texts(&mut self, at: NodeAt) -> Vec<String> {
        let Value::List(items) = at.node.value else {
            let detail = match &at.node.value {
                Value::Text(text) => format!("expected a list, found a string; write [{text}]"),
                _ => format!("expected a list of strings, found {}", at.node.kind()),
            };
            self.error(&at.pointer, at.node.place, detail);
            return Vec::new();
        };
        let items = items.into_iter().enumerate();
        items
            .filter_map(|(index, node)| self.text(NodeAt { node, pointer: pointer::element(&at.pointer, index) }))
            .collect()
    }

    /// Any JSON, without duplicate keys.
    fn json(&mut self, at: NodeAt) -> serde_json::Value {
        match at.node.value {
            Value::Null => serde_json::Value::Null,
            Value::Bool(value) => value.into(),
            Value::Number(number) => number.into(),
            Value::Text(text) => text.into(),
            Value::List(items) => items
                .into_iter()
                .enumerate()
                .map(|(index, node)| self.json(NodeAt { node, pointer: pointer::element(&at.pointer, index) }))
                .collect(),
            Value::Map(_) => {
                let Some(fields) = self.entries(at, "a mapping") else { return serde_json::Value::Null };
                let members = fields.entries.into_iter().map(|Entry { key, node }| {
                    let pointer = pointer::member(&fields.pointer, &key.name);
                    (key.name, self.json(NodeAt { node, pointer }))
                });
                serde_json::Value::Object(members.collect())
            }
        }
    }

    /// A mapping of names to things that `read` reads.
    fn named<T>(
        &mut self,
        at: NodeAt,
        wanted: &str,
        mut read: impl FnMut(&mut Self, NodeAt) -> Option<T>,
    ) -> IndexMap<String, T> {
        let Some(fields) = self.entries(at, wanted) else { return IndexMap::new() };
        let mut things = IndexMap::with_capacity(fields.entries.len());
        for Entry { key, node } in fields.entries {
            // The key is where an author looks for a whole step that is wrong.
            let place = if matches!(node.value, Value::Null) { key.place } else { node.place };
            let at = NodeAt { pointer: pointer::member(&fields.pointer, &key.name), node: Node { place, ..node } };
            if let Some(thing) = read(self, at) {
                things.insert(key.name, thing);
            }
        }
        things
    }

    fn document(&mut self, at: NodeAt) -> Option<Document> {
        let allowed = ["restroy", "name", "description", "params", "library", "steps", "concurrency", "schedules"];
        let mut fields = self.fields(at, "a document", &allowed)?;
        let place = fields.place;
        let restroy = fields.take("restroy").map(|at| self.count(&at));
        if restroy.is_none() {
            self.error("", place, "missing field `restroy`; begin the document with `restroy: 1`");
        }
        let steps = fields.take("steps").map(|at| self.named(at, "a mapping of names to steps", Self::step));
        if steps.is_none() {
            self.error("", place, "missing field `steps`; a pipeline has at least one step");
        }
        Some(Document {
            name: fields.take("name").and_then(|at| self.text(at)),
            description: fields.take("description").and_then(|at| self.text(at)),
            params: fields.take("params").map(|at| self.json(at)),
            library: fields
                .take("library")
                .map(|at| self.named(at, "a mapping of modules to versions", |reader, at| reader.count(&at)))
                .unwrap_or_default(),
            concurrency: fields.take("concurrency").and_then(|at| self.concurrency(at)),
            schedules: fields
                .take("schedules")
                .map(|at| self.named(at, "a mapping of names to schedules", Self::schedule))
                .unwrap_or_default(),
            restroy: restroy.flatten()?,
            steps: steps?,
        })
    }

    fn config(&mut self, at: NodeAt) -> IndexMap<String, String> {
        self.named(at, "a mapping of keys to strings", Self::text)
    }

    fn allow(&mut self, at: NodeAt) -> Option<Allow> {
        let mut fields = self.fields(at, "`allow`", &["http", "kv", "email", "files"])?;
        Some(Allow {
            http: fields.take("http").map(|at| self.texts(at)).unwrap_or_default(),
            kv: fields.take("kv").is_some_and(|at| self.boolean(&at)),
            email: fields.take("email").is_some_and(|at| self.boolean(&at)),
            files: fields.take("files").is_some_and(|at| self.boolean(&at)),
        })
    }

    fn retry(&mut self, at: NodeAt) -> Option<Retry> {
        let mut fields = self.fields(at, "`retry`", &["max_attempts", "backoff", "initial", "max"])?;
        Some(Retry {
            max_attempts: fields.take("max_attempts").and_then(|at| self.count(&at)).unwrap_or_else(Retry::attempts),
            backoff: fields
                .take("backoff")
                .and_then(|at| self.choice(at, &["exponential", "linear", "constant"]))
                .unwrap_or_default(),
            initial: fields.take("initial").and_then(|at| self.span(at)).unwrap_or_else(Retry::initial),
            max: fields.take("max").and_then(|at| self.span(at)).unwrap_or_else(Retry::max),
        })
    }

    fn concurrency(&mut self, at: NodeAt) -> Option<Concurrency> {
        let mut fields = self.fields(at, "`concurrency`", &["limit", "on_conflict", "key"])?;
        let on_conflict = fields
            .take("on_conflict")
            .and_then(|at| self.choice(at, &["queue", "skip", "cancel_running"]))
            .unwrap_or_default();
        let key = fields.take("key").and_then(|at| self.text(at));
        let Some(limit) = fields.take("limit") else {
            let (pointer, place) = (fields.pointer, fields.place);
            self.error(&pointer, place, "missing field `limit`; write how many runs may run concurrently");
            return None;
        };
        Some(Concurrency { limit: self.count(&limit)?, on_conflict, key })
    }

    fn schedule(&mut self, at: NodeAt) -> Option<Schedule> {
        let mut fields = self.fields(at, "a schedule", &["cron", "timezone", "misfire", "overlap"])?;
        let timezone = fields.take("timezone").and_then(|at| self.text(at));
        let misfire = fields.take("misfire").and_then(|at| self.choice(at, &["run_once", "skip"])).unwrap_or_default();
        let overlap = fields.take("overlap").and_then(|at| self.choice(at, &["skip", "allow"])).unwrap_or_default();
        let Some(cron) = fields.take("cron") else {
            let (pointer, place) = (fields.pointer, fields.place);
            self.error(&pointer, place, "missing field `cron`; write five fields such as \"0 8 * * MON\"");
            return None;
        };
        Some(Schedule { cron: self.text(cron)?, timezone, misfire, overlap })
    }
}
