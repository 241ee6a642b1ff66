//! The scratch folder in memory.

use std::{
    collections::BTreeMap,
    sync::{Mutex, MutexGuard, PoisonError},
};

use async_trait::async_trait;
use lua_wasm_host::{ArtifactRequest, CallContext, CallError, CallResult, FileEntry, Files, WriteAt};

use crate::{
    output::bytes,
    style::{Paint, clean},
};

/// All files together, in bytes: the default of a run.
const MAX_BYTES: usize = 50 * 1024 * 1024;
const MAX_FILES: usize = 10_000;
const MAX_LISTED: usize = 1_000;

/// The scratch folder in memory.
pub(crate) struct MemoryFiles {
    files: Mutex<BTreeMap<String, Vec<u8>>>,
    paint: Paint,
}

impl MemoryFiles {
    /// An empty folder.
    pub(crate) fn new(paint: Paint) -> Self {
        Self { files: Mutex::default(), paint }
    }

    fn files(&self) -> MutexGuard<'_, BTreeMap<String, Vec<u8>>> {
        self.files.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn not_found(path: &str) -> CallError {
    CallError::new("file_not_found", format!("no file `{path}`"))
}

fn full() -> CallError {
    CallError::new("scratch_limit", format!("the scratch folder is full (limit: {MAX_BYTES} bytes, {MAX_FILES} files)"))
}

#[async_trait]
impl Files for MemoryFiles {
    async fn size(&self, path: &str) -> CallResult<Option<u64>> {
        Ok(self.files().get(path).map(|content| content.len() as u64))
    }

    async fn read(&self, path: &str, offset: u64, max: u64) -> CallResult<Vec<u8>> {
        let files = self.files();
        let content = files.get(path).ok_or_else(|| not_found(path))?;
        let start = usize::try_from(offset).unwrap_or(usize::MAX).min(content.len());
        let end = start.saturating_add(usize::try_from(max).unwrap_or(usize::MAX)).min(content.len());
        Ok(content[start..end].to_vec())
    }

    async fn create(&self, path: &str) -> CallResult<()> {
        let mut files = self.files();
        if files.len() >= MAX_FILES && !files.contains_key(path) {
            return Err(full().into());
        }
        files.insert(path.to_owned(), Vec::new());
        Ok(())
    }

    async fn write(&self, path: &str, at: WriteAt, data: &[u8]) -> CallResult<u64> {
        let mut files = self.files();
        if files.len() >= MAX_FILES && !files.contains_key(path) {
            return Err(full().into());
        }
        let length = files.get(path).map_or(0, Vec::len);
        let start = match at {
            WriteAt::Offset(offset) => usize::try_from(offset).map_err(|_| full())?,
            WriteAt::End => length,
        };
        let end = start.checked_add(data.len()).ok_or_else(full)?;
        // Bounded before anything is allocated: an offset can lie anywhere.
        let others = files.values().map(Vec::len).sum::<usize>() - length;
        if others.saturating_add(length.max(end)) > MAX_BYTES {
            return Err(full().into());
        }
        let content = files.entry(path.to_owned()).or_default();
        content.resize(length.max(end), 0);
        content[start..end].copy_from_slice(data);
        Ok(end as u64)
    }

    async fn remove(&self, path: &str) -> CallResult<bool> {
        Ok(self.files().remove(path).is_some())
    }

    async fn list(&self, prefix: &str) -> CallResult<Vec<FileEntry>> {
        let files = self.files();
        let found = files.iter().filter(|(path, _)| path.starts_with(prefix)).take(MAX_LISTED);
        Ok(found.map(|(path, content)| FileEntry { path: path.clone(), size: content.len() as u64 }).collect())
    }

    async fn artifact(&self, _: &CallContext, request: ArtifactRequest) -> CallResult<()> {
        let files = self.files();
        let content = files.get(&request.path).ok_or_else(|| not_found(&request.path))?;
        let size = bytes(content.len() as u64);
        eprintln!("{}", self.paint.cyan(&format!("artifact {} (not kept), {size}", clean(&request.name))));
        Ok(())
    }
}
