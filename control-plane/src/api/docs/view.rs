//! What the page shows of the document: areas with their operations, then the schemas.

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::{Map, Value};

/// The page.
#[derive(Debug, Serialize)]
pub(super) struct PageView {
    title: String,
    intro: Vec<String>,
    areas: Vec<TagSection>,
    schemas: Vec<SchemaView>,
}

/// The operations of a tag.
#[derive(Debug, Serialize)]
struct TagSection {
    name: String,
    operations: Vec<OperationView>,
}

#[derive(Debug, Serialize)]
struct OperationView {
    id: String,
    method: String,
    path: String,
    summary: String,
    text: Vec<String>,
    /// Whether it asks for no credentials.
    open: bool,
    parameters: Vec<FieldView>,
    body: Option<BodyView>,
    answers: Vec<ResponseView>,
}

/// A parameter, or a field of a schema.
#[derive(Debug, Serialize)]
struct FieldView {
    name: String,
    /// Where a parameter goes: `path`, `query` or `header`.
    place: String,
    kind: Vec<TypeName>,
    required: bool,
    description: String,
}

/// A part of a type's name, with the schema that it leads to.
#[derive(Debug, Serialize)]
struct TypeName {
    text: String,
    schema: Option<String>,
}

#[derive(Debug, Serialize)]
struct BodyView {
    media: String,
    kind: Vec<TypeName>,
    example: String,
}

#[derive(Debug, Serialize)]
struct ResponseView {
    status: String,
    description: String,
    body: Option<BodyView>,
    /// The problem codes that it can have.
    codes: Vec<CodeView>,
}

#[derive(Debug, Serialize)]
struct CodeView {
    code: String,
    title: String,
}

#[derive(Debug, Serialize)]
struct SchemaView {
    name: String,
    description: String,
    kind: Vec<TypeName>,
    fields: Vec<FieldView>,
    values: Vec<String>,
}

/// The page of a document.
pub(super) fn from_document(document: &Value) -> PageView {
    let mut areas: BTreeMap<String, Vec<OperationView>> = BTreeMap::new();
    for (path, item) in entries(&document["paths"]) {
        for (method, operation) in entries(item) {
            if operation["responses"].is_object() {
                let area = text(&operation["tags"][0]);
                areas.entry(area).or_default().push(operation_view(path, method, operation));
            }
        }
    }
    PageView {
        title: text(&document["info"]["title"]),
        intro: paragraphs(&text(&document["info"]["description"])),
        areas: areas.into_iter().map(|(name, operations)| TagSection { name, operations }).collect(),
        schemas: entries(&document["components"]["schemas"]).map(|(name, schema)| schema_view(name, schema)).collect(),
    }
}

fn operation_view(path: &str, method: &str, operation: &Value) -> OperationView {
    let summary = text(&operation["summary"]);
    let open = list(&operation["security"]).iter().any(|scheme| scheme.as_object().is_some_and(Map::is_empty));
    OperationView {
        id: text(&operation["operationId"]),
        method: method.to_uppercase(),
        path: path.to_owned(),
        text: paragraphs(&text(&operation["description"])),
        summary,
        open,
        parameters: list(&operation["parameters"]).iter().map(parameter_view).collect(),
        body: body_view(&operation["requestBody"]),
        answers: entries(&operation["responses"])
            .filter(|(status, _)| *status != "default")
            .map(|(status, answer)| response_view(status, answer))
            .collect(),
    }
}

fn parameter_view(parameter: &Value) -> FieldView {
    FieldView {
        name: text(&parameter["name"]),
        place: text(&parameter["in"]),
        kind: kind(&parameter["schema"]),
        required: parameter["required"] == true,
        description: text(&parameter["description"]),
    }
}

fn body_view(body: &Value) -> Option<BodyView> {
    let (media, content) = entries(&body["content"]).next()?;
    let example = content.get("example").filter(|example| !example.is_string());
    Some(BodyView {
        media: media.to_owned(),
        kind: kind(&content["schema"]),
        example: example.and_then(|example| serde_json::to_string_pretty(example).ok()).unwrap_or_default(),
    })
}

fn response_view(status: &str, answer: &Value) -> ResponseView {
    let codes: Vec<CodeView> = entries(&answer["content"]["application/problem+json"]["examples"])
        .map(|(code, example)| CodeView { code: code.to_owned(), title: text(&example["summary"]) })
        .collect();
    ResponseView {
        status: status.to_owned(),
        description: if codes.is_empty() { text(&answer["description"]) } else { String::new() },
        body: if codes.is_empty() { body_view(answer) } else { None },
        codes,
    }
}

fn schema_view(name: &str, schema: &Value) -> SchemaView {
    let mut fields = Vec::new();
    fields_of(schema, &mut fields);
    SchemaView {
        name: name.to_owned(),
        description: text(&schema["description"]),
        kind: if fields.is_empty() { kind(schema) } else { Vec::new() },
        fields,
        values: list(&schema["enum"]).iter().map(text).collect(),
    }
}

fn fields_of(schema: &Value, fields: &mut Vec<FieldView>) {
    for part in list(&schema["allOf"]) {
        fields_of(part, fields);
    }
    for (name, field) in entries(&schema["properties"]) {
        fields.push(FieldView {
            name: name.to_owned(),
            place: String::new(),
            kind: kind(field),
            required: list(&schema["required"]).iter().any(|required| required == name),
            description: text(&field["description"]),
        });
    }
}

/// A type's name, such as `list of Board` or `string (uuid) or null`.
fn kind(schema: &Value) -> Vec<TypeName> {
    let plain = |text: &str| TypeName { text: text.to_owned(), schema: None };
    if let Some(reference) = schema["$ref"].as_str() {
        let name = reference.rsplit('/').next().unwrap_or_default().to_owned();
        return vec![TypeName { text: name.clone(), schema: Some(name) }];
    }
    for (several, word) in [("oneOf", " or "), ("anyOf", " or "), ("allOf", " and ")] {
        let mut kinds = Vec::new();
        for choice in list(&schema[several]) {
            if !kinds.is_empty() {
                kinds.push(plain(word));
            }
            kinds.extend(kind(choice));
        }
        if !kinds.is_empty() {
            return kinds;
        }
    }
    let types = match &schema["type"] {
        Value::Array(types) => types.iter().map(text).collect(),
        Value::String(one) => vec![one.clone()],
        _ => vec!["any value".to_owned()],
    };
    let mut kinds = Vec::new();
    for name in types {
        if !kinds.is_empty() {
            kinds.push(plain(" or "));
        }
        match (name.as_str(), schema["format"].as_str(), schema.get("const")) {
            ("array", ..) => {
                kinds.push(plain("list of "));
                kinds.extend(kind(&schema["items"]));
            }
            ("object", ..) if schema["additionalProperties"].is_object() => {
                kinds.push(plain("by name "));
                kinds.extend(kind(&schema["additionalProperties"]));
            }
            (_, _, Some(value)) => kinds.push(plain(&value.to_string())),
            ("string", Some(format), _) => kinds.push(plain(&format!("string ({format})"))),
            (name, ..) => kinds.push(plain(name)),
        }
    }
    kinds
}

fn entries(value: &Value) -> impl Iterator<Item = (&str, &Value)> {
    value.as_object().into_iter().flatten().map(|(name, value)| (name.as_str(), value))
}

fn list(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

fn paragraphs(text: &str) -> Vec<String> {
    text.split("\n\n").map(|part| part.replace('\n', " ")).filter(|part| !part.is_empty()).collect()
}
