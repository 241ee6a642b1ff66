//! Expectations and places in plain words, short whatever the value is.

use serde_json::Value;

use super::rule::Types;

/// The most of a value that a message quotes, in characters.
const MAX_QUOTED: usize = 40;
/// The longest part of a pointer that is reported, in characters.
const MAX_SEGMENT: usize = 100;
/// The longest list of names in a message.
const MAX_NAMES: usize = 5;

/// A place in a value: a list from the inside out, on the stack.
#[derive(Debug, Clone, Copy)]
pub(super) struct Path<'a> {
    pub(super) within: Option<&'a Path<'a>>,
    pub(super) segment: Segment<'a>,
}

/// A step into a value.
#[derive(Debug, Clone, Copy)]
pub(super) enum Segment<'a> {
    Key(&'a str),
    Index(usize),
}

/// The place as a JSON pointer.
pub(super) fn pointer(path: Option<&Path<'_>>) -> String {
    let mut segments = Vec::new();
    let mut at = path;
    while let Some(path) = at {
        segments.push(path.segment);
        at = path.within;
    }
    let mut out = String::new();
    for segment in segments.iter().rev() {
        out.push('/');
        match segment {
            Segment::Key(key) => out.push_str(&cut(key, MAX_SEGMENT).replace('~', "~0").replace('/', "~1")),
            Segment::Index(index) => out.push_str(&index.to_string()),
        }
    }
    out
}

/// The text, or its beginning.
pub(super) fn cut(text: &str, most: usize) -> String {
    match text.char_indices().nth(most) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

/// What kind of value it is, with its article.
pub(super) fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "a boolean",
        Value::Number(_) => "a number",
        Value::String(_) => "a string",
        Value::Array(_) => "an array",
        Value::Object(_) => "an object",
    }
}

/// A scalar as JSON, cut; of a container only what it is.
pub(super) fn quote(value: &Value) -> String {
    match value {
        Value::String(text) => {
            // Escaping what will not be shown would take the whole text's time.
            let shown: String = text.chars().take(MAX_QUOTED + 1).collect();
            let quoted = Value::String(cut(&shown, MAX_QUOTED)).to_string();
            format!("`{quoted}`")
        }
        Value::Array(items) if items.is_empty() => "`[]`".into(),
        Value::Object(fields) if fields.is_empty() => "`{}`".into(),
        Value::Array(_) | Value::Object(_) => kind(value).into(),
        _ => format!("`{value}`"),
    }
}

/// `a string`, `a string or null`, `a string, a number or null`.
pub(super) fn types(types: Types) -> String {
    let names: Vec<String> = types
        .names()
        .map(|name| match name {
            "null" => "null".to_owned(),
            "integer" | "array" | "object" => format!("an {name}"),
            _ => format!("a {name}"),
        })
        .collect();
    either(&names)
}

/// `a`, `a or b`, `a, b or c`.
pub(super) fn either(names: &[String]) -> String {
    match names {
        [] => "nothing".into(),
        [one] => one.clone(),
        [rest @ .., last] => format!("{} or {last}", rest.join(", ")),
    }
}

/// One of these values.
pub(super) fn one_of(values: &[Value]) -> String {
    let mut shown: Vec<String> = values.iter().take(MAX_NAMES).map(quote).collect();
    if values.len() > MAX_NAMES {
        shown.push(format!("{} more", values.len() - MAX_NAMES));
    }
    match shown.as_slice() {
        [only] => format!("must be {only}"),
        _ => format!("must be one of {}", either(&shown)),
    }
}

/// A name in backticks, cut.
pub(super) fn name(name: &str) -> String {
    format!("`{}`", cut(name, MAX_QUOTED))
}

/// `1 item`, `2 items`.
pub(super) fn count(number: usize, one: &str, many: &str) -> String {
    if number == 1 { format!("1 {one}") } else { format!("{number} {many}") }
}
