//! A step by itself.

use std::collections::{BTreeMap, BTreeSet};

use super::{files, is_key, is_name, step_pointer};
use restroy_model::{origin::Origin, problem::FieldError};

use crate::{Document, DurationText, Step, StepKind, pointer, suggest};

const MAX_EXPRESSION: usize = 4096;
const MAX_CONFIG: usize = 100;
const MAX_CONFIG_BYTES: usize = 48 * 1024;
const MAX_SECRETS: usize = 50;
const MAX_ORIGINS: usize = 50;
const MAX_TIMEOUT: DurationText = DurationText::from_millis(15 * 60_000);
/// Less than a run may last in all.
const MAX_SLEEP: DurationText = DurationText::from_millis(365 * 86_400_000);
const MAX_PAUSE: DurationText = DurationText::from_millis(3_600_000);

pub(super) fn check(
    document: &Document,
    name: &str,
    step: &Step,
    files: &BTreeMap<String, String>,
    faults: &mut Vec<FieldError>,
) {
    let at = step_pointer(name);
    if !is_name(name) {
        let detail = format!(
            "`{name}` is not a step's name: a letter or `_` first, then letters, digits, `_` and `-`, \
             at most 64 together"
        );
        faults.push(FieldError::new(&at, detail));
    }
    let mut fault = |field: &str, detail: String| faults.push(FieldError::new(pointer::member(&at, field), detail));

    for (field, text) in step.expressions() {
        if text.trim().is_empty() {
            fault(field, "the expression is empty; write a Lua expression or leave the field out".into());
        } else if text.len() > MAX_EXPRESSION {
            fault(field, format!("the expression has {} bytes; at most {MAX_EXPRESSION}", text.len()));
        }
    }
    if let Some(count) = step.max_parallel {
        if !(1..=50).contains(&count) {
            fault("max_parallel", format!("{count} must be between 1 and 50"));
        }
        if step.for_each.is_none() {
            fault("max_parallel", "only allowed with `for_each`".into());
        }
    }
    if let Some(timeout) = step.timeout
        && (timeout.millis() == 0 || timeout > MAX_TIMEOUT)
    {
        fault("timeout", format!("`{timeout}` must be between 1ms and {MAX_TIMEOUT}"));
    }
    if let Some(schema) = &step.inputs_schema {
        inputs_schema(&pointer::member(&at, "inputs_schema"), schema, faults);
    }
    kind(&at, step, files, faults);
    needs(&at, document, name, step, faults);
    retry(&at, step, faults);
    configuration(&at, step, faults);
    origins(&at, step, faults);
}

fn inputs_schema(at: &str, schema: &serde_json::Value, faults: &mut Vec<FieldError>) {
    match schema {
        serde_json::Value::Object(schema) => {
            if schema.get("type").is_some_and(|kind| kind != "object") {
                let detail = "a script's inputs are an object, with a member for each step that it needs; write \
                              `type: object`";
                faults.push(FieldError::new(pointer::member(at, "type"), detail));
            }
        }
        _ => faults.push(FieldError::new(at, "expected a JSON Schema: a mapping")),
    }
}

/// What the step does can be done.
fn kind(at: &str, step: &Step, files: &BTreeMap<String, String>, faults: &mut Vec<FieldError>) {
    match &step.kind {
        StepKind::Script(path) => script(&pointer::member(at, "script"), path, files, faults),
        StepKind::Sleep(duration) if duration.millis() == 0 || *duration > MAX_SLEEP => {
            let detail = format!("`{duration}` must be between 1ms and {MAX_SLEEP}");
            faults.push(FieldError::new(pointer::member(at, "sleep"), detail));
        }
        StepKind::Sleep(_) => {}
    }
}

/// The script is among the files.
fn script(at: &str, path: &str, files: &BTreeMap<String, String>, faults: &mut Vec<FieldError>) {
    if let Some(reason) = files::path_error(path) {
        faults.push(FieldError::new(at, format!("`{path}` {reason}")));
    } else if !files.contains_key(path) {
        let known = || files.keys().map(String::as_str);
        let hint = match suggest::hint(path, known()) {
            hint if hint.is_empty() && files.is_empty() => "; no files came with the document".to_owned(),
            hint if hint.is_empty() => format!("; the files are {}", suggest::list(known())),
            hint => hint,
        };
        faults.push(FieldError::new(at, format!("no file `{path}`{hint}")));
    }
}

fn needs(at: &str, document: &Document, name: &str, step: &Step, faults: &mut Vec<FieldError>) {
    let list = pointer::member(at, "needs");
    let mut seen = BTreeSet::new();
    for (index, needed) in step.needs.iter().enumerate() {
        let detail = if !seen.insert(needed) {
            format!("`{needed}` is named twice")
        } else if needed == name {
            "a step cannot need itself".to_owned()
        } else if document.steps.contains_key(needed) {
            continue;
        } else {
            let known = || document.steps.keys().map(String::as_str).filter(|other| *other != name);
            let hint = suggest::hint(needed, known());
            if hint.is_empty() && known().next().is_some() {
                format!("unknown step `{needed}`; the others are {}", suggest::list(known()))
            } else {
                format!("unknown step `{needed}`{hint}")
            }
        };
        faults.push(FieldError::new(pointer::element(&list, index), detail));
    }
}

fn retry(at: &str, step: &Step, faults: &mut Vec<FieldError>) {
    let Some(retry) = &step.retry else { return };
    let at = pointer::member(at, "retry");
    let mut fault = |field: &str, detail: String| faults.push(FieldError::new(pointer::member(&at, field), detail));
    if !(1..=10).contains(&retry.max_attempts) {
        fault("max_attempts", format!("{} must be between 1 and 10", retry.max_attempts));
    }
    if retry.initial > MAX_PAUSE {
        fault("initial", format!("`{}` is longer than {MAX_PAUSE}", retry.initial));
    }
    if retry.max > MAX_PAUSE {
        fault("max", format!("`{}` is longer than {MAX_PAUSE}", retry.max));
    }
    if retry.max < retry.initial {
        fault("max", format!("`{}` is shorter than the first pause, `{}`", retry.max, retry.initial));
    }
}

fn configuration(at: &str, step: &Step, faults: &mut Vec<FieldError>) {
    let is_not_key = |key: &str| {
        format!("`{key}` is not a key: a letter or `_` first, then letters, digits and `_`, at most 64 together")
    };
    let config = pointer::member(at, "config");
    if step.config.len() > MAX_CONFIG {
        faults.push(FieldError::new(&config, format!("{} keys; at most {MAX_CONFIG}", step.config.len())));
    }
    for (key, value) in &step.config {
        if !is_key(key) {
            faults.push(FieldError::new(pointer::member(&config, key), is_not_key(key)));
        }
        if value.len() > MAX_CONFIG_BYTES {
            let detail = format!("the value has {} bytes; at most {MAX_CONFIG_BYTES}", value.len());
            faults.push(FieldError::new(pointer::member(&config, key), detail));
        }
    }
    let secrets = pointer::member(at, "secrets");
    if step.secrets.len() > MAX_SECRETS {
        faults.push(FieldError::new(&secrets, format!("{} secrets; at most {MAX_SECRETS}", step.secrets.len())));
    }
    let mut seen = BTreeSet::new();
    for (index, secret) in step.secrets.iter().enumerate() {
        let detail = if !is_key(secret) {
            is_not_key(secret)
        } else if !seen.insert(secret) {
            format!("`{secret}` is named twice")
        } else if step.config.contains_key(secret) {
            format!("`{secret}` is also a key of `config`; a key is either plain or a secret")
        } else {
            continue;
        };
        faults.push(FieldError::new(pointer::element(&secrets, index), detail));
    }
}

fn origins(at: &str, step: &Step, faults: &mut Vec<FieldError>) {
    let list = pointer::member(&pointer::member(at, "allow"), "http");
    if step.allow.http.len() > MAX_ORIGINS {
        faults.push(FieldError::new(&list, format!("{} origins; at most {MAX_ORIGINS}", step.allow.http.len())));
    }
    for (index, text) in step.allow.http.iter().enumerate() {
        if let Err(error) = Origin::declared(text) {
            let reason = error.reason();
            let detail = format!("`{text}` is not an origin such as `https://api.example.com`: {reason}");
            faults.push(FieldError::new(pointer::element(&list, index), detail));
        }
    }
}
