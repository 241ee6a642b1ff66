//! The layers, held to by the sources: which crate may depend on which, and no circles between the modules of one.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
};

/// What a layer must not reach, with the reason. The rest is the compiler's to say.
const FORBIDDEN: [(&str, &[&str], &str); 7] = [
    (
        "control-plane/domain",
        &["axum", "tower-http", "utoipa", "utoipa-axum", "restroy-control-plane"],
        "the domain knows no HTTP: status codes, handlers and the API's document are the server's",
    ),
    (
        "control-plane/store",
        &["axum", "tower-http", "restroy-domain", "restroy-control-plane"],
        "the store knows neither rules nor HTTP",
    ),
    ("control-plane", &["sqlx"], "the server writes no SQL: statements stand in the store and the domain"),
    (
        "executor",
        &["sqlx", "restroy-store", "restroy-domain", "restroy-control-plane"],
        "an executor has no database (docs/adr/0002-executor-boundary.md)",
    ),
    ("sdk/model", &["axum", "reqwest", "restroy-sdk"], "what all share knows none of them"),
    ("sdk/document", &["axum", "reqwest", "tokio", "restroy-sdk"], "checking a document takes no network"),
    ("sdk", &["axum", "reqwest", "restroy-client", "restroy-run-queue"], "the public contract knows no service"),
];

/// The crates whose top modules form no circles, and the circles that are still to be undone. A new one fails, and so
/// does one that is gone and still listed.
const CRATES: [(&str, &[&[&str]]); 10] = [
    ("control-plane/store", &[]),
    ("control-plane/domain", &[]),
    ("control-plane", &[]),
    ("sdk/model", &[]),
    ("sdk/document", &[]),
    ("sdk/client", &[]),
    ("tenant-executor", &[]),
    ("run-queue", &[&["redis", "wake"]]),
    ("lua-wasm-host", &[&["engine", "host", "process", "sandbox", "wasi"]]),
    ("executor", &[&["capability", "client", "lease", "report", "run", "signals"]]),
];

fn workspace() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

#[test]
fn crates_depend_downwards() {
    for (folder, forbidden, why) in FORBIDDEN {
        let manifest = fs::read_to_string(workspace().join(folder).join("Cargo.toml")).unwrap();
        // Tests may use what they like.
        let manifest = manifest.split("[dev-dependencies]").next().unwrap_or_default();
        for name in forbidden {
            let depends = manifest.lines().any(|line| {
                line.strip_prefix(name).is_some_and(|rest| rest.starts_with('.') || rest.trim_start().starts_with('='))
            });
            assert!(!depends, "{folder}/Cargo.toml depends on `{name}`: {why}");
        }
    }
}

#[test]
fn modules_form_no_circles() {
    for (folder, known) in CRATES {
        let graph = modules(&workspace().join(folder).join("src"));
        assert!(graph.len() > 2, "{folder}: {graph:?}");
        let found: BTreeSet<Vec<String>> = circles(&graph);
        let known: BTreeSet<Vec<String>> =
            known.iter().map(|circle| circle.iter().map(|name| (*name).to_owned()).collect()).collect();
        for circle in &found {
            let edges: Vec<String> = circle
                .iter()
                .flat_map(|from| graph[from].iter().map(move |to| (from, to)))
                .filter(|(_, to)| circle.contains(to))
                .map(|(from, to)| format!("{from} -> {to}"))
                .collect();
            assert!(known.contains(circle), "{folder}: a circle of modules: {}", edges.join(", "));
        }
        for circle in &known {
            assert!(found.contains(circle), "{folder}: the circle {circle:?} is gone or smaller: say so in CRATES");
        }
    }
}

/// The top modules of a crate, and which of them each one names.
fn modules(source: &Path) -> BTreeMap<String, BTreeSet<String>> {
    let mut files = Vec::new();
    collect(source, &mut Vec::new(), &mut files);
    let names: BTreeSet<String> = files.iter().filter_map(|(module, _)| module.first().cloned()).collect();
    let mut graph: BTreeMap<String, BTreeSet<String>> =
        names.iter().map(|name| (name.clone(), BTreeSet::new())).collect();
    for (module, text) in &files {
        let Some(top) = module.first() else { continue };
        for path in paths(&code(text)) {
            let ups = path.iter().take_while(|part| *part == "super").count();
            let named = match path.first().map(String::as_str) {
                Some("crate") => path.get(1),
                Some("super") if ups >= module.len() => path.get(ups),
                _ => None,
            };
            if let Some(named) = named.filter(|named| *named != top && names.contains(*named)) {
                graph.entry(top.clone()).or_default().insert(named.clone());
            }
        }
    }
    graph
}

/// The files below a folder, with the modules that they are.
fn collect(folder: &Path, module: &mut Vec<String>, files: &mut Vec<(Vec<String>, String)>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_stem().unwrap().to_str().unwrap().to_owned();
        if path.is_dir() {
            module.push(name);
            collect(&path, module, files);
            module.pop();
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let mut module = module.clone();
            if !matches!(name.as_str(), "lib" | "main" | "mod") {
                module.push(name);
            }
            files.push((module, fs::read_to_string(&path).unwrap()));
        }
    }
}

/// A file without comments and without its tests.
fn code(text: &str) -> String {
    let text = text.split("#[cfg(test)]\nmod tests {").next().unwrap_or_default();
    text.lines().map(|line| line.split("//").next().unwrap_or_default()).collect::<Vec<_>>().join("\n")
}

/// The paths that a file names from its crate's root or from the module above: those of its `use` items, and others.
fn paths(code: &str) -> Vec<Vec<String>> {
    let mut found = Vec::new();
    for root in ["crate::", "super::"] {
        for (at, _) in code.match_indices(root) {
            let begins = code[..at].chars().next_back().is_none_or(|c| !(c.is_alphanumeric() || "_$:".contains(c)));
            if begins {
                expand(&code[at..], &[], &mut found);
            }
        }
    }
    found
}

/// The paths of a tree such as `crate::{a, b::{c, d}}`; gives what follows it.
fn expand<'a>(text: &'a str, before: &[String], found: &mut Vec<Vec<String>>) -> &'a str {
    let mut path = before.to_vec();
    let mut rest = text.trim_start();
    loop {
        let end = rest.find(|c: char| !(c.is_alphanumeric() || c == '_')).unwrap_or(rest.len());
        if end > 0 {
            path.push(rest[..end].to_owned());
        }
        rest = &rest[end..];
        let Some(next) = rest.strip_prefix("::") else { break };
        rest = next.trim_start();
        if let Some(mut list) = rest.strip_prefix('{') {
            loop {
                // Then a comma or the end, perhaps after a glob or the name that the thing is given.
                list = expand(list, &path, found);
                let Some(end) = list.find([',', '}']) else { return list };
                let (ends, after) = (list[end..].starts_with('}'), &list[end + 1..]);
                list = after.trim_start();
                if ends {
                    return after;
                }
                if let Some(after) = list.strip_prefix('}') {
                    return after;
                }
            }
        }
    }
    found.push(path);
    rest
}

/// The sets of modules that reach one another, each sorted.
fn circles(graph: &BTreeMap<String, BTreeSet<String>>) -> BTreeSet<Vec<String>> {
    let reach: BTreeMap<&String, BTreeSet<&String>> = graph.keys().map(|from| (from, reached(graph, from))).collect();
    let circle = |from: &String| -> Vec<String> {
        graph.keys().filter(|to| reach[from].contains(to) && reach[*to].contains(from)).cloned().collect()
    };
    graph.keys().map(circle).filter(|circle| circle.len() > 1).collect()
}

fn reached<'a>(graph: &'a BTreeMap<String, BTreeSet<String>>, from: &'a String) -> BTreeSet<&'a String> {
    let (mut reached, mut open) = (BTreeSet::new(), vec![from]);
    while let Some(next) = open.pop() {
        let Some((_, others)) = graph.get_key_value(next) else { continue };
        open.extend(others.iter().filter(|other| reached.insert(*other)));
    }
    reached
}

#[test]
fn the_check_finds_circles() {
    let mut found = Vec::new();
    let text = "crate::{\n    a,\n    b::{self, c as d, e::*},\n    f::G,\n};\nuse x";
    let rest = expand(text, &[], &mut found);
    let found: Vec<String> = found.iter().map(|path| path.join("::")).collect();
    assert_eq!(found, ["crate::a", "crate::b::self", "crate::b::c", "crate::b::e", "crate::f::G"]);
    assert_eq!(rest, ";\nuse x");
    let name = |text: &str| text.to_owned();
    let graph = BTreeMap::from([
        (name("a"), BTreeSet::from([name("b")])),
        (name("b"), BTreeSet::from([name("c")])),
        (name("c"), BTreeSet::from([name("a")])),
        (name("d"), BTreeSet::from([name("a")])),
    ]);
    assert_eq!(circles(&graph), BTreeSet::from([vec![name("a"), name("b"), name("c")]]));
}
