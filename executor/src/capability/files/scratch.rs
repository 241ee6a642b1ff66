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
mod tests;
