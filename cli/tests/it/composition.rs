//! `docker-compose.yml` as data, and the folder that `restroy init` makes for it.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
    process::{Command, Output},
};

use serde_json::Value;
use tempfile::TempDir;

use crate::process::restroy;

pub fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

pub fn file(name: &str) -> String {
    fs::read_to_string(root().join(name)).unwrap()
}

/// The composition, with anchors and merges resolved.
pub fn compose() -> Value {
    serde_saphyr::from_str(&file("docker-compose.yml")).unwrap()
}

pub fn services(compose: &Value) -> BTreeMap<&str, &Value> {
    compose["services"].as_object().unwrap().iter().map(|(name, service)| (name.as_str(), service)).collect()
}

/// The items of a list, or the keys of a mapping: both may stand for names.
pub fn names(value: &Value) -> BTreeSet<String> {
    match value {
        Value::Array(items) => items.iter().map(|item| item.as_str().unwrap().to_owned()).collect(),
        Value::Object(map) => map.keys().cloned().collect(),
        Value::Null => BTreeSet::new(),
        other => panic!("neither a list nor a mapping: {other}"),
    }
}

pub fn environment(service: &Value) -> BTreeMap<String, String> {
    let text = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    let map = service["environment"].as_object();
    map.into_iter().flatten().map(|(key, value)| (key.clone(), text(value))).collect()
}

/// A folder that `restroy init` was run in, and what it printed.
pub struct Made {
    pub folder: TempDir,
    pub told: String,
}

pub fn init(arguments: &[&str]) -> Made {
    let folder = tempfile::tempdir().unwrap();
    let told = succeed(&mut init_in(folder.path(), arguments));
    Made { folder, told }
}

pub fn init_in(folder: &Path, arguments: &[&str]) -> Command {
    let mut command = restroy();
    command.arg("init").arg("--dir").arg(folder).args(arguments);
    command
}

pub fn succeed(command: &mut Command) -> String {
    let Output { status, stdout, stderr } = command.output().unwrap();
    assert!(status.success(), "{command:?}: {}", String::from_utf8_lossy(&stderr));
    String::from_utf8(stdout).unwrap()
}

/// The variables of an environment file.
pub fn interpolated(env: &Path) -> BTreeMap<String, String> {
    let text = fs::read_to_string(env).unwrap();
    let lines = text.lines().filter(|line| !line.is_empty() && !line.starts_with('#'));
    lines.map(|line| line.split_once('=').unwrap()).map(|(key, value)| (key.to_owned(), value.to_owned())).collect()
}

/// The `${…}` in a text, as (name, what follows it).
pub fn references(text: &str) -> Vec<(String, String)> {
    let ends = |c: char| !c.is_ascii_alphanumeric() && c != '_';
    let inner = text.split("${").skip(1).map(|rest| rest.split('}').next().unwrap());
    inner
        .map(|inner| inner.split_at(inner.find(ends).unwrap_or(inner.len())))
        .map(|(a, b)| (a.into(), b.into()))
        .collect()
}

pub fn interpolate(text: &str, variables: &BTreeMap<String, String>) -> String {
    references(text).into_iter().fold(text.to_owned(), |text, (name, rest)| {
        let default = rest.strip_prefix(":-").map(str::to_owned);
        let value = variables.get(&name).cloned().or(default).unwrap_or_else(|| panic!("{name} is not set"));
        text.replace(&format!("${{{name}{rest}}}"), &value)
    })
}
