//! The files that come with a document.

use std::collections::BTreeMap;

use super::{MAX_SOURCE_BYTES, MAX_TOTAL_BYTES};
use crate::{
    document::{Document, pointer},
    problem::Fault,
};

const MAX_FILES: usize = 500;
const MAX_PATH: usize = 200;

pub(super) fn check(document: &Document, files: &BTreeMap<String, String>, faults: &mut Vec<Fault>) {
    if files.len() > MAX_FILES {
        faults.push(Fault::new("/files", format!("{} files; at most {MAX_FILES}", files.len())));
    }
    for (path, source) in files {
        if let Some(reason) = wrong_path(path) {
            faults.push(Fault::new(pointer::file(path), format!("the path {reason}")));
        }
        if source.len() > MAX_SOURCE_BYTES {
            let detail = format!("the file has {} bytes; at most {MAX_SOURCE_BYTES}", source.len());
            faults.push(Fault::new(pointer::file(path), detail));
        }
        if let Some(at) = source.find('\0') {
            let line = source[..at].matches('\n').count() + 1;
            let detail = format!("line {line} holds the character U+0000; in a Lua string write it as `\\0`");
            faults.push(Fault::new(pointer::file(path), detail));
        }
    }
    // The compact JSON form is what is stored and sent.
    let document = serde_json::to_string(document).map_or(0, |json| json.len());
    let total = files.iter().map(|(path, source)| path.len() + source.len()).sum::<usize>() + document;
    if total > MAX_TOTAL_BYTES {
        let detail = format!("document and files have {total} bytes together; at most {MAX_TOTAL_BYTES}");
        faults.push(Fault::new("", detail));
    }
}

/// Why `path` cannot name a source; a path that can lies below the folder it is relative to.
pub fn wrong_path(path: &str) -> Option<&'static str> {
    if path.len() > MAX_PATH {
        return Some("is longer than 200 bytes");
    }
    if path.starts_with('/') {
        return Some("is absolute; write it relative to the pipeline's folder, such as `scripts/fetch.lua`");
    }
    for part in path.split('/') {
        match part {
            "" => return Some("has an empty part; write it such as `scripts/fetch.lua`"),
            "." | ".." => return Some("leaves or names its own folder; write it such as `scripts/fetch.lua`"),
            part if part.starts_with('.') => return Some("has a part that begins with a dot"),
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

#[cfg(test)]
mod tests {
    use super::wrong_path;

    #[test]
    fn takes_relative_lua_paths_only() {
        for path in ["scripts/a.lua", "a.lua", "lib/deep/x-1_2.lua"] {
            assert_eq!(wrong_path(path), None, "{path}");
        }
        for path in ["", "/a.lua", "../a.lua", "a/../b.lua", "a//b.lua", "./a.lua", ".git/a.lua", "a b.lua", "a\\b.lua"]
        {
            assert!(wrong_path(path).is_some(), "{path}");
        }
        for path in ["a.txt", ".lua", "scripts/.lua", "é.lua"] {
            assert!(wrong_path(path).is_some(), "{path}");
        }
    }
}
