//! The scratch folder.

use async_trait::async_trait;

use super::{CallContext, CallResult};

/// The scratch folder of a run. Paths are relative, with `/`, of 1 to 255 bytes, without empty,
/// `.` or `..` parts; an implementation still must not follow links out of the folder. Folders come
/// to be with their files. Bounding the bytes of the folder is the implementor's
/// (`scratch_limit`).
#[async_trait]
pub trait Files: Send + Sync {
    /// The size of a file, unless there is none.
    async fn size(&self, path: &str) -> CallResult<Option<u64>>;

    /// Up to `max` bytes from `offset`; empty at the end. A missing file is `file_not_found`.
    async fn read(&self, path: &str, offset: u64, max: u64) -> CallResult<Vec<u8>>;

    /// Makes the file, empty, emptying one that is there.
    async fn create(&self, path: &str) -> CallResult<()>;

    /// Writes, making the file if need be, and gives the position after what was written.
    async fn write(&self, path: &str, at: WriteAt, data: &[u8]) -> CallResult<u64>;

    /// Removes a file. Whether it was there.
    async fn remove(&self, path: &str) -> CallResult<bool>;

    /// Up to 1,000 files whose path begins with `prefix`, by path.
    async fn list(&self, prefix: &str) -> CallResult<Vec<FileEntry>>;

    /// Keeps a file as an artifact of the run. Effectful.
    async fn artifact(&self, call: &CallContext, request: ArtifactRequest) -> CallResult<()>;
}

/// Where a write goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WriteAt {
    /// At this offset; a gap is filled with zeros.
    Offset(u64),
    /// After the last byte.
    End,
}

/// A file of the scratch folder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileEntry {
    /// Its path.
    pub path: String,
    /// Its size in bytes.
    pub size: u64,
}

/// A file to keep.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ArtifactRequest {
    /// The file, in the scratch folder.
    pub path: String,
    /// What people see it as; a plain file name.
    pub name: String,
    /// Its media type, if the script said so.
    pub content_type: Option<String>,
}
