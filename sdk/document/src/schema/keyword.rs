//! The keywords of the dialect, and what is said about others.

use crate::suggest;

/// Every keyword that is taken.
pub(super) const KNOWN: &[&str] = &[
    "$schema",
    "$defs",
    "$ref",
    "$comment",
    "title",
    "description",
    "default",
    "examples",
    "deprecated",
    "readOnly",
    "writeOnly",
    "type",
    "enum",
    "const",
    "multipleOf",
    "minimum",
    "maximum",
    "exclusiveMinimum",
    "exclusiveMaximum",
    "minLength",
    "maxLength",
    "pattern",
    "format",
    "items",
    "prefixItems",
    "minItems",
    "maxItems",
    "uniqueItems",
    "contains",
    "minContains",
    "maxContains",
    "properties",
    "patternProperties",
    "additionalProperties",
    "propertyNames",
    "required",
    "minProperties",
    "maxProperties",
    "dependentRequired",
    "allOf",
    "anyOf",
    "oneOf",
    "not",
    "if",
    "then",
    "else",
];

/// The only `$schema` that is taken.
pub(super) const DRAFT: &str = "https://json-schema.org/draft/2020-12/schema";

/// What to do instead of a keyword that is not taken.
pub(super) fn alternative(keyword: &str) -> String {
    let instead = match keyword {
        "unevaluatedProperties" => "use `additionalProperties: false` beside all `properties`",
        "unevaluatedItems" => "use `items: false` after `prefixItems`",
        "$dynamicRef" | "$recursiveRef" => "use `$ref` with `#/$defs/…`",
        "$id" | "$anchor" | "$dynamicAnchor" | "$recursiveAnchor" | "$vocabulary" | "id" => {
            "leave it out, and refer to subschemas by `#/$defs/…`"
        }
        "definitions" => "JSON Schema 2020-12 calls it `$defs`",
        "dependencies" | "dependentSchemas" => "use `dependentRequired`, or `if` and `then`",
        "additionalItems" => "JSON Schema 2020-12 calls it `items`, beside `prefixItems`",
        "contentEncoding" | "contentMediaType" | "contentSchema" => "leave it out: contents are not checked",
        "nullable" => "use `type` with a list: `[\"string\", \"null\"]`",
        "discriminator" | "xml" | "externalDocs" | "example" => {
            "it belongs to OpenAPI, not to JSON Schema; use `examples` or `$comment` for notes"
        }
        _ => {
            let shown: String = keyword.chars().take(60).collect();
            let hint = suggest::hint(keyword, KNOWN.iter().copied());
            let hint = if hint.is_empty() { "; docs/pipelines.md lists the keywords".to_owned() } else { hint };
            return format!("`{shown}` is not a supported schema keyword{hint}");
        }
    };
    format!("the keyword `{keyword}` is not supported: {instead}")
}
