//! A pipeline as a folder: `pipeline.yaml` and its Lua sources.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

use restroy_sdk::{
    document::{Document, MAX_BYTES, check, read_yaml},
    problem::Fault,
};

use crate::failure::{Failure, Outcome};

/// The names that the document can have, the first being the right one.
const NAMES: [&str; 2] = ["pipeline.yaml", "pipeline.yml"];
const MAX_DEPTH: usize = 8;
const MAX_FILES: usize = 500;

/// A pipeline's folder, read.
#[derive(Debug)]
pub(crate) struct Folder {
    /// Where the document lies.
    pub(crate) document: PathBuf,
    /// The document's text.
    pub(crate) yaml: String,
    /// The sources by path within the folder.
    pub(crate) files: BTreeMap<String, String>,
    /// The folder itself.
    pub(crate) root: PathBuf,
}

impl Folder {
    /// Whether `path` is a pipeline's folder.
    pub(crate) fn is_one(path: &Path) -> bool {
        NAMES.iter().any(|name| path.join(name).is_file())
    }

    /// Reads a folder: the document, and every Lua file below. Hidden files and folders are passed
    /// over, and links are not followed.
    pub(crate) fn read(root: &Path) -> Outcome<Self> {
        let Some(document) = NAMES.iter().map(|name| root.join(name)).find(|path| path.is_file()) else {
            return Err(Failure::new(format!("{} has no {}", root.display(), NAMES[0]))
                .help("name the folder of a pipeline; the file in it begins with `restroy: 1`"));
        };
        let yaml = read_text(&document)?;
        let mut files = BTreeMap::new();
        collect(root, "", 0, &mut files)?;
        Ok(Self { document, yaml, files, root: root.to_owned() })
    }

    /// The document, checked as far as that goes without a compiler.
    pub(crate) fn check(&self) -> Result<Document, Vec<Fault>> {
        let document = read_yaml(&self.yaml)?;
        let faults = check(&document, &self.files);
        if faults.is_empty() { Ok(document) } else { Err(faults) }
    }

    /// What the pipeline is called: by its document, else by its folder.
    pub(crate) fn name(&self, document: &Document) -> Outcome<String> {
        if let Some(name) = &document.name {
            return Ok(name.clone());
        }
        let folder = self.root.canonicalize().map_err(|error| Failure::file("read", &self.root, &error))?;
        folder.file_name().and_then(|name| name.to_str()).map(str::to_owned).ok_or_else(|| {
            Failure::new(format!("{} says no `name`, and its folder's name is not one", self.document.display()))
        })
    }
}

fn collect(folder: &Path, prefix: &str, depth: usize, files: &mut BTreeMap<String, String>) -> Outcome {
    if depth > MAX_DEPTH {
        return Err(Failure::new(format!("{} lies more than {MAX_DEPTH} folders deep", folder.display())));
    }
    let failed = |error: std::io::Error| Failure::file("read", folder, &error);
    for entry in fs::read_dir(folder).map_err(failed)? {
        let entry = entry.map_err(failed)?;
        let kind = entry.file_type().map_err(failed)?;
        let name = entry.file_name();
        let Some(name) = name.to_str().filter(|name| !name.starts_with('.')) else { continue };
        let path = if prefix.is_empty() { name.to_owned() } else { format!("{prefix}/{name}") };
        if kind.is_dir() {
            collect(&entry.path(), &path, depth + 1, files)?;
        } else if kind.is_file() && is_lua(name) {
            if files.len() == MAX_FILES {
                return Err(Failure::new(format!("more than {MAX_FILES} Lua files")).help("push a smaller folder"));
            }
            files.insert(path, read_text(&entry.path())?);
        }
    }
    Ok(())
}

/// Whether a file's name is one of a Lua source.
pub(crate) fn is_lua(name: &str) -> bool {
    Path::new(name).extension().is_some_and(|extension| extension == "lua")
}

/// A text file of bounded length.
pub(crate) fn read_text(path: &Path) -> Outcome<String> {
    let failed = |error: std::io::Error| Failure::file("read", path, &error);
    let length = fs::metadata(path).map_err(failed)?.len();
    if length > MAX_BYTES as u64 {
        return Err(Failure::new(format!("{} has {length} bytes; at most {MAX_BYTES} are taken", path.display())));
    }
    fs::read_to_string(path).map_err(failed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_is_its_document_and_its_lua_files() {
        let folder = tempfile::tempdir().unwrap();
        let write = |path: &str, text: &str| {
            let path = folder.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        };
        assert!(Folder::read(folder.path()).is_err());
        write("pipeline.yaml", "restroy: 1\nsteps: { a: { script: scripts/a.lua } }\n");
        write("scripts/a.lua", "return 1");
        write("scripts/lib/b.lua", "return 2");
        write(".git/c.lua", "");
        write("data.csv", "1,2");
        std::os::unix::fs::symlink("/etc", folder.path().join("etc")).unwrap();
        let folder = Folder::read(folder.path()).unwrap();
        assert_eq!(folder.files.keys().collect::<Vec<_>>(), ["scripts/a.lua", "scripts/lib/b.lua"]);
        let document = folder.check().unwrap();
        assert_eq!(folder.name(&document).unwrap(), folder.root.file_name().unwrap().to_str().unwrap());
    }
}
