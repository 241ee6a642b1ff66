//! A pipeline as a folder: `pipeline.yaml` and its Lua sources.

use std::{
    collections::BTreeMap,
    fs,
    io::Read,
    path::{Path, PathBuf},
};

use restroy_sdk::{
    document::{Document, MAX_BYTES, MAX_FOLDERS, check, read_yaml},
    problem::FieldError,
};

use crate::failure::{Failure, Outcome};

/// The names that the document can have, the first being the right one.
const NAMES: [&str; 2] = ["pipeline.yaml", "pipeline.yml"];
const MAX_DEPTH: usize = MAX_FOLDERS;
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
            return Err(no_document(root));
        };
        let yaml = read_source(&document)?;
        let mut files = BTreeMap::new();
        collect(root, root, "", 0, &mut files)?;
        Ok(Self { document, yaml, files, root: root.to_owned() })
    }

    /// The document, checked as far as that goes without a compiler.
    pub(crate) fn check(&self) -> Result<Document, Vec<FieldError>> {
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

/// Why a path is not a pipeline's folder.
fn no_document(root: &Path) -> Failure {
    let help = "name the folder of a pipeline; the file `pipeline.yaml` in it begins with `restroy: 1`";
    if root.is_file() {
        let folder = root.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        return Failure::new(format!("{} is a file, not a folder", root.display())).help(if Folder::is_one(folder) {
            format!("name its folder: {}", folder.display())
        } else {
            help.into()
        });
    }
    if !root.is_dir() {
        return Failure::new(format!("there is not a directory {}", root.display())).help(help);
    }
    Failure::new(format!("{} has no {}", root.display(), NAMES[0])).help(help)
}

fn collect(root: &Path, folder: &Path, prefix: &str, depth: usize, files: &mut BTreeMap<String, String>) -> Outcome {
    if depth > MAX_DEPTH {
        return Err(Failure::new(format!("{} lies more than {MAX_DEPTH} folders deep", folder.display()))
            .help("a pipeline's folder holds the document and its scripts: keep everything else outside"));
    }
    let failed = |error: std::io::Error| Failure::file("read", folder, &error);
    for entry in fs::read_dir(folder).map_err(failed)? {
        let entry = entry.map_err(failed)?;
        let kind = entry.file_type().map_err(failed)?;
        let name = entry.file_name();
        let Some(name) = name.to_str().filter(|name| !name.starts_with('.')) else { continue };
        let path = if prefix.is_empty() { name.to_owned() } else { format!("{prefix}/{name}") };
        if kind.is_dir() {
            collect(root, &entry.path(), &path, depth + 1, files)?;
        } else if kind.is_symlink() && is_lua(name) {
            return Err(Failure::new(format!("{} is a link, and links are not followed", entry.path().display()))
                .help("replace the link with the file, or remove it"));
        } else if kind.is_file() && is_lua(name) {
            if files.len() == MAX_FILES {
                return Err(Failure::new(format!("{} holds more than {MAX_FILES} Lua files", root.display()))
                    .help("a pipeline's folder holds the document and its scripts: keep everything else outside"));
            }
            let text = read_source(&entry.path())?;
            if files.values().map(String::len).sum::<usize>() + text.len() > MAX_BYTES {
                let most = crate::output::bytes(MAX_BYTES as u64);
                return Err(Failure::new(format!(
                    "the Lua files of {} have more than {most} together",
                    root.display()
                ))
                .help("keep data out of the scripts: give it to a run with `--param name=@file`"));
            }
            files.insert(path, text);
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
    let file = fs::File::open(path).map_err(|error| Failure::file("read", path, &error))?;
    read_from(file, path)
}

/// A text of bounded length, from what `path` names for people.
///
/// No more than the limit is read, whatever the length says: a device or a pipe has none.
pub(crate) fn read_from(reader: impl Read, path: &Path) -> Outcome<String> {
    let mut bytes = Vec::new();
    reader.take(MAX_BYTES as u64 + 1).read_to_end(&mut bytes).map_err(|error| Failure::file("read", path, &error))?;
    if bytes.len() > MAX_BYTES {
        let most = crate::output::bytes(MAX_BYTES as u64);
        return Err(Failure::new(format!("{} is too long: at most {most} are taken", path.display())));
    }
    String::from_utf8(bytes).map_err(|error| {
        let at = error.utf8_error().valid_up_to();
        let line = error.as_bytes()[..at].split(|byte| *byte == b'\n').count();
        Failure::new(format!("{} is not UTF-8 text: the error is in line {line}", path.display()))
            .help("save it as UTF-8; encode binary data as base64")
    })
}

/// A text file that somebody wrote in an editor: the mark that some put at the start of UTF-8 is none
/// of its text.
pub(crate) fn read_source(path: &Path) -> Outcome<String> {
    read_text(path).map(without_mark)
}

/// The text without a byte order mark at its start.
pub(crate) fn without_mark(text: String) -> String {
    text.strip_prefix('\u{feff}').map(str::to_owned).unwrap_or(text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::style::Paint;

    #[test]
    fn what_cannot_be_read_is_named_with_what_to_do() {
        let folder = tempfile::tempdir().unwrap();
        let told = |path: &Path| Folder::read(path).unwrap_err().show(Paint::new(false));
        assert!(told(&folder.path().join("none")).contains("there is not a directory"));
        let document = folder.path().join("pipeline.yaml");
        fs::write(&document, "\u{feff}restroy: 1\nsteps: { a: { script: a.lua } }\n").unwrap();
        assert!(told(&document).contains("name its folder"));
        let script = folder.path().join("a.lua");
        fs::write(&script, b"return 1\nreturn '\xe9'").unwrap();
        assert!(told(folder.path()).contains("a.lua is not UTF-8 text: the error is in line 2"));
        fs::write(&script, "\u{feff}return 1").unwrap();
        let read = Folder::read(folder.path()).unwrap();
        assert_eq!(read.files["a.lua"], "return 1");
        assert!(read.check().is_ok());
        std::os::unix::fs::symlink(&script, folder.path().join("b.lua")).unwrap();
        assert!(told(folder.path()).contains("b.lua is a link"));
        assert!(read_text(Path::new("/dev/zero")).is_err(), "what never ends is not read to its end");
    }

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
