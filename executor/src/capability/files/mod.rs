//! The scratch folder of a run, and what of it is kept.

mod folders;
mod scratch;
mod shares;

use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use lua_wasm_host::{ArtifactRequest, CallContext, CallError, CallResult, FileEntry, Files, WriteAt};

pub(crate) use self::{
    folders::{FolderDisposition, ScratchFolders},
    scratch::Scratch,
};
use super::attempt::{AttemptContext, call_result};

/// The largest artifact, in bytes.
const ARTIFACT_BYTES: u64 = 16 * 1024 * 1024;
/// The longest name of an artifact, in bytes.
const NAME_BYTES: usize = 255;

/// The file capability of one attempt.
pub(crate) struct AttemptFiles {
    pub(crate) attempt: Arc<AttemptContext>,
    pub(crate) scratch: Arc<Scratch>,
}

impl AttemptFiles {
    /// Does something that may block, off the async threads. It is carried through even when the
    /// attempt ends meanwhile, so that the folder's books stay right.
    ///
    /// It takes no turn of the team, because it is bounded and short: a sandbox waits for each of its calls, and a call
    /// moves at most [`ARTIFACT_BYTES`] or lists a folder of at most a thousand entries.
    async fn blocking<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Scratch) -> Result<T, CallError> + Send + 'static,
    ) -> CallResult<T> {
        let scratch = Arc::clone(&self.scratch);
        match tokio::task::spawn_blocking(move || work(&scratch)).await {
            Ok(result) => Ok(result?),
            Err(_) => Err(CallError::new("internal", "the file operation failed").into()),
        }
    }
}

#[async_trait]
impl Files for AttemptFiles {
    async fn size(&self, path: &str) -> CallResult<Option<u64>> {
        let path = path.to_owned();
        self.blocking(move |scratch| scratch.size(&path)).await
    }

    async fn read(&self, path: &str, offset: u64, max: u64) -> CallResult<Vec<u8>> {
        let path = path.to_owned();
        self.blocking(move |scratch| scratch.read(&path, offset, max)).await
    }

    async fn create(&self, path: &str) -> CallResult<()> {
        let path = path.to_owned();
        self.blocking(move |scratch| scratch.create(&path)).await
    }

    async fn write(&self, path: &str, at: WriteAt, data: &[u8]) -> CallResult<u64> {
        let (path, data) = (path.to_owned(), data.to_vec());
        self.blocking(move |scratch| scratch.write(&path, at, &data)).await
    }

    async fn remove(&self, path: &str) -> CallResult<bool> {
        let path = path.to_owned();
        self.blocking(move |scratch| scratch.remove(&path)).await
    }

    async fn list(&self, prefix: &str) -> CallResult<Vec<FileEntry>> {
        let prefix = prefix.to_owned();
        self.blocking(move |scratch| scratch.list(&prefix)).await
    }

    async fn artifact(&self, call: &CallContext, request: ArtifactRequest) -> CallResult<()> {
        let ArtifactRequest { path, name, content_type } = request;
        check_name(&name)?;
        let content = self
            .blocking(move |scratch| {
                match scratch.size(&path)? {
                    None => return Err(scratch::not_found(&path)),
                    Some(size) if size > ARTIFACT_BYTES => {
                        let message = format!("`{path}` is too large to be kept (limit: {ARTIFACT_BYTES} bytes)");
                        return Err(CallError::new("artifact_too_large", message));
                    }
                    Some(_) => {}
                }
                scratch.read(&path, 0, ARTIFACT_BYTES)
            })
            .await?;
        let content_type = content_type.filter(|text| is_media_type(text));
        let bytes = content.len();
        let kept = (name, content_type, content);
        let (name, content_type, content) = self
            .attempt
            .refuse_secrets("an artifact", bytes, kept, |(name, content_type, content), masker, budget| {
                let described = [Some(name), content_type.as_ref()].into_iter().flatten().map(String::as_bytes);
                described.chain([content.as_slice()]).any(|bytes| masker.contains_secret(bytes, budget))
            })
            .await?;
        let content_type = content_type.as_deref().unwrap_or("application/octet-stream");
        let key = self.attempt.key(call);
        let api = &self.attempt.task.api;
        let kept = api.artifact(&self.attempt.step, call.number, &key, &name, content_type, Bytes::from(content)).await;
        call_result(kept).map(|_| ())
    }
}

fn check_name(name: &str) -> Result<(), CallError> {
    let fine = !name.is_empty()
        && name.len() <= NAME_BYTES
        && name != "."
        && name != ".."
        && !name.contains(['/', '\\'])
        && !name.chars().any(char::is_control);
    if fine {
        return Ok(());
    }
    let message = format!("`{}` is not a plain file name of 1 to {NAME_BYTES} bytes", name.escape_debug());
    Err(CallError::new("artifact_bad_name", message))
}

fn is_media_type(text: &str) -> bool {
    let token = |part: &str| {
        !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"!#$&-^_.+".contains(&byte))
    };
    text.len() <= 100 && text.split_once('/').is_some_and(|(kind, subtype)| token(kind) && token(subtype))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn artifact_names_are_plain() {
        for name in ["report.txt", "a b", "bericht-ä.csv"] {
            assert!(check_name(name).is_ok(), "{name}");
        }
        for name in ["", ".", "..", "a/b", "..\\a", "a\nb", "a\0", &"x".repeat(256)] {
            assert!(check_name(name).is_err(), "{name:?}");
        }
    }

    #[test]
    fn media_types_cannot_break_a_header() {
        assert!(is_media_type("text/csv"));
        for text in ["text", "text/", "/x", "text/csv\r\nx: y", "text/html; a=b"] {
            assert!(!is_media_type(text), "{text}");
        }
    }
}
