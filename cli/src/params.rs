//! A run's parameters from the command line, read as the pipeline's schema says.

use std::path::Path;

use serde_json::{Map, Value};

use crate::{
    failure::{Failure, Outcome},
    folder::{read_from, read_source, read_text, without_mark},
};

/// Puts `--param` values over those of `--params-file`.
pub(crate) fn collect(pairs: &[String], file: Option<&Path>, schema: Option<&Value>) -> Outcome<Map<String, Value>> {
    let mut params = match file {
        Some(file) => from_file(file)?,
        None => Map::new(),
    };
    for pair in pairs {
        let (name, text) = pair.split_once('=').filter(|(name, _)| !name.is_empty()).ok_or_else(|| {
            Failure::usage(format!("`{pair}` is not a parameter"))
                .help("write `--param name=value`, or `--param name=@file`")
        })?;
        let value = value(name, text, schema)?;
        params.insert(name.to_owned(), value);
    }
    Ok(params)
}

fn from_file(file: &Path) -> Outcome<Map<String, Value>> {
    let (text, name) = if file == Path::new("-") {
        let name = Path::new("standard input");
        (without_mark(read_from(std::io::stdin(), name)?), name)
    } else {
        (read_source(file)?, file)
    };
    let help = "write all parameters as one JSON object, such as {\"name\": \"value\"}";
    match serde_json::from_str(&text) {
        Ok(Value::Object(params)) => Ok(params),
        Ok(_) => Err(Failure::usage(format!("{} holds JSON that is not an object", name.display())).help(help)),
        Err(error) => Err(Failure::usage(format!("{} is not JSON: {error}", name.display())).help(help)),
    }
}

/// What `name=text` means: the schema decides whether it is text or JSON.
fn value(name: &str, text: &str, schema: Option<&Value>) -> Outcome<Value> {
    let from_file;
    let text = match text.strip_prefix('@') {
        // `@@x` is the text `@x`.
        Some(escaped) if escaped.starts_with('@') => escaped,
        Some(path) => {
            from_file = read_text(Path::new(path))?;
            &from_file
        }
        None => text,
    };
    let wanted = types(name, schema);
    let json = || serde_json::from_str::<Value>(text);
    if wanted.is_empty() {
        // Nothing is said: JSON if it is some, else text.
        return Ok(json().unwrap_or_else(|_| text.into()));
    }
    if wanted == ["string"] {
        return Ok(text.into());
    }
    match json() {
        // `5` is a number where numbers are taken, and text where only text is.
        Ok(value) if wanted.iter().any(|kind| is_of_type(&value, kind)) => Ok(value),
        _ if wanted.contains(&"string") => Ok(text.into()),
        Ok(value) => Ok(value),
        Err(error) => Err(Failure::usage(format!(
            "the parameter `{name}` is {}, and the value is not JSON: {error}",
            wanted.join(" or ")
        ))),
    }
}

/// The types that the schema takes for a parameter; none when it does not say.
fn types<'a>(name: &str, schema: Option<&'a Value>) -> Vec<&'a str> {
    let Some(property) = schema.and_then(|schema| schema.get("properties")?.get(name)) else { return Vec::new() };
    match property.get("type") {
        Some(Value::String(kind)) => vec![kind],
        Some(Value::Array(kinds)) => kinds.iter().filter_map(Value::as_str).collect(),
        // An enumeration of texts is text.
        _ => match property.get("enum") {
            Some(Value::Array(values)) if values.iter().all(Value::is_string) => vec!["string"],
            _ => Vec::new(),
        },
    }
}

fn is_of_type(value: &Value, kind: &str) -> bool {
    match kind {
        "null" => value.is_null(),
        "boolean" => value.is_boolean(),
        "integer" => value.is_i64() || value.is_u64(),
        "number" => value.is_number(),
        "string" => value.is_string(),
        "array" => value.is_array(),
        "object" => value.is_object(),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn one(pair: &str) -> Outcome<Value> {
        let schema = json!({"type": "object", "properties": {
            "text": {"type": "string"}, "count": {"type": "integer"}, "both": {"type": ["string", "integer"]},
            "list": {"type": "array"}, "colour": {"enum": ["1", "2"]}, "any": {}
        }});
        let params = collect(&[pair.to_owned()], None, Some(&schema))?;
        Ok(params.into_iter().next().unwrap().1)
    }

    #[test]
    fn the_schema_decides_between_text_and_json() {
        for (pair, value) in [
            ("text=5", json!("5")),
            ("text=a=b", json!("a=b")),
            ("text=", json!("")),
            ("text=\"x\"", json!("\"x\"")),
            ("count=5", json!(5)),
            ("both=5", json!(5)),
            ("both=five", json!("five")),
            ("both=[1]", json!("[1]")),
            ("list=[1, \"a\"]", json!([1, "a"])),
            ("colour=1", json!("1")),
            ("any=true", json!(true)),
            ("any=truth", json!("truth")),
            ("unknown=2.5", json!(2.5)),
            ("text=@@home", json!("@home")),
        ] {
            assert_eq!(one(pair).unwrap(), value, "{pair}");
        }
        // What is JSON of another type is for the server to refuse, with the whole schema at hand.
        assert_eq!(one("count=2.5").unwrap(), json!(2.5));
        for pair in ["count=five", "nothing", "=x", "text=@/no/such/file"] {
            assert!(one(pair).is_err(), "{pair}");
        }
    }

    #[test]
    fn values_come_from_files_too() {
        let folder = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| {
            let path = folder.path().join(name);
            std::fs::write(&path, text).unwrap();
            path
        };
        let csv = write("a.csv", "1,2\n");
        assert_eq!(one(&format!("text=@{}", csv.display())).unwrap(), json!("1,2\n"));
        let list = write("list.json", "[1,\n2]\n");
        assert_eq!(one(&format!("list=@{}", list.display())).unwrap(), json!([1, 2]));
        let all = write("all.json", r#"{"text": "from the file", "count": 1}"#);
        let params = collect(&["count=2".into()], Some(&all), None).unwrap();
        assert_eq!(Value::Object(params), json!({"text": "from the file", "count": 2}));
        assert!(collect(&[], Some(&list), None).is_err());
    }
}
