//! The scratch folder: open files are the dispatcher's, bytes the embedder's.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::json;

use super::{Answer, CallTime, Dispatcher, parse, require_service};
use crate::wire::op;
use crate::{ArtifactRequest, CallContext, CallError, CallKind, CallResult, Files, WriteAt};

/// The files a run has open, by handle.
#[derive(Default)]
pub(super) struct OpenFiles {
    open: BTreeMap<u32, OpenFile>,
    last: u32,
}

#[derive(Clone)]
struct OpenFile {
    path: String,
    read: bool,
    write: bool,
    append: bool,
}

#[derive(Deserialize)]
struct FileRequest {
    #[serde(default)]
    path: String,
    #[serde(default)]
    mode: String,
    #[serde(default)]
    handle: u32,
    offset: Option<u64>,
    max: Option<u64>,
    #[serde(default)]
    prefix: String,
    #[serde(default)]
    name: String,
    content_type: Option<String>,
}

impl Dispatcher {
    pub(super) async fn file(&mut self, op: u32, head: &[u8], body: Vec<u8>) -> CallResult<Answer> {
        let service = self.host_context.files.clone();
        let files = require_service(self.host_context.grants.files, "files", service.as_deref())?;
        let request: FileRequest = parse(head)?;
        match op {
            op::FILE_OPEN => self.file_open(files, request).await,
            op::FILE_CLOSE => {
                self.open_file(request.handle)?;
                self.files.open.remove(&request.handle);
                Ok(Answer::empty())
            }
            op::FILE_READ => {
                let file = self.open_file(request.handle)?;
                if !file.read {
                    return Err(CallError::new("file_mode", "the file is not open for reading").into());
                }
                let max = request.max.unwrap_or(u64::MAX).min(self.limits.host_call_bytes);
                let call = self.file_context(&file.path);
                let act = files.read(&file.path, request.offset.unwrap_or(0), max);
                let bytes = self.perform(&call, CallTime::Stands, 0, act, |bytes| (bytes.len(), None)).await?;
                Ok(Answer::body(bytes))
            }
            op::FILE_WRITE => {
                let file = self.open_file(request.handle)?;
                if !file.write {
                    return Err(CallError::new("file_mode", "the file is not open for writing").into());
                }
                let at = match request.offset {
                    Some(offset) if !file.append => WriteAt::Offset(offset),
                    _ => WriteAt::End,
                };
                let call = self.file_context(&file.path);
                let act = files.write(&file.path, at, &body);
                let position = self.perform(&call, CallTime::Stands, body.len(), act, |_| (0, None)).await?;
                Ok(Answer::head(&json!({ "position": position }))?)
            }
            op::FILE_HANDLE_SIZE => {
                let file = self.open_file(request.handle)?;
                let size = self.file_size(files, &file.path).await?.unwrap_or(0);
                Ok(Answer::head(&json!({ "size": size }))?)
            }
            op::FILE_SIZE => {
                check_path(&request.path)?;
                let size = self.file_size(files, &request.path).await?;
                Ok(Answer::head(&size.map_or(json!({}), |size| json!({ "size": size })))?)
            }
            op::FILE_REMOVE => {
                check_path(&request.path)?;
                let call = self.file_context(&request.path);
                let act = files.remove(&request.path);
                let existed = self.perform(&call, CallTime::Stands, 0, act, |_| (0, None)).await?;
                Ok(Answer::head(&json!({ "existed": existed }))?)
            }
            op::FILE_LIST => {
                let call = self.file_context(&request.prefix);
                let act = files.list(&request.prefix);
                let listed = self
                    .perform(&call, CallTime::Stands, 0, act, |list| {
                        (list.iter().map(|file| file.path.len()).sum(), None)
                    })
                    .await?;
                let listed: Vec<_> = listed
                    .into_iter()
                    .take(1_000)
                    .map(|file| json!({ "path": file.path, "size": file.size }))
                    .collect();
                Ok(Answer::head(&json!({ "files": listed }))?)
            }
            _ => self.artifact(files, request).await,
        }
    }

    async fn file_open(&mut self, files: &dyn Files, request: FileRequest) -> CallResult<Answer> {
        check_path(&request.path)?;
        let (read, write, append, create) = match request.mode.as_str() {
            "r" => (true, false, false, false),
            "w" => (false, true, false, true),
            "a" => (false, true, true, false),
            "r+" => (true, true, false, false),
            "w+" => (true, true, false, true),
            "a+" => (true, true, true, false),
            _ => return Err(CallError::new("invalid_argument", format!("{:?} is not a mode", request.mode)).into()),
        };
        if self.files.open.len() >= self.limits.open_files as usize {
            let limit = self.limits.open_files;
            return Err(CallError::new("open_files_limit", format!("too many files are open (limit: {limit})")).into());
        }
        let size = if create {
            let call = self.file_context(&request.path);
            self.perform(&call, CallTime::Stands, 0, files.create(&request.path), |()| (0, None)).await?;
            0
        } else {
            match self.file_size(files, &request.path).await? {
                Some(size) => size,
                None if append => {
                    let call = self.file_context(&request.path);
                    self.perform(&call, CallTime::Stands, 0, files.create(&request.path), |()| (0, None)).await?;
                    0
                }
                None => {
                    return Err(CallError::new("file_not_found", format!("{}: no such file", request.path)).into());
                }
            }
        };
        self.files.last += 1;
        let handle = self.files.last;
        self.files.open.insert(handle, OpenFile { path: request.path, read, write, append });
        Ok(Answer::head(&json!({ "handle": handle, "size": size }))?)
    }

    async fn file_size(&self, files: &dyn Files, path: &str) -> CallResult<Option<u64>> {
        let call = self.file_context(path);
        self.perform(&call, CallTime::Stands, 0, files.size(path), |_| (0, None)).await
    }

    async fn artifact(&self, files: &dyn Files, request: FileRequest) -> CallResult<Answer> {
        check_path(&request.path)?;
        let name = if request.name.is_empty() {
            request.path.rsplit('/').next().unwrap_or_default().to_owned()
        } else {
            request.name
        };
        if name.len() > 255 || name.contains(['/', '\\']) || name.chars().any(char::is_control) {
            return Err(CallError::new("invalid_argument", "an artifact's name is a plain file name").into());
        }
        if let Some(kind) = &request.content_type
            && (kind.len() > 127 || !kind.contains('/') || !kind.bytes().all(|byte| (b' '..=b'~').contains(&byte)))
        {
            return Err(CallError::new("invalid_argument", format!("{kind:?} is not a media type")).into());
        }
        let call = self.context(CallKind::Artifact, name.clone(), &[request.path.as_bytes()], None);
        let request = ArtifactRequest { path: request.path, name, content_type: request.content_type };
        self.perform(&call, CallTime::Stands, 0, files.artifact(&call, request), |()| (0, None)).await?;
        Ok(Answer::empty())
    }

    fn open_file(&self, handle: u32) -> Result<OpenFile, CallError> {
        self.files.open.get(&handle).cloned().ok_or_else(|| CallError::new("file_closed", "the file is closed"))
    }

    fn file_context(&self, path: &str) -> CallContext {
        self.context(CallKind::Files, path.to_owned(), &[], None)
    }
}

/// A path within the scratch folder.
fn check_path(path: &str) -> Result<(), CallError> {
    let plain = |part: &str| !matches!(part, "" | "." | "..");
    if path.is_empty()
        || path.len() > 255
        || path.contains('\\')
        || path.chars().any(char::is_control)
        || !path.split('/').all(plain)
    {
        return Err(CallError::new("invalid_argument", format!("{path:?} is not a path within the scratch folder")));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::check_path;

    #[test]
    fn paths_stay_in_the_folder() {
        for path in ["a", "a/b.txt", "ünï.csv", ".hidden", "..a"] {
            assert!(check_path(path).is_ok(), "{path}");
        }
        let long = "x".repeat(256);
        for path in ["", "/a", "a/", "a//b", ".", "..", "a/../b", "../a", "a\\b", "a\0b", "a\nb", &long] {
            assert!(check_path(path).is_err(), "{path:?}");
        }
    }
}
