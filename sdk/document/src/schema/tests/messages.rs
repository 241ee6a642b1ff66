//! What is said about a value that does not match.

use serde_json::{Value, json};

use super::{super::MAX_ERRORS, mismatches};

#[test]
fn expectations_are_in_plain_words() {
    for (schema, value, says) in [
        (
            json!({ "properties": { "issue": { "type": "string" } } }),
            json!({ "issue": 5 }),
            "/issue: must be a string, not a number (`type`)",
        ),
        (json!({ "type": ["string", "null"] }), json!(1), ": must be null or a string, not a number (`type`)"),
        (json!({ "type": "integer" }), json!(1.5), ": must be an integer, not the fraction `1.5` (`type`)"),
        (
            json!({ "enum": ["a", "b", 3] }),
            json!("c"),
            ": must be one of `\"a\"`, `\"b\"` or `3`, not `\"c\"` (`enum`)",
        ),
        (
            json!({ "enum": [1, 2, 3, 4, 5, 6, 7] }),
            json!([1]),
            ": must be one of `1`, `2`, `3`, `4`, `5` or 2 more, not an array (`enum`)",
        ),
        (json!({ "const": 1 }), json!({ "a": 1 }), ": must be `1`, not an object (`const`)"),
        (json!({ "minimum": 5 }), json!(4), ": must be at least 5, not `4` (`minimum`)"),
        (
            json!({ "exclusiveMaximum": 0.5 }),
            json!(1e300),
            ": must be less than 0.5, not `1e+300` (`exclusiveMaximum`)",
        ),
        (json!({ "multipleOf": 0.01 }), json!(0.005), ": must be a multiple of 0.01, not `0.005` (`multipleOf`)"),
        (json!({ "minLength": 1 }), json!(""), ": must have at least 1 character, not 0 (`minLength`)"),
        (json!({ "pattern": "^a$" }), json!("b"), ": must match the pattern `^a$`; `\"b\"` does not (`pattern`)"),
        (
            json!({ "format": "date" }),
            json!("x"),
            ": must be a date such as `2026-11-29`, not `\"x\"` (`format: date`)",
        ),
        (json!({ "required": ["a"] }), json!({}), ": must have the property `a` (`required`)"),
        (
            json!({ "dependentRequired": { "a": ["b"] } }),
            json!({ "a": 1 }),
            ": must have the property `b` beside `a` (`dependentRequired`)",
        ),
        (
            json!({ "properties": { "issue": {} }, "additionalProperties": false }),
            json!({ "isue": 1 }),
            "/isue: is not a property that is allowed here (`additionalProperties`); did you mean `issue`?",
        ),
        (
            json!({ "propertyNames": { "maxLength": 2 } }),
            json!({ "abc": 1 }),
            ": has the property `abc`, whose name must have at most 2 characters, not 3 (`maxLength`) (`propertyNames`)",
        ),
        (json!({ "minItems": 2 }), json!([1]), ": must have at least 2 items, not 1 (`minItems`)"),
        (
            json!({ "uniqueItems": true }),
            json!([1, 2, 1.0]),
            ": must not have equal items; those at 0 and 2 are (`uniqueItems`)",
        ),
        (
            json!({ "contains": { "const": 1 } }),
            json!([2]),
            ": must have at least 1 item matching `contains`, not 0 (`contains`)",
        ),
        (json!({ "items": { "type": "null" } }), json!([null, 1]), "/1: must be null, not a number (`type`)"),
        (json!({ "not": {} }), json!(1), ": must not match the schema under `not`"),
        (json!({ "properties": { "a/b~": false } }), json!({ "a/b~": 1 }), "/a~1b~0: is not allowed here"),
        (
            json!({ "oneOf": [{}, {}] }),
            json!(1),
            ": must match exactly one of 2 alternatives, and matches number 1 and number 2 (`oneOf`)",
        ),
        (
            json!({ "properties": { "x": { "anyOf": [{ "type": "string" }, { "properties": { "y": { "type": "null" } } }] } } }),
            json!({ "x": { "y": 1 } }),
            "/x: must match one of 2 alternatives (`anyOf`): 1) must be a string, not an object (`type`); 2) `/y` must be null, not a number (`type`)",
        ),
    ] {
        assert_eq!(mismatches(&schema, &value), [says], "{schema} {value}");
    }
}

#[test]
fn messages_are_few_and_short() {
    let schema = json!({ "items": { "type": "string", "maxLength": 3, "pattern": "^x$", "format": "date" }, "propertyNames": { "maxLength": 1 } });
    let all = mismatches(&schema, &json!(vec![1; 10_000]));
    assert_eq!(all.len(), MAX_ERRORS);
    let long = "é\"\n".repeat(100_000);
    for value in [json!([long]), json!({ long.clone(): 1 })] {
        for text in mismatches(&schema, &value) {
            assert!(text.len() < 700, "{} bytes: {text}", text.len());
        }
    }
    let deep = (0..60).fold(json!({ "type": "null" }), |schema, _| json!({ "properties": { long.clone(): schema } }));
    let value = (0..60).fold(json!(1), |value, _| json!({ long.clone(): value }));
    assert!(mismatches(&deep, &value)[0].len() < 60 * 400);
    let branches: Vec<Value> = (0..1_000).map(|_| json!({ "const": long })).collect();
    assert!(mismatches(&json!({ "anyOf": branches }), &json!(1))[0].len() < 700);
}
