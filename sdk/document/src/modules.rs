//! What scripts load with `require`: the pipeline's other files, and the modules of the team's library
//! that the document pins. A module that is not there, and a circle of modules, is found here, before a
//! run finds it.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    fmt::Write as _,
};

use super::{
    Document, pointer,
    read::MAX_FAULTS,
    requires::{Require, requires},
    suggest,
};
use restroy_model::problem::FieldError;

/// What a library module's name begins with where it is asked for.
const LIBRARY: &str = "lib.";
/// What answers to its name without being a file.
const BUILT_IN: [&str; 20] = [
    "base64",
    "coroutine",
    "crypto",
    "debug",
    "email",
    "files",
    "http",
    "io",
    "json",
    "kv",
    "log",
    "math",
    "os",
    "secrets",
    "string",
    "table",
    "time",
    "url",
    "utf8",
    "uuid",
];
/// Circles are looked for this deep. No honest program is nested so.
const MAX_DEPTH: usize = 200;
/// How many `require`s are followed, each as often as a step's script leads to it.
const MAX_FOLLOWED: usize = 500_000;
/// How much of a name is reported, in characters.
const SHOWN: usize = 100;

/// What the steps' scripts ask for among the pipeline's files, and which modules they ask for that the
/// document does not pin.
pub(super) fn check(document: &Document, files: &BTreeMap<String, String>, faults: &mut Vec<FieldError>) {
    clashes(document, files, faults);
    let asked: BTreeMap<&str, Vec<Require>> =
        files.iter().map(|(path, source)| (path.as_str(), requires(source))).collect();
    let scripts: BTreeSet<&str> = document.steps.values().filter_map(|step| step.kind.script()).collect();
    let mut told = BTreeSet::new();
    let mut left = MAX_FOLLOWED;
    for entry in scripts.into_iter().filter(|script| files.contains_key(*script)) {
        let names = ModuleNames::of(files.keys().map(String::as_str).filter(|path| *path != entry));
        let mut walk = ModuleWalk {
            document,
            entry,
            names,
            asked: &asked,
            done: BTreeSet::new(),
            told,
            left,
            faults: &mut *faults,
        };
        walk.file(entry, &mut vec![entry]);
        (told, left) = (walk.told, walk.left);
        if left == 0 {
            let detail = format!("the files load each other more than {MAX_FOLLOWED} times; load each once in a file");
            faults.push(FieldError::new("/files", detail));
        }
        if left == 0 || faults.len() >= MAX_FAULTS {
            return;
        }
    }
}

/// What the pinned modules ask for in turn; `library` has their sources by name. A module knows the
/// library and what is built in, not the files of whoever loads it.
pub fn check_library(document: &Document, library: &BTreeMap<String, String>) -> Vec<FieldError> {
    let asked: BTreeMap<&str, Vec<Require>> =
        library.iter().map(|(name, source)| (name.as_str(), requires(source))).collect();
    let mut faults = Vec::new();
    let mut done = BTreeSet::new();
    for name in library.keys() {
        module(document, &asked, name, &mut vec![name], &mut done, &mut faults);
    }
    faults
}

/// What a library module asks for that is neither built in nor of the form `lib.NAME`.
pub fn foreign_requires(source: &str) -> Vec<FieldError> {
    let foreign = requires(source).into_iter().filter(|require| {
        let name = require.name.as_str();
        !BUILT_IN.contains(&name) && !name.strip_prefix(LIBRARY).is_some_and(super::is_module_name)
    });
    foreign
        .take(MAX_FAULTS)
        .map(|require| {
            let detail = format!(
                "`{}` is not a module of the library: a library module loads others as `lib.NAME`, and knows no files \
                of \
                 pipelines",
                shortened(&require.name)
            );
            FieldError { line: Some(require.line), column: Some(require.column), ..FieldError::new("/source", detail) }
        })
        .collect()
}

/// A file must not answer to the name of a pinned module: nobody could tell which one is meant.
fn clashes(document: &Document, files: &BTreeMap<String, String>, faults: &mut Vec<FieldError>) {
    if document.library.is_empty() {
        return;
    }
    let names = ModuleNames::of(files.keys().map(String::as_str));
    for name in document.library.keys() {
        if let Some(path) = names.find(&format!("{LIBRARY}{name}")) {
            let detail =
                format!("the file `{path}` answers to `lib.{name}` too; rename the file or leave the module out");
            faults.push(FieldError::new(pointer::member("/library", name), detail));
        }
    }
}

/// What files answer to, as the sandbox's `require` has it: to their path, with and without `.lua`,
/// with dots for slashes, and without their first folder; the first in order wins.
struct ModuleNames<'a>(HashMap<String, &'a str>);

impl<'a> ModuleNames<'a> {
    fn of(paths: impl Iterator<Item = &'a str>) -> Self {
        let paths: Vec<&str> = paths.collect();
        let mut names = HashMap::new();
        let bare = |path: &'a str| path.strip_suffix(".lua").unwrap_or(path);
        for path in &paths {
            for name in [(*path).to_owned(), bare(path).to_owned(), bare(path).replace('/', ".")] {
                names.entry(name).or_insert(*path);
            }
        }
        for path in &paths {
            if let Some((first, inner)) = bare(path).split_once('/')
                && !first.is_empty()
                && !inner.is_empty()
            {
                names.entry(inner.to_owned()).or_insert(*path);
                names.entry(inner.replace('/', ".")).or_insert(*path);
            }
        }
        Self(names)
    }

    fn find(&self, name: &str) -> Option<&'a str> {
        self.0.get(name).copied()
    }
}

/// The way through the files from a step's script on.
struct ModuleWalk<'a, 'f> {
    document: &'a Document,
    entry: &'a str,
    names: ModuleNames<'a>,
    asked: &'a BTreeMap<&'a str, Vec<Require>>,
    /// What was looked at.
    done: BTreeSet<&'a str>,
    /// The places of which an error was reported, whichever script led there.
    told: BTreeSet<(&'a str, u32, u32)>,
    /// How many more are followed.
    left: usize,
    faults: &'f mut Vec<FieldError>,
}

impl<'a> ModuleWalk<'a, '_> {
    /// Looks at a file and all that it loads; `open` is the way here.
    fn file(&mut self, path: &'a str, open: &mut Vec<&'a str>) {
        let asked = self.asked;
        for require in asked.get(path).into_iter().flatten() {
            if self.left == 0 || self.faults.len() >= MAX_FAULTS {
                return;
            }
            self.left -= 1;
            let detail = match self.names.find(&require.name) {
                Some(next) if open.contains(&next) => cycle_message(open, next),
                Some(_) if open.len() >= MAX_DEPTH => format!("modules load modules more than {MAX_DEPTH} deep"),
                Some(next) => {
                    if self.done.insert(next) {
                        open.push(next);
                        self.file(next, open);
                        open.pop();
                    }
                    continue;
                }
                None if self.is_known(&require.name) => continue,
                None => self.missing(&require.name),
            };
            if self.told.insert((path, require.line, require.column)) {
                let (line, column) = (Some(require.line), Some(require.column));
                self.faults.push(FieldError { line, column, ..FieldError::new(pointer::file(path), detail) });
            }
        }
    }

    fn is_known(&self, name: &str) -> bool {
        let pinned = name.strip_prefix(LIBRARY).is_some_and(|module| self.document.library.contains_key(module));
        pinned || BUILT_IN.contains(&name)
    }

    fn missing(&self, name: &str) -> String {
        if ModuleNames::of([self.entry].into_iter()).find(name).is_some() {
            return format!(
                "`{name}` is the script `{}` that the step runs, not a module; move what both need into a file of its \
                own",
                self.entry
            );
        }
        if let Some(module) = name.strip_prefix(LIBRARY).filter(|module| super::is_module_name(module)) {
            return format!(
                "no file answers to `{name}`, and the document pins no module `{module}` of the library; pin it with \
                 `library: {{ {module}: 1 }}`"
            );
        }
        let mut known: Vec<&str> = self.names.0.keys().map(String::as_str).collect();
        known.sort_unstable();
        let hint = suggest::hint(name, known.into_iter().chain(BUILT_IN));
        format!("no module `{}`{hint}", shortened(name))
    }
}

/// Looks at a library module and all that it loads.
fn module<'a>(
    document: &Document,
    asked: &BTreeMap<&'a str, Vec<Require>>,
    name: &'a str,
    open: &mut Vec<&'a str>,
    done: &mut BTreeSet<&'a str>,
    faults: &mut Vec<FieldError>,
) {
    if !done.insert(name) {
        return;
    }
    let version = document.library.get(name).copied().unwrap_or_default();
    for require in asked.get(name).into_iter().flatten() {
        let mut fault = |detail: String| {
            let detail = format!("in line {} of version {version}: {detail}", require.line);
            faults.push(FieldError::new(pointer::member("/library", name), detail));
        };
        if BUILT_IN.contains(&require.name.as_str()) {
            continue;
        }
        let Some(wanted) = require.name.strip_prefix(LIBRARY) else {
            fault(format!("`{}` is not a module of the library", shortened(&require.name)));
            continue;
        };
        match asked.get_key_value(wanted) {
            Some((next, _)) if open.contains(next) => fault(cycle_message(open, next)),
            Some((next, _)) => {
                open.push(next);
                module(document, asked, next, open, done, faults);
                open.pop();
            }
            None if document.library.contains_key(wanted) => {}
            None => {
                let wanted = shortened(wanted);
                fault(format!("it loads `lib.{wanted}`, which the document does not pin; add it to `library`"));
            }
        }
    }
}

/// A name, or the beginning of a long one.
fn shortened(name: &str) -> String {
    if name.chars().count() <= SHOWN {
        return name.to_owned();
    }
    name.chars().take(SHOWN).chain(['…']).collect()
}

fn cycle_message(open: &[&str], next: &str) -> String {
    let from = open.iter().position(|path| *path == next).unwrap_or(0);
    let mut text = "a cycle of modules: ".to_owned();
    for path in &open[from..] {
        let _ = write!(text, "`{path}` loads ");
    }
    let _ = write!(text, "`{next}`");
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn faults(library: &[(&str, u32)], files: &[(&str, &str)]) -> Vec<FieldError> {
        let mut document = super::super::read_json(r#"{"restroy": 1, "steps": {"a": {"script": "scripts/a.lua"}}}"#)
            .unwrap_or_else(|faults| panic!("{faults:?}"));
        document.library = library.iter().map(|(name, version)| ((*name).to_owned(), *version)).collect();
        let files = files.iter().map(|(path, source)| ((*path).to_owned(), (*source).to_owned())).collect();
        let mut faults = Vec::new();
        check(&document, &files, &mut faults);
        faults
    }

    #[test]
    fn what_is_there_is_taken() {
        let files = [
            (
                "scripts/a.lua",
                "local u = require('util') require('scripts.deep.er') require('json') require('lib.text')",
            ),
            ("scripts/util.lua", "return require 'scripts/deep/er'"),
            ("scripts/deep/er.lua", "return 1"),
            ("unused.lua", "return require('nothing')"),
        ];
        assert_eq!(faults(&[("text", 3)], &files), []);
    }

    #[test]
    fn what_is_missing_is_named_with_its_place() {
        let files = [
            ("scripts/a.lua", "\n  require('utl') require('scripts.a') require('lib.text')"),
            ("scripts/util.lua", "return require('a')"),
        ];
        let found = faults(&[], &files);
        let places: Vec<_> = found.iter().map(|fault| (fault.line, fault.column)).collect();
        assert_eq!(places, [(Some(2), Some(3)), (Some(2), Some(18)), (Some(2), Some(39))]);
        assert!(found.iter().all(|fault| fault.pointer == "/files/scripts~1a.lua"));
        assert!(found[0].detail.contains("did you mean `util`?"), "{}", found[0].detail);
        assert!(found[1].detail.contains("that the step runs"), "{}", found[1].detail);
        assert!(found[2].detail.contains("library: { text: 1 }"), "{}", found[2].detail);
    }

    #[test]
    fn a_circle_is_named_once() {
        let files = [
            ("scripts/a.lua", "require('x') require('y')"),
            ("scripts/x.lua", "return require('y')"),
            ("scripts/y.lua", "return require('x')"),
        ];
        let found = faults(&[], &files);
        assert_eq!(found.len(), 1, "{found:?}");
        assert_eq!(found[0].detail, "a cycle of modules: `scripts/x.lua` loads `scripts/y.lua` loads `scripts/x.lua`");
    }

    #[test]
    fn a_file_does_not_pass_for_a_module_of_the_library() {
        for path in ["lib/text.lua", "scripts/lib/text.lua", "lib.text.lua"] {
            let files = [("scripts/a.lua", "return require('lib.text')"), (path, "return 1")];
            assert_eq!(faults(&[], &files), [], "{path}");
            let found = faults(&[("text", 1)], &files);
            assert_eq!(found[0].pointer, "/library/text", "{path}");
        }
    }

    #[test]
    fn modules_know_the_library_only() {
        let mut document = super::super::read_json(
            r#"{"restroy": 1, "library": {"a": 1, "b": 2}, "steps": {"s": {"script": "s.lua"}}}"#,
        )
        .unwrap();
        let library =
            |a: &str, b: &str| BTreeMap::from([("a".to_owned(), a.to_owned()), ("b".to_owned(), b.to_owned())]);
        assert_eq!(check_library(&document, &library("require 'lib.b' require 'json'", "return 1")), []);
        let found = check_library(&document, &library("require 'lib.b'", "\nrequire 'lib.a'"));
        assert_eq!(found.len(), 1, "{found:?}");
        assert!(found[0].detail.contains("`a` loads `b` loads `a`"), "{found:?}");
        let found = check_library(&document, &library("require 'lib.c'", "require 'util'"));
        assert_eq!(found.iter().map(|fault| fault.pointer.as_str()).collect::<Vec<_>>(), ["/library/a", "/library/b"]);
        document.library.insert("c".into(), 1);
        // What is pinned and not at hand is somebody else's to find.
        assert_eq!(check_library(&document, &library("require 'lib.c'", "return 1")), []);
        assert_eq!(foreign_requires("require 'lib.x' require 'json'\nrequire 'util'")[0].line, Some(2));
    }

    #[test]
    fn what_is_much_is_cut_short() {
        let missing = (0..5_000).map(|n| format!("require('m{n}')")).collect::<Vec<_>>().join(" ");
        let found = faults(&[], &[("scripts/a.lua", missing.as_str())]);
        assert!((1..=MAX_FAULTS).contains(&found.len()), "{}", found.len());
        let long = format!("require('{}')", "x".repeat(100_000));
        assert!(faults(&[], &[("scripts/a.lua", long.as_str())])[0].detail.len() < 1_000);
        let often = "require('util')\n".repeat(MAX_FOLLOWED + 1);
        let found = faults(&[], &[("scripts/a.lua", often.as_str()), ("scripts/util.lua", "return 1")]);
        assert_eq!((found.len(), found[0].pointer.as_str()), (1, "/files"));
        // As many as files may go, one after the other.
        let name = |n: usize| format!("scripts/m{n}.lua");
        let chain: Vec<_> = (0..300).map(|n| (name(n), format!("require('m{}')", n + 1))).collect();
        let mut files = vec![("scripts/a.lua", "require('m0')")];
        files.extend(chain.iter().map(|(path, text)| (path.as_str(), text.as_str())));
        assert!(faults(&[], &files)[0].detail.contains("deep"));
    }

    #[test]
    fn what_is_built_in_is_what_the_sandbox_has() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../lua-wasm-host/guest/lua/run.lua");
        let text = std::fs::read_to_string(path).unwrap();
        let list = text.split_once("local libraries = {}").unwrap().1.split_once('}').unwrap().0;
        let names: Vec<_> = list.split('"').skip(1).step_by(2).collect();
        assert_eq!(names, BUILT_IN);
    }
}
