//! Values against JSON Schemas (2020-12).
//!
//! Schemas are strangers' programs: patterns run on an engine of linear time, references stay
//! within the document, and a schema that unfolds to too much, or into itself, is refused.

use jsonschema::{PatternOptions, Validator};
use serde_json::Value;

use crate::problem::Fault;

/// How many subschemas a schema may come to, references unfolded.
const MAX_UNFOLDED: usize = 10_000;
/// How deep references may follow on references: each takes its part of the stack.
const MAX_REFERENCES: usize = 16;
/// Subschemas times values: the work that a check may come to.
const MAX_WORK: usize = 20_000_000;
/// Up to so much work every fault is told; each alternative of an `anyOf` that fails takes memory.
const MAX_WORK_FOR_FAULTS: usize = 200_000;
/// How many faults are told at once.
const MAX_FAULTS: usize = 50;

/// Why a schema is not taken; the text says what to do.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{detail}")]
pub struct BadSchema {
    /// Where in the schema, as a JSON pointer.
    pub pointer: String,
    /// What is wrong.
    pub detail: String,
}

/// Compiles a schema, or says why it is none that is taken.
pub fn compile(schema: &Value) -> Result<Validator, BadSchema> {
    let mut budget = MAX_UNFOLDED;
    unfold(schema, schema, "", &mut Vec::new(), &mut budget)?;
    jsonschema::options().with_pattern_options(PatternOptions::regex()).build(schema).map_err(|error| BadSchema {
        pointer: error.instance_path().as_str().to_owned(),
        detail: error.masked().to_string(),
    })
}

/// Why a value was not taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Refused {
    /// The schema itself is none that is taken.
    Schema(BadSchema),
    /// So many comparisons are more than are made.
    TooMuch(usize),
    /// The value does not match; each fault names its place in the value.
    Faults(Vec<Fault>),
}

/// The most comparisons of values with subschemas that a check may come to.
pub const MOST: usize = MAX_WORK;

/// Checks a value against a schema. Large ones take their time: not for an async thread.
pub fn check(schema: &Value, value: &Value) -> Result<(), Refused> {
    let validator = compile(schema).map_err(Refused::Schema)?;
    let mut left = MAX_UNFOLDED;
    // It has just been compiled: it unfolds.
    let _ = unfold(schema, schema, "", &mut Vec::new(), &mut left);
    let work = (MAX_UNFOLDED - left).saturating_mul(values(value));
    if work > MAX_WORK {
        return Err(Refused::TooMuch(work));
    }
    if validator.is_valid(value) {
        return Ok(());
    }
    if work > MAX_WORK_FOR_FAULTS {
        let fault = Fault::new("", "does not match the schema; there is too much of it to say where");
        return Err(Refused::Faults(vec![fault]));
    }
    let faults: Vec<Fault> = validator
        .iter_errors(value)
        .take(MAX_FAULTS)
        .map(|error| Fault::new(error.instance_path().as_str(), shorten(error.to_string())))
        .collect();
    if faults.is_empty() { Ok(()) } else { Err(Refused::Faults(faults)) }
}

/// How many values there are, containers counted.
fn values(of: &Value) -> usize {
    match of {
        Value::Array(items) => 1 + items.iter().map(values).sum::<usize>(),
        Value::Object(fields) => 1 + fields.values().map(values).sum::<usize>(),
        _ => 1,
    }
}

/// A fault may quote what it is about; not all of it.
fn shorten(text: String) -> String {
    const MOST: usize = 500;
    if text.chars().count() <= MOST {
        return text;
    }
    let mut short: String = text.chars().take(MOST).collect();
    short.push('…');
    short
}

/// Counts what the schema unfolds to. Whatever is an object counts, be it a subschema or data: the
/// count errs on the safe side.
fn unfold<'a>(
    root: &'a Value,
    at: &'a Value,
    pointer: &str,
    open: &mut Vec<&'a str>,
    budget: &mut usize,
) -> Result<(), BadSchema> {
    let bad = |detail: String| Err(BadSchema { pointer: pointer.to_owned(), detail });
    let Some(left) = budget.checked_sub(1) else {
        return bad(format!("a schema may unfold to at most {MAX_UNFOLDED} subschemas"));
    };
    *budget = left;
    match at {
        Value::Array(items) => {
            for (index, item) in items.iter().enumerate() {
                unfold(root, item, &format!("{pointer}/{index}"), open, budget)?;
            }
        }
        Value::Object(fields) => {
            for (name, value) in fields {
                match (name.as_str(), value) {
                    ("$dynamicRef" | "$recursiveRef" | "$id" | "$anchor" | "$dynamicAnchor", Value::String(_)) => {
                        return bad(format!("`{name}` is not supported: refer to `#/$defs/…`"));
                    }
                    ("$ref", Value::String(target)) => {
                        let Some(found) = target.strip_prefix('#').and_then(|path| root.pointer(path)) else {
                            return bad(format!("`{target}` is not in this schema: refer to `#/$defs/…`"));
                        };
                        if open.contains(&target.as_str()) {
                            return bad(format!("`{target}` contains itself: recursive schemas are not supported"));
                        }
                        if open.len() >= MAX_REFERENCES {
                            return bad(format!("references may lead to references {MAX_REFERENCES} deep"));
                        }
                        open.push(target);
                        unfold(root, found, pointer, open, budget)?;
                        open.pop();
                    }
                    // Reached through its references only.
                    ("$defs" | "definitions", Value::Object(_)) => {}
                    _ => {
                        let name = name.replace('~', "~0").replace('/', "~1");
                        unfold(root, value, &format!("{pointer}/{name}"), open, budget)?;
                    }
                }
            }
        }
        _ => {}
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use serde_json::{Map, json};

    use super::*;

    #[test]
    fn faults_name_their_place() {
        let schema = json!({
            "type": "object",
            "properties": { "a": { "type": "array", "items": { "$ref": "#/$defs/n" } } },
            "$defs": { "n": { "type": "integer" } },
            "required": ["b"],
        });
        let Err(Refused::Faults(faults)) = check(&schema, &json!({ "a": [1, "x"] })) else {
            panic!("it does not match")
        };
        let pointers: Vec<&str> = faults.iter().map(|fault| fault.pointer.as_str()).collect();
        assert!(pointers.contains(&"/a/1") && pointers.contains(&""), "{pointers:?}");
        assert_eq!(check(&schema, &json!({ "a": [1], "b": null })), Ok(()));
    }

    #[test]
    fn a_check_of_too_much_is_refused_or_told_in_short() {
        let any: Vec<Value> = (0..1_000).map(|n| json!({ "const": n })).collect();
        let schema = json!({ "items": { "anyOf": any } });
        let schema = json!({ "properties": { "a": schema } });
        let refused = check(&schema, &json!({ "a": vec![-1; 1_000] }));
        assert!(matches!(refused, Err(Refused::Faults(faults)) if faults.len() == 1));
        let refused = check(&schema, &json!({ "a": vec![1; 50_000] }));
        assert!(matches!(refused, Err(Refused::TooMuch(_))));
    }

    #[test]
    fn chains_of_references_are_short() {
        let mut defs: Map<String, Value> =
            (0..4_000).map(|n| (format!("d{n}"), json!({ "$ref": format!("#/$defs/d{}", n + 1) }))).collect();
        defs.insert("d4000".into(), json!({}));
        let error = compile(&json!({ "$ref": "#/$defs/d0", "$defs": defs })).unwrap_err();
        assert!(error.detail.contains("16 deep"), "{error}");
    }

    #[test]
    fn schemas_that_explode_are_refused() {
        let mut defs = Map::new();
        for n in 0..40 {
            let next = format!("#/$defs/d{}", n + 1);
            defs.insert(format!("d{n}"), json!({ "allOf": [{ "$ref": next }, { "$ref": next }] }));
        }
        defs.insert("d40".into(), json!({}));
        let doubling = json!({ "$ref": "#/$defs/d0", "$defs": defs });
        for bad in [
            doubling,
            json!({ "properties": { "self": { "$ref": "#" } } }),
            json!({ "$ref": "https://example.com/schema" }),
            json!({ "$ref": "#/nowhere" }),
            json!({ "type": "nothing" }),
        ] {
            assert!(compile(&bad).is_err(), "{bad}");
        }
    }
}
