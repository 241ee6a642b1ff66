//! The files that come with a document.

use std::collections::{BTreeMap, HashMap};

use super::{DocumentBounds, MAX_TOTAL_BYTES};
use restroy_model::problem::FieldError;

use crate::{Document, pointer};

const MAX_FILES: usize = 500;
const MAX_PATH: usize = 200;
/// How many folders deep a source may lie.
pub const MAX_FOLDERS: usize = 8;
/// Names that are devices on Windows, whatever follows after a dot (Microsoft's "Naming Files, Paths, and
/// Namespaces").
const DEVICES: [&str; 6] = ["aux", "con", "nul", "prn", "com", "lpt"];

pub(super) fn check(
    document: &Document,
    files: &BTreeMap<String, String>,
    bounds: DocumentBounds,
    faults: &mut Vec<FieldError>,
) {
    if files.len() > MAX_FILES {
        faults.push(FieldError::new("/files", format!("{} files; at most {MAX_FILES}", files.len())));
    }
    for (path, reason) in path_errors(files.keys().map(String::as_str)) {
        faults.push(FieldError::new(pointer::file(path), format!("the path {reason}")));
    }
    for (path, source) in files {
        if source.len() > bounds.source_bytes {
            let detail = format!("the file has {} bytes; at most {}", source.len(), bounds.source_bytes);
            faults.push(FieldError::new(pointer::file(path), detail));
        }
        if let Some(at) = source.find('\0') {
            let line = source[..at].matches('\n').count() + 1;
            let detail = format!("line {line} holds the character U+0000; in a Lua string write it as `\\0`");
            faults.push(FieldError::new(pointer::file(path), detail));
        }
    }
    // The compact JSON form is what is stored and sent.
    let document = serde_json::to_string(document).map_or(0, |json| json.len());
    let total = files.iter().map(|(path, source)| path.len() + source.len()).sum::<usize>() + document;
    if total > MAX_TOTAL_BYTES {
        let detail = format!("document and files have {total} bytes together; at most {MAX_TOTAL_BYTES}");
        faults.push(FieldError::new("", detail));
    }
}

/// Which of a version's paths, sorted, cannot name sources, and why: what [`path_error`] says, and what cannot lie
/// in one folder with another, be it on a file system that knows no case.
pub fn path_errors<'a>(paths: impl IntoIterator<Item = &'a str>) -> Vec<(&'a str, String)> {
    let (mut wrong, mut taken, mut folders) = (Vec::new(), HashMap::new(), HashMap::new());
    for path in paths {
        if let Some(reason) = path_error(path) {
            wrong.push((path, reason.to_owned()));
            continue;
        }
        let folded = path.to_ascii_lowercase();
        let mut alike = None;
        for (at, _) in folded.match_indices('/') {
            let (folder, below) = *folders.entry(folded[..at].to_owned()).or_insert((&path[..at], path));
            alike = alike.or((folder != &path[..at]).then_some(below));
        }
        if let Some(other) = taken.insert(folded, path).or(alike) {
            wrong.push((path, format!("differs from that of `{other}` in upper and lower case alone")));
        }
    }
    for (folder, (_, below)) in folders {
        if let Some(file) = taken.get(&folder) {
            wrong.push((file, format!("is the folder of `{below}` too")));
        }
    }
    wrong.sort_unstable();
    wrong
}

/// Why `path` cannot name a source; a path that can lies below the folder it is relative to.
pub fn path_error(path: &str) -> Option<&'static str> {
    if path.len() > MAX_PATH {
        return Some("is longer than 200 bytes");
    }
    if path.starts_with('/') {
        return Some("is absolute; write it relative to the pipeline's folder, such as `scripts/fetch.lua`");
    }
    if path.matches('/').count() > MAX_FOLDERS {
        return Some("lies more than 8 folders deep");
    }
    for part in path.split('/') {
        if is_device(part) {
            return Some("has a part that is the name of a device on Windows, such as `con` or `aux`");
        }
        match part {
            "" => return Some("has an empty part; write it such as `scripts/fetch.lua`"),
            "." | ".." => return Some("leaves or names its own folder; write it such as `scripts/fetch.lua`"),
            part if part.starts_with('.') => return Some("has a part that begins with a dot"),
            part if part.ends_with('.') => return Some("has a part that ends with a dot"),
            part if !part.bytes().all(|b| b.is_ascii_alphanumeric() || b"_-.".contains(&b)) => {
                return Some("has characters other than letters, digits, `_`, `-`, `.` and `/`");
            }
            _ => {}
        }
    }
    if path.strip_suffix(".lua").is_none_or(|stem| stem.is_empty() || stem.ends_with('/')) {
        return Some("does not end in `.lua`");
    }
    None
}

/// Whether Windows takes the name for a device.
fn is_device(part: &str) -> bool {
    let stem = part.split('.').next().unwrap_or(part).to_ascii_lowercase();
    match stem.strip_suffix(|c: char| c.is_ascii_digit() && c != '0') {
        Some(stem) => DEVICES[4..].contains(&stem),
        None => DEVICES[..4].contains(&stem.as_str()),
    }
}

#[cfg(test)]
mod tests {
    use super::{path_error, path_errors};

    #[test]
    fn conflicting_paths_are_reported() {
        let wrong = |paths: &[&'static str]| {
            path_errors(paths.iter().copied()).into_iter().map(|(path, _)| path).collect::<Vec<_>>()
        };
        assert_eq!(wrong(&["a.lua", "a/b.lua", "b.lua", "com.lua", "lpt0.lua"]), [""; 0]);
        assert_eq!(wrong(&["a.lua", "a.lua/b.lua"]), ["a.lua"]);
        assert_eq!(wrong(&["A.lua/b.lua", "a.lua"]), ["a.lua"]);
        assert_eq!(wrong(&["A.lua", "a.lua"]), ["a.lua"]);
        assert_eq!(wrong(&["s/A.lua", "S/a.lua"]), ["S/a.lua"]);
        assert_eq!(wrong(&["s/x/a.lua", "s/X/b.lua", "s/x/c.lua"]), ["s/X/b.lua"]);
        assert_eq!(wrong(&["scripts/con.lua", "Aux/x.lua", "com1.x.lua", "a./b.lua"]).len(), 4);
        assert_eq!(wrong(&["1/2/3/4/5/6/7/8/a.lua", "1/2/3/4/5/6/7/8/9/a.lua"]), ["1/2/3/4/5/6/7/8/9/a.lua"]);
    }

    #[test]
    fn takes_relative_lua_paths_only() {
        for path in ["scripts/a.lua", "a.lua", "lib/deep/x-1_2.lua"] {
            assert_eq!(path_error(path), None, "{path}");
        }
        for path in ["", "/a.lua", "../a.lua", "a/../b.lua", "a//b.lua", "./a.lua", ".git/a.lua", "a b.lua", "a\\b.lua"]
        {
            assert!(path_error(path).is_some(), "{path}");
        }
        for path in ["a.txt", ".lua", "scripts/.lua", "é.lua"] {
            assert!(path_error(path).is_some(), "{path}");
        }
    }
}
