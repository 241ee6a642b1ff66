//! A folder on disk that a run may fill, within its bounds.
//!
//! Paths are resolved by cap-std below an open folder: neither `..` nor an absolute path nor a link
//! leads out of it. Every operation holds the folder's lock, so
//! that what is counted is what is there; the folder belongs to one task at a time.

use std::{
    io::{self, Read, Seek, SeekFrom, Write},
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use cap_std::{
    ambient_authority,
    fs::{Dir, File, OpenOptions},
};
use lua_wasm_host::{CallError, FileEntry, WriteAt};
use restroy_sdk::ids::{RunId, TeamId};

use super::shares::ScratchQuota;

/// How many files and folders one run may make.
const MOST_ENTRIES: u64 = 1_000;
/// How deep folders may nest.
const DEEPEST: usize = 8;
/// A listing gives at most so many.
const MOST_LISTED: usize = 1_000;
/// What a file or folder takes beyond its content, in bytes.
const ENTRY_BYTES: u64 = 4 * 1024;

/// The scratch folder of a run.
#[derive(Debug)]
pub(crate) struct Scratch {
    path: PathBuf,
    limit: u64,
    team: TeamId,
    shares: Arc<ScratchQuota>,
    state: Mutex<ScratchState>,
}

#[derive(Debug, Default)]
struct ScratchState {
    /// Made at the first use: most runs have no use for files.
    dir: Option<Dir>,
    /// The folder was removed: it is not made again.
    removed: bool,
    content: FolderContent,
}

/// What is in a folder.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(super) struct FolderContent {
    bytes: u64,
    entries: u64,
}

impl FolderContent {
    /// As it is booked.
    pub(super) fn reserved_bytes(self) -> u64 {
        self.bytes.saturating_add(self.entries.saturating_mul(ENTRY_BYTES))
    }
}

/// Looks through a folder.
pub(super) fn measure(dir: &Dir) -> io::Result<FolderContent> {
    let mut content = FolderContent::default();
    walk(dir, "", 0, &mut |_, size| {
        content.entries += 1;
        content.bytes += size.unwrap_or(0);
    })?;
    Ok(content)
}

impl Scratch {
    /// The folder of a run; what an earlier lease left in it is still there. Not made before it is
    /// used.
    pub(crate) fn new(root: &Path, run: RunId, team: TeamId, limit: u64, shares: Arc<ScratchQuota>) -> Self {
        Self { path: root.join(run.to_string()), limit, team, shares, state: Mutex::default() }
    }

    fn open(&self) -> Result<MutexGuard<'_, ScratchState>, CallError> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if state.removed {
            return Err(CallError::new("file_failed", "the run's scratch folder was removed"));
        }
        if state.dir.is_none() {
            let dir = std::fs::create_dir_all(&self.path)
                .and_then(|()| Dir::open_ambient_dir(&self.path, ambient_authority()))
                .map_err(|error| internal_io_error(&error))?;
            state.content = measure(&dir).map_err(|error| internal_io_error(&error))?;
            self.shares.reserve_existing(self.team, state.content.reserved_bytes());
            state.dir = Some(dir);
        }
        Ok(state)
    }

    /// The size of a file, unless there is none.
    pub(crate) fn size(&self, path: &str) -> Result<Option<u64>, CallError> {
        check_path(path)?;
        let state = self.open()?;
        match state.dir()?.symlink_metadata(path) {
            Ok(metadata) if metadata.is_file() => Ok(Some(metadata.len())),
            Ok(_) => Err(not_a_file(path)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(path_error(path, &error)),
        }
    }

    /// Up to `max` bytes from `offset`.
    pub(crate) fn read(&self, path: &str, offset: u64, max: u64) -> Result<Vec<u8>, CallError> {
        check_path(path)?;
        let state = self.open()?;
        let mut file = open_file(state.dir()?, path, OpenOptions::new().read(true))?;
        file.seek(SeekFrom::Start(offset)).map_err(|error| path_error(path, &error))?;
        let mut data = Vec::new();
        file.take(max.min(self.limit)).read_to_end(&mut data).map_err(|error| path_error(path, &error))?;
        Ok(data)
    }

    /// Makes the file, or empties it.
    pub(crate) fn create(&self, path: &str) -> Result<(), CallError> {
        check_path(path)?;
        let mut state = self.open()?;
        let file = self.file_for_writing(&mut state, path)?;
        let before = file.metadata().map_err(|error| path_error(path, &error))?.len();
        file.set_len(0).map_err(|error| path_error(path, &error))?;
        self.record_shrink(&mut state, before);
        Ok(())
    }

    /// Writes and gives the position after it.
    pub(crate) fn write(&self, path: &str, at: WriteAt, data: &[u8]) -> Result<u64, CallError> {
        check_path(path)?;
        let mut state = self.open()?;
        let mut file = self.file_for_writing(&mut state, path)?;
        let before = file.metadata().map_err(|error| path_error(path, &error))?.len();
        let start = match at {
            WriteAt::Offset(offset) => offset,
            WriteAt::End => before,
        };
        let end = start.checked_add(data.len() as u64).ok_or_else(|| self.space_exceeded())?;
        let grown = end.saturating_sub(before);
        if state.content.bytes.saturating_add(grown) > self.limit {
            return Err(self.space_exceeded());
        }
        self.reserve(grown)?;
        // Booked whatever becomes of it: a part may be written.
        state.content.bytes += grown;
        file.seek(SeekFrom::Start(start))
            .and_then(|_| file.write_all(data))
            .map_err(|error| path_error(path, &error))?;
        Ok(end)
    }

    /// Removes a file. Whether it was there.
    pub(crate) fn remove(&self, path: &str) -> Result<bool, CallError> {
        check_path(path)?;
        let mut state = self.open()?;
        let size = match state.dir()?.symlink_metadata(path) {
            Ok(metadata) if metadata.is_dir() => return Err(not_a_file(path)),
            Ok(metadata) => metadata.len(),
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
            Err(error) => return Err(path_error(path, &error)),
        };
        state.dir()?.remove_file(path).map_err(|error| path_error(path, &error))?;
        self.record_shrink(&mut state, size);
        state.content.entries = state.content.entries.saturating_sub(1);
        self.shares.release(self.team, ENTRY_BYTES);
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
        .map_err(|error| internal_io_error(&error))?;
        found.sort_by(|a, b| a.path.cmp(&b.path));
        found.truncate(MOST_LISTED);
        Ok(found)
    }

    /// Removes the folder with all that is in it, for good.
    pub(crate) fn remove_all(&self) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.dir = None;
        state.removed = true;
        self.shares.release(self.team, std::mem::take(&mut state.content).reserved_bytes());
        match std::fs::remove_dir_all(&self.path) {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => tracing::warn!(path = %self.path.display(), %error, "a scratch folder stays behind"),
        }
    }

    /// Opens a file, making it and the folders above it if need be.
    fn file_for_writing(&self, state: &mut ScratchState, path: &str) -> Result<File, CallError> {
        let dir = state.dir()?;
        let mut missing = Vec::new();
        let mut made = 0;
        if dir.symlink_metadata(path).is_err() {
            let parts: Vec<&str> = path.split('/').collect();
            let above = (1..parts.len()).map(|depth| parts[..depth].join("/"));
            missing.extend(above.filter(|folder| dir.symlink_metadata(folder).is_err()));
            made = missing.len() as u64 + 1;
            if state.content.entries + made > MOST_ENTRIES {
                let message = format!("the run's scratch folder holds too many files (limit: {MOST_ENTRIES})");
                return Err(CallError::new("scratch_limit", message));
            }
            self.reserve(made * ENTRY_BYTES)?;
        }
        // Booked whatever becomes of it: some folders may be made.
        state.content.entries += made;
        let dir = state.dir()?;
        for folder in missing {
            dir.create_dir(&folder).map_err(|error| path_error(path, &error))?;
        }
        open_file(dir, path, OpenOptions::new().read(true).write(true).create(true))
    }

    /// Takes bytes of the executor's space.
    fn reserve(&self, bytes: u64) -> Result<(), CallError> {
        self.shares.reserve(self.team, bytes).map_err(|full| {
            let message = format!(
                "the team's share of this executor's scratch space is full (limit at this moment: {} bytes)",
                full.share
            );
            CallError::new("scratch_limit", message)
        })
    }

    fn record_shrink(&self, state: &mut ScratchState, bytes: u64) {
        let bytes = bytes.min(state.content.bytes);
        state.content.bytes -= bytes;
        self.shares.release(self.team, bytes);
    }

    fn space_exceeded(&self) -> CallError {
        CallError::new("scratch_limit", format!("the run's scratch folder is full (limit: {} bytes)", self.limit))
    }
}

impl ScratchState {
    fn dir(&self) -> Result<&Dir, CallError> {
        self.dir.as_ref().ok_or_else(|| CallError::new("file_failed", "the scratch folder is gone"))
    }
}

fn open_file(dir: &Dir, path: &str, options: &OpenOptions) -> Result<File, CallError> {
    // Scripts cannot make links; one that is there was put there by somebody else.
    if dir.symlink_metadata(path).is_ok_and(|metadata| !metadata.is_file()) {
        return Err(not_a_file(path));
    }
    let file = dir.open_with(path, options).map_err(|error| path_error(path, &error))?;
    let metadata = file.metadata().map_err(|error| path_error(path, &error))?;
    if metadata.is_file() { Ok(file) } else { Err(not_a_file(path)) }
}

/// Describes every entry below `dir`: its path, and its size if it is a file.
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
fn check_path(path: &str) -> Result<(), CallError> {
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
fn path_error(path: &str, error: &io::Error) -> CallError {
    match error.kind() {
        io::ErrorKind::NotFound => not_found(path),
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
            CallError::new("scratch_limit", "the executor's disk is full")
        }
        kind => CallError::new("file_failed", format!("`{path}`: {kind}")),
    }
}

fn internal_io_error(error: &io::Error) -> CallError {
    tracing::error!(%error, "a scratch folder cannot be used");
    CallError::new("file_failed", format!("the scratch folder cannot be used: {}", error.kind()))
}

#[cfg(test)]
mod tests;
