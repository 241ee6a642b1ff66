//! What parameters and names may be, as far as a schema can say it.

use serde_json::{Value, json};

/// A name for people, as [`crate::api::http::Fields::name`] takes it: no spaces at either end, and nothing
/// that nobody sees.
const NAME: &str = concat!(
    r"^[^\s\u0000-\u001f\u007f-\u009f\u061c\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\ufeff]",
    r"([^\u0000-\u001f\u007f-\u009f\u061c\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\ufeff]*",
    r"[^\s\u0000-\u001f\u007f-\u009f\u061c\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\ufeff])?$"
);
/// A text of several lines.
const TEXT: &str = r"^[^\u0000-\u0008\u000b\u000c\u000e-\u001f\u007f-\u009f]*$";

/// Gives the fields of bodies that are names, or texts for people, the pattern that they are held to.
pub(super) fn names(schemas: &mut Value) {
    for (_, schema) in schemas.as_object_mut().into_iter().flatten() {
        // What takes no unknown field is a body that comes in.
        if schema["additionalProperties"] != false {
            continue;
        }
        for (name, field) in schema.get_mut("properties").and_then(Value::as_object_mut).into_iter().flatten() {
            if field["maxLength"].is_u64() && field["pattern"].is_null() {
                match name.as_str() {
                    "name" => field["pattern"] = json!(NAME),
                    "description" | "message" | "about" => field["pattern"] = json!(TEXT),
                    _ => {}
                }
            }
        }
    }
}

/// A parameter that may be left out is not `null`; headers have their forms.
pub(super) fn settle(operation: &mut Value) {
    for parameter in operation.get_mut("parameters").and_then(Value::as_array_mut).into_iter().flatten() {
        let name = parameter["name"].as_str().unwrap_or_default().to_owned();
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
        match name.as_str() {
            "Idempotency-Key" => *schema = json!({ "type": "string", "pattern": "^[!-~]{1,255}$" }),
            "If-Match" => *schema = json!({ "type": "string", "pattern": "^(\"[!#-~]{1,64}\"|[*])$" }),
            _ => {}
        }
    }
}
