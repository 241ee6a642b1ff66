//! An example of every body, made of its schema: of the values that stand with the names below, and of
//! plain ones of the right type elsewhere. A test holds each against its schema.

use serde_json::{Map, Value, json};

/// How deep a schema may lie in others.
const DEEPEST: usize = 12;

/// Adds an example to each body of an operation that has none.
pub(super) fn add(operation: &mut Value, schemas: &Value) {
    let mut bodies: Vec<&mut Value> = Vec::new();
    if let Some(operation) = operation.as_object_mut() {
        for (name, part) in operation {
            match name.as_str() {
                "requestBody" => bodies.push(part),
                "responses" => bodies.extend(part.as_object_mut().into_iter().flat_map(Map::values_mut)),
                _ => {}
            }
        }
    }
    for body in bodies {
        let Some(media) = body.pointer_mut("/content/application~1json") else { continue };
        if media.get("example").is_none() && media.get("examples").is_none() {
            let example = example_for(&media["schema"], "", schemas, DEEPEST);
            media["example"] = example;
        }
    }
}

/// An example for a schema that stands where the name is.
fn example_for(schema: &Value, name: &str, schemas: &Value, depth: usize) -> Value {
    let Some(depth) = depth.checked_sub(1) else { return Value::Null };
    if let Some(reference) = schema["$ref"].as_str() {
        let component = reference.rsplit('/').next().unwrap_or_default();
        return component_example(component).unwrap_or_else(|| example_for(&schemas[component], name, schemas, depth));
    }
    for given in ["const", "example", "default"] {
        if let Some(value) = schema.get(given).filter(|value| !value.is_null()) {
            return value.clone();
        }
    }
    if let Some(first) = schema["examples"].get(0).or_else(|| schema["enum"].get(0)) {
        return first.clone();
    }
    for several in ["oneOf", "anyOf"] {
        let choices = schema[several].as_array().into_iter().flatten();
        if let Some(first) = choices.into_iter().find(|choice| choice["type"] != "null") {
            return example_for(first, name, schemas, depth);
        }
    }
    if let Some(parts) = schema["allOf"].as_array() {
        let mut all = Map::new();
        for part in parts {
            if let Value::Object(fields) = example_for(part, name, schemas, depth) {
                all.extend(fields);
            }
        }
        return Value::Object(all);
    }
    let kind = match &schema["type"] {
        Value::Array(kinds) => kinds.iter().filter_map(Value::as_str).find(|kind| *kind != "null"),
        kind => kind.as_str(),
    };
    match kind {
        Some("object") => object(schema, name, schemas, depth),
        Some("array") => json!([example_for(&schema["items"], name, schemas, depth)]),
        Some("string") => string(schema, name),
        Some("integer") => named(name)
            .filter(Value::is_i64)
            .unwrap_or_else(|| schema["minimum"].as_i64().filter(|least| *least > 0).unwrap_or(1).into()),
        Some("number") => json!(0.5),
        Some("boolean") => json!(matches!(name, "published" | "publish" | "ok" | "current" | "email_verified")),
        // Any value will do.
        _ => named(name).unwrap_or_else(|| json!({})),
    }
}

fn object(schema: &Value, name: &str, schemas: &Value, depth: usize) -> Value {
    if let Some(fields) = schema["properties"].as_object() {
        // What may be left out is: `error` beside `output` would be no example of anything.
        let required =
            |field: &str| schema["required"].as_array().is_some_and(|all| all.iter().any(|name| name == field));
        let shown = fields.iter().filter(|(field, _)| required(field) || named(field).is_some());
        return shown.map(|(field, schema)| (field.clone(), example_for(schema, field, schemas, depth))).collect();
    }
    named(name).filter(Value::is_object).unwrap_or_else(|| json!({}))
}

fn string(schema: &Value, name: &str) -> Value {
    match schema["format"].as_str() {
        Some("uuid") => json!("0197a4e0-5b0e-7c52-b2f4-6d3c9f0a8e21"),
        Some("date-time") => json!("2026-01-31T08:00:00Z"),
        Some("binary") => json!(""),
        _ => named(name).filter(Value::is_string).unwrap_or_else(|| json!("text")),
    }
}

/// The examples of those components that their fields do not tell.
fn component_example(component: &str) -> Option<Value> {
    Some(match component {
        "Document" => json!({
            "restroy": 1,
            "name": "Newsletter",
            "steps": {
                "fetch": { "script": "scripts/fetch.lua", "allow": { "http": ["https://crm.example.com"] } },
                "report": { "script": "scripts/report.lua", "needs": ["fetch"], "when": "always" },
            },
        }),
        "EventKind" => json!({ "type": "run.started" }),
        "FieldError" => {
            json!({ "pointer": "/files/scripts~1fetch.lua", "detail": "'=' expected near 'x'", "line": 3, "column": 9 })
        }
        _ => return None,
    })
}

/// What stands with a name, whatever body it is in.
fn named(name: &str) -> Option<Value> {
    Some(match name {
        "email" | "from" | "reply_to" => json!("ann@example.com"),
        "to" => json!("bob@example.com"),
        "password" | "new_password" => json!("correct horse battery"),
        "name" | "pipeline_name" => json!("Newsletter"),
        "description" => json!("What goes out every Monday"),
        "message" => json!("Send it on Mondays"),
        "subject" => json!("This week"),
        "text" => json!("Hello!\n"),
        "role" => json!("editor"),
        "key" => json!("API_URL"),
        "value" => json!("https://crm.example.com"),
        "params" => json!({ "issue": "7" }),
        "files" => json!({
            "scripts/fetch.lua": "return http.get(\"https://crm.example.com/subscribers\").body\n",
            "scripts/report.lua": "print(#inputs.fetch)\n",
        }),
        "path" => json!("/v1/runs/0197a4e0-5b0e-7c52-b2f4-6d3c9f0a8e21/stream"),
        "script" => json!("scripts/fetch.lua"),
        "source" => json!("return 1\n"),
        "step" => json!("fetch"),
        "sha256" => json!("9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"),
        "access_token" => json!("eyJhbGciOiJIUzI1NiIsInR5cCI6ImF0K2p3dCJ9.eyJzdWIiOiIwMTk3In0.c2lnbmF0dXJl"),
        "refresh_token" | "token" | "ticket" => json!("AZek4FsOfFKy9G08nwqOIQ"),
        "token_type" => json!("Bearer"),
        "expires_in" => json!(900),
        "publish" => json!(true),
        _ => return None,
    })
}
