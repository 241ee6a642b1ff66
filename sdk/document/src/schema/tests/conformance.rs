//! Cases for each keyword, after the manner of the official JSON-Schema-Test-Suite.

use serde_json::{Value, json};

use super::compiled;

/// A schema, what matches it, and what does not.
type Case = (Value, Vec<Value>, Vec<Value>);

fn hold(cases: Vec<Case>) {
    for (schema, good, bad) in cases {
        let compiled = compiled(&schema);
        for value in good {
            assert_eq!(compiled.check(&value), Ok(()), "{schema} takes {value}");
        }
        for value in bad {
            assert!(compiled.check(&value).is_err(), "{schema} does not take {value}");
        }
    }
}

macro_rules! values {
    ($($value:tt),* $(,)?) => { vec![$(json!($value)),*] };
}

#[test]
fn boolean_schemas_and_annotations() {
    hold(vec![
        (json!(true), values![1, "a", null, {}], vec![]),
        (json!(false), vec![], values![1, "a", null, {}, []]),
        (json!({}), values![1, "a", null, {}], vec![]),
        (
            json!({
                "$schema": "https://json-schema.org/draft/2020-12/schema", "$comment": "c", "title": "t", "description": "d",
                "examples": [1], "deprecated": true, "readOnly": true, "writeOnly": false, "default": 1
            }),
            values![1, "a"],
            vec![],
        ),
    ]);
}

#[test]
fn types() {
    hold(vec![
        (
            json!({ "type": "integer" }),
            values![1, 1.0, (-3), 1e300, 18_446_744_073_709_551_615_u64],
            values![1.1, "1", {}, [], true, null],
        ),
        (json!({ "type": "number" }), values![1, 1.0, 1.1], values!["1", {}, [], true, null]),
        (json!({ "type": "string" }), values!["1", ""], values![1, {}, [], true, null]),
        (json!({ "type": "object" }), values![{}, { "a": 1 }], values![1, "a", [], true, null]),
        (json!({ "type": "array" }), values![[], [1]], values![1, "a", {}, true, null]),
        (json!({ "type": "boolean" }), values![true, false], values![0, 1, "", "true", {}, [], null]),
        (json!({ "type": "null" }), values![null], values![0, "", {}, [], false]),
        (json!({ "type": ["integer", "string"] }), values![1, "a"], values![1.5, {}, [], true, null]),
        (json!({ "type": ["string"] }), values!["a"], values![1]),
        (json!({ "type": ["array", "null"] }), values![null, []], values![{}]),
    ]);
}

#[test]
fn enums_and_constants() {
    hold(vec![
        (json!({ "enum": [1, 2, 3] }), values![1, 1.0, 3], values![4, "1", null]),
        (
            json!({ "enum": [6, "foo", [], true, { "foo": 12 }] }),
            values![[], { "foo": 12 }, { "foo": 12.0 }],
            values![null, { "foo": false }, { "foo": 12, "boo": 42 }, [1]],
        ),
        (json!({ "enum": [false] }), values![false], values![0, 0.0, "", null]),
        (json!({ "enum": [0] }), values![0, 0.0, (-0.0)], values![false, [0]]),
        (json!({ "enum": [[false]] }), values![[false]], values![[0], [[false]]]),
        (json!({ "enum": [null] }), values![null], values![0, ""]),
        (json!({ "enum": ["hello\u{0}there"] }), values!["hello\u{0}there"], values!["hellothere"]),
        (json!({ "const": 2 }), values![2, 2.0], values![5, "2"]),
        (
            json!({ "const": { "a": 1, "b": [2] } }),
            values![{ "b": [2], "a": 1 }],
            values![{ "a": 1 }, { "a": 1, "b": [3] }, [1]],
        ),
        (json!({ "const": null }), values![null], values![0, false]),
        (
            json!({ "const": 9_007_199_254_740_993_i64 }),
            values![9_007_199_254_740_993_i64],
            values![9_007_199_254_740_992_i64, 9_007_199_254_740_992.0],
        ),
        (json!({ "const": 0.5 }), values![0.5], values![0.25, 0]),
    ]);
}

#[test]
fn numbers() {
    hold(vec![
        (json!({ "minimum": 1.1 }), values![2.6, 1.1, "x", 2], values![0.6, 1]),
        (json!({ "minimum": -2 }), values![(-1), 0, (-2), (-2.0)], values![(-2.0001), (-3)]),
        (json!({ "maximum": 3.0 }), values![2.6, 3, 3.0, "x"], values![3.5, 4]),
        (json!({ "maximum": 300 }), values![300, 300.0, 299.97], values![300.5]),
        (json!({ "exclusiveMinimum": 1.1 }), values![1.2, "x"], values![1.1, 0.6]),
        (json!({ "exclusiveMaximum": 3 }), values![2.2, "x", 2], values![3, 3.0, 3.5]),
        (
            json!({ "maximum": 18_446_744_073_709_551_600_u64 }),
            values![18_446_744_073_709_551_600_u64, 1e19],
            values![18_446_744_073_709_551_601_u64, 1e20],
        ),
        (
            json!({ "minimum": 9_007_199_254_740_993_i64 }),
            values![9_007_199_254_740_993_i64],
            values![9_007_199_254_740_992.0],
        ),
        (json!({ "minimum": -1e39 }), values![(-1e38), 0, (-1e39)], values![(-1e40)]),
        (json!({ "multipleOf": 2 }), values![10, 0, (-4), 4.0, "x"], values![7, 2.5]),
        (json!({ "multipleOf": 1.5 }), values![0, 4.5, (-3), 3], values![35, 1]),
        (json!({ "multipleOf": 0.0001 }), values![0.0075, 1, 1e300], values![0.00751]),
        (json!({ "multipleOf": 0.01 }), values![19.99, 1.1, 100], values![0.005, 0.001]),
        (json!({ "type": "integer", "multipleOf": 0.123_456_789 }), values![0, 123_456_789], values![1e308, 1]),
        (json!({ "multipleOf": 1e-8 }), values![12_391_239_123_i64, 1e-8], values![1e-9]),
        (json!({ "multipleOf": 3 }), values![3e100], values![1e100]),
        (json!({ "multipleOf": 1e100 }), values![0, 1e101, 3e100], values![1, 1e99]),
        (
            json!({ "multipleOf": 18_446_744_073_709_551_615_u64 }),
            values![18_446_744_073_709_551_615_u64, 0],
            values![1, 1e30],
        ),
    ]);
}

#[test]
fn strings() {
    hold(vec![
        (json!({ "minLength": 2 }), values!["foo", "fo", 100, "💩💩"], values!["f", "💩"]),
        (json!({ "minLength": 2.0 }), values!["fo"], values!["f"]),
        (json!({ "maxLength": 2 }), values!["f", "fo", 100, "💩💩"], values!["foo"]),
        (json!({ "pattern": "^a*$" }), values!["aaa", "", 1, null, {}], values!["abc"]),
        (json!({ "pattern": "a+" }), values!["xxaayy"], values!["xxyy"]),
        (json!({ "pattern": "^\\d{3}-\\w+$" }), values!["123-ab_c"], values!["12-a", "१२३-a", "123-é"]),
        (json!({ "pattern": "^[\\w.-]+@[a-z]+$" }), values!["a.b-c@x"], values!["a b@x"]),
        (json!({ "pattern": "\\bfoo\\b" }), values!["a foo b"], values!["afoob"]),
        (json!({ "pattern": "^[\\[&~]$" }), values!["[", "&", "~"], values!["a", "]"]),
        (json!({ "pattern": "^\\p{Lu}$" }), values!["Ж", "A"], values!["a", "1"]),
        (json!({ "pattern": "^(?:a|b)(?<n>c)\\/$" }), values!["ac/", "bc/"], values!["cc/"]),
        (json!({ "pattern": "^[^\\d]$" }), values!["a"], values!["1"]),
        (json!({ "pattern": "^[^]$" }), values!["a", "\n"], values![""]),
        (json!({ "pattern": "[]" }), vec![], values!["a", ""]),
        (json!({ "pattern": "^\\u00e9\\t\\x41$" }), values!["é\tA"], values!["e\tA"]),
    ]);
}

#[test]
fn arrays() {
    hold(vec![
        (json!({ "items": { "type": "integer" } }), values![[1, 2, 3], [], { "0": "x" }, "x"], values![[1, "x"]]),
        (json!({ "items": true }), values![[1, "a"]], vec![]),
        (json!({ "items": false }), values![[]], values![[1]]),
        (
            json!({ "prefixItems": [{ "type": "integer" }, { "type": "string" }] }),
            values![[1, "foo"], [1], [], [1, "a", true]],
            values![["foo", 1]],
        ),
        (json!({ "prefixItems": [{}], "items": { "type": "integer" } }), values![["a", 2, 3]], values![["a", "b"]]),
        (json!({ "prefixItems": [{}, {}], "items": false }), values![[1, 2], [1]], values![[1, 2, 3]]),
        (
            json!({ "allOf": [{ "prefixItems": [{ "minimum": 3 }] }], "items": { "minimum": 5 } }),
            values![[5]],
            values![[3], [5, 3]],
        ),
        (json!({ "minItems": 1 }), values![[1], "", {}], values![[]]),
        (json!({ "maxItems": 2 }), values![[1], [1, 2], "foobar"], values![[1, 2, 3]]),
        (json!({ "contains": { "minimum": 5 } }), values![[3, 4, 5], [5], {}, "x"], values![[2, 3], []]),
        (json!({ "contains": true }), values![["a"]], values![[]]),
        (json!({ "contains": false }), values!["x"], values![["a"], []]),
        (json!({ "contains": { "const": 1 }, "minContains": 2 }), values![[1, 1], [1, 2, 1]], values![[1], []]),
        (json!({ "contains": { "const": 1 }, "minContains": 0 }), values![[], [2]], vec![]),
        (json!({ "contains": { "const": 1 }, "maxContains": 1 }), values![[1], [1, 2]], values![[], [1, 1], [2]]),
        (
            json!({ "contains": { "const": 1 }, "minContains": 0, "maxContains": 1 }),
            values![[], [1], [2]],
            values![[1, 1]],
        ),
        (
            json!({ "contains": { "const": 1 }, "minContains": 3, "maxContains": 1 }),
            vec![],
            values![[1], [1, 1], [1, 1, 1]],
        ),
        (json!({ "minContains": 3 }), values![[]], vec![]),
    ]);
}

#[test]
fn unique_items() {
    hold(vec![
        (
            json!({ "uniqueItems": true }),
            values![
                [1, 2], [], [1, true], [0, false], [[1], [true]], ["1", 1], [{ "foo": "bar" }, { "foo": "baz" }],
                [[["foo"]], [["bar"]]], [{}, [1], true, null, 1, "{}"], [{ "a": false }, { "a": 0 }], "aa", { "a": 1, "b": 1 },
            ],
            values![
                [1, 1], [1, 2, 1], [1.0, 1.00, 1], ["foo", "bar", "foo"], [{ "foo": "bar" }, { "foo": "bar" }],
                [{ "a": 1, "b": 2 }, { "b": 2, "a": 1 }], [["foo"], ["foo"]], [{ "a": [1.0] }, { "a": [1] }], [null, null], [[], []],
            ],
        ),
        (json!({ "uniqueItems": false }), values![[1, 1]], vec![]),
        (
            json!({ "prefixItems": [{}, {}], "uniqueItems": true, "items": false }),
            values![[1, 2]],
            values![[1, 1], [1, 2, 3]],
        ),
    ]);
}

#[test]
fn objects() {
    hold(vec![
        (
            json!({ "properties": { "foo": { "type": "integer" }, "bar": { "type": "string" } } }),
            values![{ "foo": 1, "bar": "baz" }, { "quux": [] }, {}, [], 12],
            values![{ "foo": [], "bar": {} }, { "bar": 1 }],
        ),
        (
            json!({ "properties": { "foo": true, "bar": false } }),
            values![{}, { "foo": 1 }],
            values![{ "bar": 2 }, { "foo": 1, "bar": 2 }],
        ),
        (
            json!({ "properties": { "foo\nbar": { "type": "number" }, "foo\"bar": { "type": "number" }, "~/": { "type": "number" } } }),
            values![{ "foo\nbar": 1 }],
            values![{ "foo\nbar": "1" }, { "foo\"bar": "1" }, { "~/": "1" }],
        ),
        (
            json!({ "properties": { "foo": { "maxItems": 3 }, "bar": { "type": "array" } }, "patternProperties": { "f.o": { "minItems": 2 } }, "additionalProperties": { "type": "integer" } }),
            values![{ "foo": [1, 2] }, { "fxo": [1, 2] }, { "bar": [] }, { "quux": 3 }],
            values![{ "foo": [1, 2, 3, 4] }, { "foo": [] }, { "fxo": [] }, { "quux": "foo" }],
        ),
        (
            json!({ "patternProperties": { "f.*o": { "type": "integer" } } }),
            values![{ "foo": 1 }, { "foo": 1, "foooooo": 2 }, ["foo"], "foo"],
            values![{ "foo": "bar" }, { "foo": "bar", "foooooo": "baz" }],
        ),
        (
            json!({ "patternProperties": { "a*": { "type": "integer" }, "aaa*": { "maximum": 20 } } }),
            values![{ "a": 21 }, { "aaaa": 18 }],
            values![{ "a": "bar" }, { "aaaa": 31 }, { "aaa": "foo", "aaaa": 31 }],
        ),
        (
            json!({ "properties": { "foo": {} }, "patternProperties": { "^v": {} }, "additionalProperties": false }),
            values![{ "foo": 1 }, { "foo": 1, "vroom": 2 }, [1], 3],
            values![{ "foo": 1, "quux": true }],
        ),
        (json!({ "additionalProperties": { "type": "boolean" } }), values![{ "foo": true }], values![{ "foo": 1 }]),
        (
            json!({ "allOf": [{ "properties": { "foo": {} } }], "additionalProperties": { "type": "boolean" } }),
            vec![],
            values![{ "foo": 1 }],
        ),
        (
            json!({ "propertyNames": { "maxLength": 3 } }),
            values![{ "f": {}, "foo": {} }, {}, [1], "foobar"],
            values![{ "foo": {}, "foobar": {} }],
        ),
        (json!({ "propertyNames": false }), values![{}], values![{ "a": 1 }]),
        (json!({ "propertyNames": { "enum": ["a", "b"] } }), values![{ "a": 1 }], values![{ "c": 1 }]),
        (json!({ "required": ["foo"] }), values![{ "foo": 1 }, { "foo": null }, [], "", 12], values![{ "bar": 1 }, {}]),
        (json!({ "required": [] }), values![{}], vec![]),
        (
            json!({ "required": ["foo\nbar", "__proto__"] }),
            values![{ "foo\nbar": 1, "__proto__": 2 }],
            values![{ "foo\nbar": 1 }],
        ),
        (json!({ "minProperties": 1 }), values![{ "foo": 1 }, [], ""], values![{}]),
        (
            json!({ "maxProperties": 2 }),
            values![{ "foo": 1 }, { "foo": 1, "bar": 2 }, [1, 2, 3]],
            values![{ "a": 1, "b": 2, "c": 3 }],
        ),
        (json!({ "maxProperties": 0 }), values![{}], values![{ "foo": 1 }]),
        (
            json!({ "dependentRequired": { "bar": ["foo"] } }),
            values![{}, { "foo": 1 }, { "foo": 1, "bar": 2 }, ["bar"]],
            values![{ "bar": 2 }],
        ),
        (json!({ "dependentRequired": { "bar": [] } }), values![{ "bar": 2 }], vec![]),
        (
            json!({ "dependentRequired": { "quux": ["foo", "bar"] } }),
            values![{ "foo": 1, "bar": 2, "quux": 3 }],
            values![{ "foo": 1, "quux": 2 }, { "quux": 1 }],
        ),
    ]);
}

#[test]
fn combinations() {
    hold(vec![
        (
            json!({ "allOf": [{ "required": ["bar"] }, { "required": ["foo"] }] }),
            values![{ "foo": 1, "bar": 2 }],
            values![{ "foo": 1 }, { "bar": 1 }],
        ),
        (
            json!({ "properties": { "bar": { "type": "integer" } }, "required": ["bar"], "allOf": [{ "required": ["foo"] }] }),
            values![{ "foo": 1, "bar": 1 }],
            values![{ "bar": 2 }, { "foo": 1 }],
        ),
        (json!({ "allOf": [true, true] }), values![1], vec![]),
        (json!({ "allOf": [true, false] }), vec![], values![1]),
        (json!({ "anyOf": [{ "type": "integer" }, { "minimum": 2 }] }), values![1, 2.5, 3], values![1.5]),
        (
            json!({ "type": "string", "anyOf": [{ "maxLength": 2 }, { "minLength": 4 }] }),
            values!["fo", "foobar"],
            values![3, "foo"],
        ),
        (json!({ "anyOf": [true, false] }), values![1], vec![]),
        (json!({ "anyOf": [false, false] }), vec![], values![1]),
        (json!({ "anyOf": [{ "type": "number" }, {}] }), values!["foo", 1], vec![]),
        (json!({ "oneOf": [{ "type": "integer" }, { "minimum": 2 }] }), values![1, 2.5], values![3, 1.5]),
        (json!({ "oneOf": [true, true, true] }), vec![], values![1]),
        (json!({ "oneOf": [true, false, false] }), values![1], vec![]),
        (
            json!({ "oneOf": [{ "required": ["foo", "bar"] }, { "required": ["foo", "baz"] }] }),
            values![{ "foo": 1, "bar": 2 }],
            values![{ "bar": 2 }, { "foo": 1, "bar": 2, "baz": 3 }],
        ),
        (json!({ "not": { "type": "integer" } }), values!["foo"], values![1]),
        (json!({ "not": { "type": ["integer", "boolean"] } }), values!["foo"], values![1, true]),
        (json!({ "not": { "not": { "type": "null" } } }), values![null], values![1]),
        (json!({ "properties": { "foo": { "not": {} } } }), values![{ "bar": 1 }], values![{ "foo": 1 }]),
        (
            json!({ "allOf": [{ "multipleOf": 2 }], "anyOf": [{ "multipleOf": 3 }], "oneOf": [{ "multipleOf": 5 }] }),
            values![30],
            values![1, 2, 3, 5, 6, 10, 15],
        ),
    ]);
}

#[test]
fn conditions() {
    hold(vec![
        (json!({ "if": { "const": 0 } }), values![0, "a"], vec![]),
        (json!({ "if": { "exclusiveMaximum": 0 }, "then": { "minimum": -10 } }), values![(-1), 3], values![(-100)]),
        (json!({ "if": { "exclusiveMaximum": 0 }, "else": { "multipleOf": 2 } }), values![(-1), 4], values![3]),
        (
            json!({ "if": { "exclusiveMaximum": 0 }, "then": { "minimum": -10 }, "else": { "multipleOf": 2 } }),
            values![(-1), 4],
            values![(-100), 3],
        ),
        (
            json!({ "if": true, "then": { "const": "then" }, "else": { "const": "else" } }),
            values!["then"],
            values!["else"],
        ),
        (
            json!({ "if": false, "then": { "const": "then" }, "else": { "const": "else" } }),
            values!["else"],
            values!["then"],
        ),
        (
            json!({ "properties": { "kind": { "enum": ["a", "b"] } }, "if": { "properties": { "kind": { "const": "a" } }, "required": ["kind"] }, "then": { "required": ["x"] } }),
            values![{ "kind": "a", "x": 1 }, { "kind": "b" }, {}],
            values![{ "kind": "a" }],
        ),
    ]);
}

#[test]
fn references() {
    hold(vec![
        (json!({ "$ref": "#/$defs/n", "$defs": { "n": { "type": "integer" } } }), values![1], values!["a"]),
        (
            json!({ "properties": { "a": { "$ref": "#/$defs/a" } }, "$defs": { "a": { "items": { "$ref": "#/$defs/b" } }, "b": { "type": "null" } } }),
            values![{ "a": [null] }, {}],
            values![{ "a": [1] }],
        ),
        (
            json!({ "$ref": "#/$defs/tilde~0field", "$defs": { "tilde~field": { "type": "integer" } } }),
            values![1],
            values!["a"],
        ),
        (
            json!({ "$ref": "#/$defs/slash~1field", "$defs": { "slash/field": { "type": "integer" } } }),
            values![1],
            values!["a"],
        ),
        (
            json!({ "$ref": "#/$defs/percent%25field", "$defs": { "percent%field": { "type": "integer" } } }),
            values![1],
            values!["a"],
        ),
        (
            json!({ "properties": { "foo": { "$ref": "#/$defs/r", "maxItems": 2 } }, "$defs": { "r": { "type": "array" } } }),
            values![{ "foo": [] }],
            values![{ "foo": [1, 2, 3] }, { "foo": "string" }],
        ),
        (json!({ "$ref": "#/$defs/b", "$defs": { "b": false } }), vec![], values![1]),
        (
            json!({ "$ref": "#/$defs/a/properties/x", "$defs": { "a": { "properties": { "x": { "type": "null" } } } } }),
            values![null],
            values![1],
        ),
        (
            json!({ "$ref": "#/$defs/a/$defs/b", "$defs": { "a": { "$defs": { "b": { "type": "null" } } } } }),
            values![null],
            values![1],
        ),
        (json!({ "properties": { "$ref": { "type": "string" } } }), values![{ "$ref": "a" }], values![{ "$ref": 2 }]),
        (
            json!({ "const": { "$ref": "#/$defs/a" }, "$defs": { "a": { "type": "integer" } } }),
            values![{ "$ref": "#/$defs/a" }],
            values![1],
        ),
        (json!({ "enum": [{ "unknown": 1 }] }), values![{ "unknown": 1 }], vec![]),
    ]);
}
