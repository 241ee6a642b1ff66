//! What is set where something is absent.

use serde_json::{Value, json};

use super::{super::CheckError, compiled};

fn with_defaults(schema: &Value, mut value: Value) -> Value {
    compiled(schema).apply_defaults(&mut value).unwrap();
    value
}

#[test]
fn what_is_absent_gets_its_default() {
    for (schema, given, expected) in [
        (json!({ "properties": { "a": { "default": 1 }, "b": {} } }), json!({}), json!({ "a": 1 })),
        (json!({ "properties": { "a": { "default": 1 } } }), json!({ "a": 2 }), json!({ "a": 2 })),
        (json!({ "properties": { "a": { "default": 1 } } }), json!({ "a": null }), json!({ "a": null })),
        (json!({ "properties": { "a": { "default": null } } }), json!({}), json!({ "a": null })),
        // Within what is there, and within what was just set.
        (
            json!({ "properties": { "o": { "properties": { "a": { "default": 1 } } } } }),
            json!({ "o": {} }),
            json!({ "o": { "a": 1 } }),
        ),
        (json!({ "properties": { "o": { "properties": { "a": { "default": 1 } } } } }), json!({}), json!({})),
        (
            json!({ "properties": { "o": { "default": {}, "properties": { "a": { "default": 1 } } } } }),
            json!({}),
            json!({ "o": { "a": 1 } }),
        ),
        (
            json!({ "properties": { "l": { "items": { "properties": { "a": { "default": 1 } } } } } }),
            json!({ "l": [{}, { "a": 2 }, 3] }),
            json!({ "l": [{ "a": 1 }, { "a": 2 }, 3] }),
        ),
        (
            json!({ "properties": { "l": { "prefixItems": [{ "properties": { "a": { "default": 1 } } }] } } }),
            json!({ "l": [{}, {}] }),
            json!({ "l": [{ "a": 1 }, {}] }),
        ),
        // Through references and `allOf`.
        (
            json!({ "$ref": "#/$defs/p", "$defs": { "p": { "properties": { "a": { "default": 1 } } } } }),
            json!({}),
            json!({ "a": 1 }),
        ),
        (
            json!({ "allOf": [{ "properties": { "a": { "default": 1 } } }, { "properties": { "a": { "default": 2 }, "b": { "default": 3 } } }] }),
            json!({}),
            json!({ "a": 1, "b": 3 }),
        ),
        // Not where it depends on the value what applies.
        (json!({ "anyOf": [{ "properties": { "a": { "default": 1 } } }] }), json!({}), json!({})),
        (json!({ "if": {}, "then": { "properties": { "a": { "default": 1 } } } }), json!({}), json!({})),
        (json!({ "default": { "a": 1 } }), json!({}), json!({})),
        (json!({ "properties": { "a": { "default": 1 } } }), json!([]), json!([])),
    ] {
        assert_eq!(with_defaults(&schema, given.clone()), expected, "{schema} {given}");
    }
    let text = with_defaults(&json!({ "properties": { "z": { "default": 1 }, "a": { "default": 2 } } }), json!({}))
        .to_string();
    assert_eq!(text, r#"{"z":1,"a":2}"#, "in the schema's order");
}

#[test]
fn defaults_do_not_multiply() {
    let schema =
        json!({ "properties": { "l": { "items": { "properties": { "a": { "default": "x".repeat(10_000) } } } } } });
    let mut value = json!({ "l": vec![json!({}); 10_000] });
    assert_eq!(compiled(&schema).apply_defaults(&mut value), Err(CheckError::DefaultsTooLarge));
    // Each within the next: doubling for each level.
    let mut schema = json!({ "properties": { "x": { "default": "x".repeat(1_000) } } });
    for _ in 0..20 {
        schema = json!({ "properties": { "a": { "default": {}, "allOf": [schema.clone()] }, "b": { "default": {}, "allOf": [{}] } } });
    }
    let _ = compiled(&schema).apply_defaults(&mut json!({}));
}
