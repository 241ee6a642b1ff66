//! What keywords take: types, numbers, names of formats and the like, each with its refusal.

use serde_json::{Map, Value};

use super::super::{
    format::Format,
    message::{self, kind},
    number::Num,
    rule::Types,
};
use crate::suggest;

/// About what a value takes that is kept.
pub(super) fn value_bytes(value: &Value) -> usize {
    let mut bytes = 0;
    let mut open = vec![value];
    while let Some(value) = open.pop() {
        bytes += size_of::<Value>();
        match value {
            Value::String(text) => bytes += text.len(),
            Value::Array(items) => open.extend(items),
            Value::Object(fields) => {
                bytes += fields.keys().map(|name| name.len() + 64).sum::<usize>();
                open.extend(fields.values());
            }
            _ => {}
        }
    }
    bytes
}

pub(super) fn types(value: &Value) -> Result<Types, String> {
    let names: Vec<&Value> = match value {
        Value::Array(names) => names.iter().collect(),
        name => vec![name],
    };
    let mut types = Types::default();
    for name in &names {
        let Value::String(name) = name else {
            return Err(format!("must be the name of a type, or an array of them, not {}", kind(name)));
        };
        types = types.and(Types::named(name).ok_or_else(|| {
            let known = ["null", "boolean", "integer", "number", "string", "array", "object"];
            let hint = suggest::hint(name, known);
            format!("{} is not a type; the types are {}{hint}", message::name(name), suggest::list(known))
        })?);
    }
    if names.is_empty() {
        return Err("must name at least one type".into());
    }
    Ok(types)
}

pub(super) fn number(value: &Value) -> Result<Num, String> {
    match value {
        Value::Number(number) => Ok(Num::of(number)),
        other => Err(format!("must be a number, not {}", kind(other))),
    }
}

pub(super) fn count(value: &Value) -> Result<usize, String> {
    let count = number(value)?.as_count();
    count.ok_or_else(|| format!("must be a whole number of 0 or more, not {}", message::quote(value)))
}

pub(super) fn string(value: &Value) -> Result<&str, String> {
    value.as_str().ok_or_else(|| format!("must be a string, not {}", kind(value)))
}

pub(super) fn boolean(value: &Value) -> Result<bool, String> {
    value.as_bool().ok_or_else(|| format!("must be `true` or `false`, not {}", kind(value)))
}

pub(super) fn object(value: &Value) -> Result<&Map<String, Value>, String> {
    value.as_object().ok_or_else(|| format!("must be an object of schemas, not {}", kind(value)))
}

pub(super) fn format(name: &str) -> Result<Format, String> {
    Format::named(name).ok_or_else(|| {
        let hint = suggest::hint(name, Format::NAMES.iter().copied());
        let formats: Vec<String> = Format::NAMES.iter().map(|name| format!("`{name}`")).collect();
        format!("the format {} is not checked here; the formats are {}{hint}", message::name(name), formats.join(", "))
    })
}
