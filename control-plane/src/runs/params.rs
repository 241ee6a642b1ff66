//! A run's parameters against the pipeline's JSON Schema (2020-12).
//!
//! Schemas are strangers' programs: patterns run on an engine of linear time, references stay
//! within the document, and a schema that unfolds to too much, or into itself, is refused.

use jsonschema::{PatternOptions, Validator};
use restroy_sdk::problem::{Fault, Problem, ProblemCode};
use serde_json::{Map, Value};

use super::limits::MAX_PARAMS;
use crate::error::{ApiError, ApiResult};

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

/// Checks parameters, off the async threads: large ones take their time. Faults name their place
/// under `/params`.
pub(crate) async fn check(schema: Option<Value>, params: Map<String, Value>) -> ApiResult<Value> {
    let params = Value::Object(params);
    let Some(schema) = schema else { return Ok(params) };
    let checked = tokio::task::spawn_blocking(move || faults(&schema, &params).map(|()| params)).await;
    checked.map_err(|error| {
        tracing::error!(%error, "the check of a run's parameters did not come to an end");
        ApiError::new(ProblemCode::Internal)
    })?
}

/// Refuses parameters that are larger than a run takes.
pub(crate) fn check_size(text: &str) -> ApiResult<()> {
    if text.len() <= MAX_PARAMS {
        return Ok(());
    }
    let detail = format!("A run's parameters take at most {MAX_PARAMS} bytes as JSON; these take {}.", text.len());
    Err(ApiError::with(ProblemCode::TooLarge, detail))
}

fn faults(schema: &Value, params: &Value) -> ApiResult<()> {
    let validator = compile(schema).map_err(|error| {
        let detail = format!("The pipeline's own schema is not taken ({error}): publish a version with another one.");
        ApiError::with(ProblemCode::Conflict, detail)
    })?;
    let mut left = MAX_UNFOLDED;
    // It has just been compiled: it unfolds.
    let _ = unfold(schema, schema, "", &mut Vec::new(), &mut left);
    let work = (MAX_UNFOLDED - left).saturating_mul(values(params));
    if work > MAX_WORK {
        let detail = format!("{work} comparisons of values with subschemas are too many; at most {MAX_WORK} are made.");
        return Err(ApiError::with(ProblemCode::TooLarge, detail));
    }
    if validator.is_valid(params) {
        return Ok(());
    }
    if work > MAX_WORK_FOR_FAULTS {
        let fault = Fault::new("/params", "does not match the schema; there is too much of it to say where");
        return Err(Problem::new(ProblemCode::InvalidParams).errors(vec![fault]).into());
    }
    let faults: Vec<Fault> = validator
        .iter_errors(params)
        .take(MAX_FAULTS)
        .map(|error| Fault::new(format!("/params{}", error.instance_path().as_str()), shorten(error.to_string())))
        .collect();
    if faults.is_empty() {
        return Ok(());
    }
    Err(Problem::new(ProblemCode::InvalidParams).errors(faults).into())
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
    use serde_json::json;

    use super::*;

    #[test]
    fn faults_name_their_place() {
        let schema = json!({
            "type": "object",
            "properties": { "a": { "type": "array", "items": { "$ref": "#/$defs/n" } } },
            "$defs": { "n": { "type": "integer" } },
            "required": ["b"],
        });
        let error = faults(&schema, &json!({ "a": [1, "x"] })).unwrap_err();
        assert_eq!(error.code(), ProblemCode::InvalidParams);
        let pointers: Vec<&str> = error.0.errors.iter().map(|fault| fault.pointer.as_str()).collect();
        assert!(pointers.contains(&"/params/a/1") && pointers.contains(&"/params"), "{pointers:?}");
        faults(&schema, &json!({ "a": [1], "b": null })).unwrap();
    }

    #[test]
    fn a_check_of_too_much_is_refused_or_told_in_short() {
        let any: Vec<Value> = (0..1_000).map(|n| json!({ "const": n })).collect();
        let schema = json!({ "items": { "anyOf": any } });
        let error = faults(&json!({ "properties": { "a": schema } }), &json!({ "a": vec![-1; 1_000] })).unwrap_err();
        assert_eq!((error.code(), error.0.errors.len()), (ProblemCode::InvalidParams, 1));
        let error = faults(&json!({ "properties": { "a": schema } }), &json!({ "a": vec![1; 50_000] })).unwrap_err();
        assert_eq!(error.code(), ProblemCode::TooLarge);
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
