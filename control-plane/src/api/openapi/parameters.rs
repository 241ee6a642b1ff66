//! What parameters and the fields of bodies may be, as far as a schema can say it.

use serde_json::{Value, json};

use crate::{
    api::{
        audit::MAX_TEXT,
        http::rule::{FieldRule as _, TextRule},
        rules,
    },
    runs::limits::MAX_KV_KEY,
};

/// A text that both databases take.
const NO_NUL: &str = r"^[^\u0000]*$";

/// Says of the fields of bodies what they are held to.
pub(super) fn fields(schemas: &mut Value) {
    for (body, field, rule) in rules::schemas() {
        let Some(Value::Object(property)) = schemas[body]["properties"].get_mut(field) else { continue };
        let Value::Object(rule) = rule else { continue };
        property.extend(rule);
    }
}

/// A parameter that may be left out is not `null`; headers and keys have their forms.
pub(super) fn describe_parameters(path: &str, operation: &mut Value) {
    for parameter in operation.get_mut("parameters").and_then(Value::as_array_mut).into_iter().flatten() {
        let name = parameter["name"].as_str().unwrap_or_default().to_owned();
        let in_query = parameter["in"] == "query";
        let Some(schema) = parameter.get_mut("schema") else { continue };
        if let Some(types) = schema.get_mut("type").and_then(Value::as_array_mut) {
            types.retain(|kind| kind != "null");
            if let [one] = types.as_slice() {
                schema["type"] = one.clone();
            }
        }
        if let Some(choices) = schema.get_mut("oneOf").and_then(Value::as_array_mut) {
            choices.retain(|choice| choice["type"] != "null");
            if let [one] = choices.as_slice() {
                *schema = one.clone();
            }
        }
        let form = match name.as_str() {
            "Idempotency-Key" => json!({ "pattern": "^[!-~]{1,255}$" }),
            "If-Match" => json!({ "pattern": "^(\"[!#-~]{1,64}\"|[*])$" }),
            "key" if path.contains("/configuration/") => TextRule::Key.schema(),
            "key" => json!({ "minLength": 1, "maxLength": MAX_KV_KEY, "pattern": NO_NUL }),
            "name" if in_query => json!({ "pattern": NO_NUL }),
            "prefix" => json!({ "maxLength": MAX_KV_KEY, "pattern": NO_NUL }),
            "action" | "subject" => json!({ "maxLength": MAX_TEXT, "pattern": NO_NUL }),
            _ => continue,
        };
        if let (Value::Object(schema), Value::Object(form)) = (schema, form) {
            schema.insert("type".into(), json!("string"));
            schema.extend(form);
        }
    }
}
