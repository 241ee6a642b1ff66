//! What is not a schema here, and what is said about it.

use serde_json::{Map, Value, json};

use super::super::{MAX_PATTERNS, MAX_SUBSCHEMAS, Schema, keyword::KNOWN};

fn errors(schema: &Value) -> Vec<(String, String)> {
    let errors = Schema::compile(schema).err().unwrap_or_else(|| panic!("{schema} is taken"));
    errors.into_iter().map(|error| (error.pointer, error.detail)).collect()
}

#[test]
fn keywords_outside_of_the_dialect_are_refused_with_what_to_do() {
    for (keyword, says) in [
        ("unevaluatedProperties", "additionalProperties"),
        ("unevaluatedItems", "prefixItems"),
        ("$dynamicRef", "$ref"),
        ("$id", "$defs"),
        ("$anchor", "$defs"),
        ("$vocabulary", "$defs"),
        ("definitions", "`$defs`"),
        ("dependencies", "dependentRequired"),
        ("dependentSchemas", "dependentRequired"),
        ("additionalItems", "`items`"),
        ("contentEncoding", "not checked"),
        ("nullable", "\"null\""),
        ("proprties", "did you mean `properties`?"),
        ("minLenght", "did you mean `minLength`?"),
        ("requierd", "did you mean `required`?"),
        ("colour", "docs/pipelines.md"),
    ] {
        let schema = json!({ "properties": { "a": { keyword: {} } } });
        let found = errors(&schema);
        assert_eq!(found.len(), 1, "{keyword}: {found:?}");
        assert_eq!(found[0].0, format!("/properties/a/{keyword}"));
        assert!(found[0].1.contains(says) && found[0].1.contains(keyword), "{keyword}: {}", found[0].1);
        assert!(!KNOWN.contains(&keyword));
    }
}

#[test]
fn every_error_is_reported_with_its_place() {
    let found = errors(&json!({
        "type": "strng", "minLength": -1, "pattern": "(", "required": "a", "items": [{}],
        "properties": { "a/b": { "enum": [] }, "c": 5 }, "allOf": [], "anyOf": [{ "format": "datetime" }], "multipleOf": 0,
        "$ref": "https://example.com/schema", "then": {}, "maximum": "1", "uniqueItems": 1, "title": 3,
    }));
    let text: Vec<String> = found.iter().map(|(pointer, detail)| format!("{pointer}: {detail}")).collect();
    for expected in [
        "/type: `strng` is not a type; the types are `null`, `boolean`, `integer`, `number`, `string`, `array` and `object`; did you mean `string`?",
        "/minLength: must be a whole number of 0 or more, not `-1`",
        "/pattern: not a regular expression: unclosed group",
        "/required: must be an array of names of properties, not a string",
        "/items: `items` is one schema for all items; a schema for each place is `prefixItems`",
        "/properties/a~1b/enum: must have at least one value: with none, nothing matches",
        "/properties/c: a schema is an object, `true` or `false`, not a number",
        "/allOf: must have at least one schema",
        "/multipleOf: `multipleOf` must be greater than 0",
        "/$ref: `https://example.com/schema` is not taken here: refer to `#/$defs/…` of the same schema",
        "/then: `then` has no effect without `if`",
        "/maximum: must be a number, not a string",
        "/uniqueItems: must be `true` or `false`, not a number",
        "/title: must be a string, not a number",
    ] {
        assert!(text.iter().any(|text| text == expected), "{expected} is not among {text:#?}");
    }
    let format = found.iter().find(|(pointer, _)| pointer == "/anyOf/0/format").unwrap();
    assert!(
        format.1.contains("`date-time`, `date`") && format.1.ends_with("did you mean `date-time`?"),
        "{}",
        format.1
    );
}

#[test]
fn references_lead_to_schemas_of_the_same_document() {
    for (schema, says) in [
        (json!({ "$ref": "#" }), "refer to `#/$defs/…`"),
        (json!({ "$ref": "#/properties/a", "properties": { "a": {} } }), "refer to `#/$defs/…`"),
        (json!({ "$ref": "#/$defs/nmae", "$defs": { "name": {} } }), "did you mean `name`?"),
        (json!({ "$ref": "#/$defs/a/const", "$defs": { "a": { "const": {} } } }), "leads to no schema"),
        (json!({ "$ref": "#/$defs/a%zz", "$defs": { "a": {} } }), "leads to no schema"),
        (json!({ "$ref": 1 }), "must be a string"),
        (json!({ "$ref": "#/$defs/a", "$defs": { "a": { "items": { "$ref": "#/$defs/a" } } } }), "recursive"),
        (
            json!({ "$defs": { "a": { "$ref": "#/$defs/b" }, "b": { "allOf": [{ "$ref": "#/$defs/a" }] } } }),
            "recursive",
        ),
        (json!({ "$schema": "http://json-schema.org/draft-07/schema#" }), "2020-12"),
        (json!({ "properties": { "a": { "$schema": "https://json-schema.org/draft/2020-12/schema" } } }), "at the top"),
    ] {
        let found = errors(&schema);
        assert!(found.iter().any(|(_, detail)| detail.contains(says)), "{schema}: {found:?}");
    }
}

#[test]
fn schemas_that_explode_are_refused() {
    let mut defs = Map::new();
    for n in 0..40 {
        let next = format!("#/$defs/d{}", n + 1);
        defs.insert(format!("d{n}"), json!({ "allOf": [{ "$ref": next }, { "$ref": next }] }));
    }
    defs.insert("d40".into(), json!({}));
    assert!(Schema::compile(&json!({ "$ref": "#/$defs/d0", "$defs": defs })).is_err());

    let chain: Map<String, Value> =
        (0..4_000).map(|n| (format!("d{n}"), json!({ "$ref": format!("#/$defs/d{}", (n + 1) % 4_001) }))).collect();
    assert!(Schema::compile(&json!({ "$ref": "#/$defs/d0", "$defs": chain })).is_err());

    let wide = json!({ "anyOf": vec![json!({}); MAX_SUBSCHEMAS] });
    assert!(errors(&wide)[0].1.contains("at most 5000 subschemas"));
}

#[test]
fn patterns_are_bounded() {
    // The review's: 24 KB of these took 4.2 GB.
    let big = |n: usize| format!("(a\\p{{L}}{{200}}b|c){n}");
    let found = errors(&json!({ "pattern": big(0) }));
    assert!(found[0].1.contains("65536 bytes compiled"), "{found:?}");
    let all: Vec<Value> = (0..400).map(|n| json!({ "pattern": big(n) })).collect();
    assert!(Schema::compile(&json!({ "anyOf": all })).is_err());
    let many: Vec<Value> = (0..=MAX_PATTERNS).map(|n| json!({ "pattern": format!("a{n}") })).collect();
    assert!(errors(&json!({ "anyOf": many }))[0].1.contains("at most 100 different patterns"));
    // Each within its bound, and too much together.
    let all: Vec<Value> = (0..60).map(|n| json!({ "pattern": format!("[a-z]{{800}}{n}") })).collect();
    assert!(errors(&json!({ "anyOf": all }))[0].1.contains("1048576 bytes compiled"));
    for (pattern, says) in [
        ("(?=a)", "look-ahead"),
        ("(?<!a)b", "look-behind"),
        ("(a)\\1", "references"),
        ("(?i)a", "flags"),
        ("a{1000}{1000}{1000}", "compiled"),
        ("\\p{Nonsense}", "not a regular expression"),
        ("a**b[", "not a regular expression"),
        ("\\", "cannot end"),
    ] {
        let found = errors(&json!({ "pattern": pattern }));
        assert!(found[0].1.contains(says), "{pattern}: {found:?}");
    }
    // Nothing, very often.
    let _ = Schema::compile(&json!({ "pattern": "(){1000000000}{1000000000}(|){1000000000}" }));
    assert!(errors(&json!({ "pattern": "a".repeat(3_000) }))[0].1.contains("at most 2048 bytes"));
    assert!(
        errors(&json!({ "pattern": "(".repeat(200) + &")".repeat(200) }))[0].1.contains("not a regular expression")
    );
    assert!(errors(&json!({ "anyOf": [{ "pattern": "\\p{L}\\p{N}".repeat(40) }] }))[0].1.contains("64 classes"));
}

#[test]
fn a_default_matches_its_schema() {
    let found = errors(&json!({ "properties": { "a": { "type": "integer", "default": "x" } } }));
    assert_eq!(
        found,
        [("/properties/a/default".into(), "the default must be an integer, not a string (`type`)".into())]
    );
    let found =
        errors(&json!({ "properties": { "a": { "default": { "b": 1 }, "properties": { "b": { "type": "null" } } } } }));
    assert_eq!(found[0].1, "the default does not match: `/b` must be null, not a number (`type`)");
}
