//! A folder on disk that a run may fill, within its bounds.
//!
//! Paths are resolved by cap-std below an open folder: neither `..` nor an absolute path nor a link
//! leads out of it. Every operation holds the folder's lock, so
//! that what is counted is what is there; the folder belongs to one task at a time.

use std::{
    io::{self, Read, Seek, SeekFrom, Write},
    path::{Path, PathBuf},
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use cap_std::{
    ambient_authority,
    fs::{Dir, File, OpenOptions},
};
use lua_wasm_host::{CallError, FileEntry, WriteAt};
use restroy_sdk::{ids::RunId, time::Ambient};

/// How many files and folders one run may make.
const MOST_ENTRIES: u64 = 1_000;
/// How deep folders may nest.
const DEEPEST: usize = 8;
/// A listing gives at most so many.
const MOST_LISTED: usize = 1_000;
/// A scratch folder that nobody touched for so long belongs to a run that ended elsewhere.
const STALE: Duration = Duration::from_hours(24);

/// The scratch folder of a run.
#[derive(Debug)]
pub(crate) struct Scratch {
    path: PathBuf,
    limit: u64,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    /// Made at the first use: most runs have no use for files.
    dir: Option<Dir>,
    bytes: u64,
    entries: u64,
}

impl Scratch {
    /// The folder of a run; what an earlier lease left in it is still there. Not made before it is
    /// used.
    pub(crate) fn new(root: &Path, run: RunId, limit: u64) -> Self {
        let state = Mutex::new(State { dir: None, bytes: 0, entries: 0 });
        Self { path: root.join(run.to_string()), limit, state }
    }

    fn open(&self) -> Result<MutexGuard<'_, State>, CallError> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if state.dir.is_none() {
            let dir = std::fs::create_dir_all(&self.path)
                .and_then(|()| Dir::open_ambient_dir(&self.path, ambient_authority()))
                .map_err(|error| failed(&error))?;
            let mut found = Vec::new();
            walk(&dir, "", 0, &mut |_, size| found.push(size)).map_err(|error| failed(&error))?;
            state.bytes = found.iter().flatten().sum();
            state.entries = found.len() as u64;
            state.dir = Some(dir);
        }
        Ok(state)
    }

    /// The size of a file, unless there is none.
    pub(crate) fn size(&self, path: &str) -> Result<Option<u64>, CallError> {
        check(path)?;
        let state = self.open()?;
        match state.dir()?.symlink_metadata(path) {
            Ok(metadata) if metadata.is_file() => Ok(Some(metadata.len())),
            Ok(_) => Err(not_a_file(path)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(refused(path, &error)),
        }
    }

    /// Up to `max` bytes from `offset`.
    pub(crate) fn read(&self, path: &str, offset: u64, max: u64) -> Result<Vec<u8>, CallError> {
        check(path)?;
        let state = self.open()?;
        let mut file = open_file(state.dir()?, path, OpenOptions::new().read(true))?;
        file.seek(SeekFrom::Start(offset)).map_err(|error| refused(path, &error))?;
        let mut data = Vec::new();
        file.take(max.min(self.limit)).read_to_end(&mut data).map_err(|error| refused(path, &error))?;
        Ok(data)
    }

    /// Makes the file, or empties it.
    pub(crate) fn create(&self, path: &str) -> Result<(), CallError> {
        check(path)?;
        let mut state = self.open()?;
        let file = state.file_for_writing(path)?;
        let before = file.metadata().map_err(|error| refused(path, &error))?.len();
        file.set_len(0).map_err(|error| refused(path, &error))?;
        state.bytes = state.bytes.saturating_sub(before);
        Ok(())
    }

    /// Writes and gives the position after it.
    pub(crate) fn write(&self, path: &str, at: WriteAt, data: &[u8]) -> Result<u64, CallError> {
        check(path)?;
        let mut state = self.open()?;
        let mut file = state.file_for_writing(path)?;
        let before = file.metadata().map_err(|error| refused(path, &error))?.len();
        let start = match at {
            WriteAt::Offset(offset) => offset,
            WriteAt::End => before,
        };
        let end = start.checked_add(data.len() as u64).ok_or_else(|| self.full())?;
        let grown = end.saturating_sub(before);
        if state.bytes.saturating_add(grown) > self.limit {
            return Err(self.full());
        }
        file.seek(SeekFrom::Start(start)).and_then(|_| file.write_all(data)).map_err(|error| refused(path, &error))?;
        state.bytes += grown;
        Ok(end)
    }

    /// Removes a file. Whether it was there.
    pub(crate) fn remove(&self, path: &str) -> Result<bool, CallError> {
        check(path)?;
        let mut state = self.open()?;
        let size = match state.dir()?.symlink_metadata(path) {
            Ok(metadata) if metadata.is_dir() => return Err(not_a_file(path)),
            Ok(metadata) => metadata.len(),
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
            Err(error) => return Err(refused(path, &error)),
        };
        state.dir()?.remove_file(path).map_err(|error| refused(path, &error))?;
        state.bytes = state.bytes.saturating_sub(size);
        state.entries = state.entries.saturating_sub(1);
        Ok(true)
    }

    /// Files whose path begins with `prefix`, by path.
    pub(crate) fn list(&self, prefix: &str) -> Result<Vec<FileEntry>, CallError> {
        let state = self.open()?;
        let mut found = Vec::new();
        walk(state.dir()?, "", 0, &mut |path, size| {
            if let Some(size) = size
                && path.starts_with(prefix)
            {
                found.push(FileEntry { path: path.to_owned(), size });
            }
        })
        .map_err(|error| failed(&error))?;
        found.sort_by(|a, b| a.path.cmp(&b.path));
        found.truncate(MOST_LISTED);
        Ok(found)
    }

    /// Removes the folder with all that is in it.
    pub(crate) fn remove_all(&self) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.dir = None;
        match std::fs::remove_dir_all(&self.path) {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => tracing::warn!(path = %self.path.display(), %error, "a scratch folder stays behind"),
        }
    }

    fn full(&self) -> CallError {
        CallError::new("scratch_limit", format!("the run's scratch folder is full (limit: {} bytes)", self.limit))
    }
}

impl State {
    fn dir(&self) -> Result<&Dir, CallError> {
        self.dir.as_ref().ok_or_else(|| CallError::new("file_failed", "the scratch folder is gone"))
    }

    /// Opens a file, making it and the folders above it if need be.
    fn file_for_writing(&mut self, path: &str) -> Result<File, CallError> {
        let dir = self.dir()?;
        let mut made = 0;
        if dir.symlink_metadata(path).is_err() {
            let parts: Vec<&str> = path.split('/').collect();
            let above = (1..parts.len()).map(|depth| parts[..depth].join("/"));
            let missing: Vec<String> = above.filter(|folder| dir.symlink_metadata(folder).is_err()).collect();
            made = missing.len() as u64 + 1;
            if self.entries + made > MOST_ENTRIES {
                let message = format!("the run's scratch folder holds too many files (limit: {MOST_ENTRIES})");
                return Err(CallError::new("scratch_limit", message));
            }
            for folder in missing {
                dir.create_dir(&folder).map_err(|error| refused(path, &error))?;
            }
        }
        let file = open_file(dir, path, OpenOptions::new().read(true).write(true).create(true))?;
        self.entries += made;
        Ok(file)
    }
}

fn open_file(dir: &Dir, path: &str, options: &OpenOptions) -> Result<File, CallError> {
    // Scripts cannot make links; one that is there was put there by somebody else.
    if dir.symlink_metadata(path).is_ok_and(|metadata| !metadata.is_file()) {
        return Err(not_a_file(path));
    }
    let file = dir.open_with(path, options).map_err(|error| refused(path, &error))?;
    let metadata = file.metadata().map_err(|error| refused(path, &error))?;
    if metadata.is_file() { Ok(file) } else { Err(not_a_file(path)) }
}

/// Tells of every entry below `dir`: its path, and its size if it is a file.
fn walk(dir: &Dir, above: &str, depth: usize, tell: &mut dyn FnMut(&str, Option<u64>)) -> io::Result<()> {
    if depth > DEEPEST {
        return Ok(());
    }
    for entry in dir.entries()? {
        let entry = entry?;
        let name = entry.file_name();
        let Some(name) = name.to_str() else { continue };
        let path = if above.is_empty() { name.to_owned() } else { format!("{above}/{name}") };
        let kind = entry.file_type()?;
        if kind.is_dir() {
            tell(&path, None);
            walk(&entry.open_dir()?, &path, depth + 1, tell)?;
        } else if kind.is_file() {
            tell(&path, Some(entry.metadata()?.len()));
        }
    }
    Ok(())
}

/// What the sandbox's dispatcher has checked, once more: this is the wall that counts.
fn check(path: &str) -> Result<(), CallError> {
    let parts = path.split('/').count();
    let fine = !path.is_empty()
        && path.len() <= 255
        && parts <= DEEPEST
        && path.split('/').all(|part| !part.is_empty() && part != "." && part != "..")
        && !path.contains('\\')
        && !path.chars().any(char::is_control);
    if fine {
        return Ok(());
    }
    let message = format!(
        "`{}` is not a path within the scratch folder: relative, with `/`, without `.` or `..`, at most {DEEPEST} deep",
        path.escape_debug()
    );
    Err(CallError::new("file_bad_path", message))
}

pub(super) fn not_found(path: &str) -> CallError {
    CallError::new("file_not_found", format!("there is no file `{path}`"))
}

fn not_a_file(path: &str) -> CallError {
    CallError::new("file_bad_path", format!("`{path}` is not a file"))
}

/// An error with a path. What the system says names no path of ours.
fn refused(path: &str, error: &io::Error) -> CallError {
    match error.kind() {
        io::ErrorKind::NotFound => not_found(path),
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
            CallError::new("scratch_limit", "the executor's disk is full")
        }
        kind => CallError::new("file_failed", format!("`{path}`: {kind}")),
    }
}

fn failed(error: &io::Error) -> CallError {
    tracing::error!(%error, "a scratch folder cannot be used");
    CallError::new("file_failed", format!("the scratch folder cannot be used: {}", error.kind()))
}

/// Removes the folders of runs that ended elsewhere.
pub(crate) fn remove_stale(root: &Path, ambient: &Ambient) -> io::Result<()> {
    let now = Duration::from_micros(u64::try_from(ambient.now().micros()).unwrap_or(0));
    for entry in std::fs::read_dir(root)? {
        let entry = entry?;
        let is_ours = entry.file_name().to_str().is_some_and(|name| name.parse::<RunId>().is_ok());
        let changed = entry.metadata()?.modified()?.duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
        if is_ours && entry.file_type()?.is_dir() && now.saturating_sub(changed) > STALE {
            tracing::info!(path = %entry.path().display(), "a scratch folder that nobody uses is removed");
            std::fs::remove_dir_all(entry.path())?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    fn scratch(limit: u64) -> (tempfile::TempDir, Scratch) {
        let root = tempfile::tempdir().unwrap();
        let scratch = Scratch::new(root.path(), RunId(Uuid::nil()), limit);
        (root, scratch)
    }

    fn code<T: std::fmt::Debug>(result: Result<T, CallError>) -> String {
        result.unwrap_err().code.into_owned()
    }

    #[test]
    fn files_are_written_read_listed_and_removed() {
        let (root, scratch) = scratch(1000);
        assert_eq!(scratch.size("a/b.txt").unwrap(), None);
        assert_eq!(scratch.write("a/b.txt", WriteAt::End, b"hello").unwrap(), 5);
        assert_eq!(scratch.write("a/b.txt", WriteAt::End, b" you").unwrap(), 9);
        assert_eq!(scratch.write("a/b.txt", WriteAt::Offset(0), b"J").unwrap(), 1);
        assert_eq!(scratch.read("a/b.txt", 0, 100).unwrap(), b"Jello you");
        assert_eq!(scratch.read("a/b.txt", 6, 2).unwrap(), b"yo");
        assert_eq!(scratch.read("a/b.txt", 99, 2).unwrap(), b"");
        scratch.create("c").unwrap();
        let listed = scratch.list("").unwrap();
        assert_eq!(
            listed.iter().map(|file| (file.path.as_str(), file.size)).collect::<Vec<_>>(),
            [("a/b.txt", 9), ("c", 0)]
        );
        assert_eq!(scratch.list("a/").unwrap().len(), 1);
        assert!(scratch.remove("a/b.txt").unwrap());
        assert!(!scratch.remove("a/b.txt").unwrap());
        assert_eq!(code(scratch.read("a/b.txt", 0, 1)), "file_not_found");
        scratch.remove_all();
        assert!(std::fs::read_dir(root.path()).unwrap().next().is_none());
    }

    #[test]
    fn no_path_leads_out() {
        let (root, scratch) = scratch(1000);
        std::fs::write(root.path().join("outside"), "secret").unwrap();
        scratch.create("inside").unwrap();
        for path in [
            "../outside",
            "a/../../outside",
            "/etc/passwd",
            "./a",
            "a//b",
            "",
            "..",
            ".",
            "a/..",
            "..\\outside",
            "a\0b",
            "a\nb",
            "1/2/3/4/5/6/7/8/9",
            &"x".repeat(256),
        ] {
            assert_eq!(code(scratch.size(path)), "file_bad_path", "{path:?}");
            assert_eq!(code(scratch.read(path, 0, 10)), "file_bad_path", "{path:?}");
            assert_eq!(code(scratch.create(path)), "file_bad_path", "{path:?}");
            assert_eq!(code(scratch.write(path, WriteAt::End, b"x")), "file_bad_path", "{path:?}");
            assert_eq!(code(scratch.remove(path)), "file_bad_path", "{path:?}");
        }
        assert_eq!(std::fs::read(root.path().join("outside")).unwrap(), b"secret");
    }

    #[cfg(unix)]
    #[test]
    fn no_link_is_followed() {
        use std::os::unix::fs::symlink;

        let (root, scratch) = scratch(1000);
        std::fs::write(root.path().join("outside"), "secret").unwrap();
        scratch.create("inside").unwrap();
        let folder = root.path().join(Uuid::nil().to_string());
        symlink("../outside", folder.join("link")).unwrap();
        symlink(root.path(), folder.join("folder")).unwrap();
        symlink("inside", folder.join("own")).unwrap();
        for path in ["link", "folder/outside", "own"] {
            assert!(scratch.read(path, 0, 10).is_err(), "{path}");
            assert!(scratch.write(path, WriteAt::End, b"x").is_err(), "{path}");
            assert!(scratch.create(path).is_err(), "{path}");
        }
        assert!(scratch.list("").unwrap().iter().all(|file| file.path == "inside"));
        assert_eq!(std::fs::read(root.path().join("outside")).unwrap(), b"secret");
        // Removing a link removes the link.
        assert!(scratch.remove("link").unwrap());
        assert!(root.path().join("outside").exists());
    }

    #[test]
    fn the_quota_holds_and_is_given_back() {
        let (_root, scratch) = scratch(10);
        scratch.write("a", WriteAt::End, b"123456").unwrap();
        assert_eq!(code(scratch.write("b", WriteAt::End, b"12345")), "scratch_limit");
        assert_eq!(code(scratch.write("a", WriteAt::Offset(100), b"1")), "scratch_limit");
        assert_eq!(code(scratch.write("a", WriteAt::Offset(u64::MAX), b"1")), "scratch_limit");
        scratch.write("a", WriteAt::Offset(0), b"6543210").unwrap();
        scratch.write("b", WriteAt::End, b"123").unwrap();
        scratch.create("a").unwrap();
        scratch.write("b", WriteAt::End, b"4567890").unwrap();
        scratch.remove("b").unwrap();
        scratch.write("a", WriteAt::End, b"1234567890").unwrap();
    }

    #[test]
    fn a_second_look_counts_what_is_there() {
        let (root, first) = scratch(10);
        first.write("x/a", WriteAt::End, b"123456").unwrap();
        drop(first);
        let second = Scratch::new(root.path(), RunId(Uuid::nil()), 10);
        assert_eq!(second.read("x/a", 0, 10).unwrap(), b"123456");
        assert_eq!(code(second.write("b", WriteAt::End, b"12345")), "scratch_limit");
    }

    #[test]
    fn files_are_counted() {
        let (_root, scratch) = scratch(1000);
        for n in 0..MOST_ENTRIES {
            scratch.create(&format!("{n}")).unwrap();
        }
        assert_eq!(code(scratch.create("one-more")), "scratch_limit");
        scratch.remove("0").unwrap();
        scratch.create("one-more").unwrap();
        scratch.create("one-more").unwrap();
    }

    #[test]
    fn folders_of_other_runs_are_removed_when_they_are_old() {
        struct Late;
        impl restroy_sdk::time::Clock for Late {
            fn now(&self) -> restroy_sdk::time::Timestamp {
                restroy_sdk::time::System.now().after(STALE * 2)
            }
        }
        let (root, scratch) = scratch(1000);
        scratch.create("a").unwrap();
        std::fs::create_dir(root.path().join("not-ours")).unwrap();
        remove_stale(root.path(), &Ambient::system()).unwrap();
        assert_eq!(std::fs::read_dir(root.path()).unwrap().count(), 2);
        let late = Ambient::new(std::sync::Arc::new(Late), std::sync::Arc::new(restroy_sdk::time::System));
        remove_stale(root.path(), &late).unwrap();
        let left: Vec<_> = std::fs::read_dir(root.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        assert_eq!(left, ["not-ours"]);
    }
}
