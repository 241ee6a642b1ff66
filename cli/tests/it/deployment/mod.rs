//! `docker-compose.yml`, `Dockerfile` and what `restroy init` makes for them: what they promise is read
//! out of them, so that no change takes it away unseen.

mod certificates;
mod containers;
mod image;
mod init;
mod reach;
mod reference;
mod secrets;

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::Path,
    process::{Command, Output},
};

/// The services of ours that are active, and those that end.
const CONTROL_PLANES: [&str; 2] = ["control-plane-1", "control-plane-2"];
const EXECUTORS: [&str; 2] = ["executor-1", "executor-2"];
const ONE_SHOTS: [&str; 2] = ["migrate", "register-executors"];

fn own(name: &str) -> bool {
    CONTROL_PLANES.iter().chain(&EXECUTORS).chain(&ONE_SHOTS).any(|own| *own == name)
}

fn set(items: &[&str]) -> BTreeSet<String> {
    items.iter().map(ToString::to_string).collect()
}

/// Seconds of `20s` or `500ms`.
fn seconds(text: &str) -> u64 {
    match text.strip_suffix("ms") {
        Some(millis) => millis.parse::<u64>().unwrap() / 1_000,
        None => text.strip_suffix('s').unwrap().parse().unwrap(),
    }
}

fn refused(command: &mut Command) -> String {
    let Output { status, stdout, stderr } = command.output().unwrap();
    assert!(!status.success(), "{command:?}: {}", String::from_utf8_lossy(&stdout));
    String::from_utf8(stderr).unwrap()
}

/// Every file below a folder, by its path within it.
fn contents(folder: &Path) -> BTreeMap<String, String> {
    let mut found = BTreeMap::new();
    for entry in fs::read_dir(folder).unwrap().map(Result::unwrap) {
        let name = entry.file_name().into_string().unwrap();
        if entry.file_type().unwrap().is_dir() {
            let inner = contents(&entry.path());
            found.extend(inner.into_iter().map(|(inner, text)| (format!("{name}/{inner}"), text)));
        } else {
            found.insert(name, fs::read_to_string(entry.path()).unwrap());
        }
    }
    found
}
