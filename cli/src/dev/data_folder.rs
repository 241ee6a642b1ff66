//! The folder in which embedded mode keeps everything, locked while a process uses it.

use std::{
    fs::{self, File, OpenOptions, TryLockError},
    io::{self, Read as _, Write as _},
    os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
};

/// The folder, and the lock on it: no second process can hold leases on the same database.
#[derive(Debug)]
pub(crate) struct DataFolder {
    path: PathBuf,
    _lock: File,
}

/// Why the folder cannot be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum DataFolderError {
    /// Somebody else works on it.
    #[error("another restroy process uses {0}: stop it, or pass another folder with --data-dir")]
    InUse(PathBuf),
    /// The file system says no.
    #[error("cannot use {0} as the data folder: {1}")]
    Io(PathBuf, io::Error),
}

impl DataFolder {
    /// Makes the folder when it is not there (for its owner only) and locks it.
    pub(crate) fn open(path: &Path) -> Result<Self, DataFolderError> {
        let failed = |error| DataFolderError::Io(path.to_owned(), error);
        fs::DirBuilder::new().recursive(true).mode(0o700).create(path).map_err(failed)?;
        let path = path.canonicalize().map_err(failed)?;
        let lock =
            OpenOptions::new().create(true).truncate(false).write(true).open(path.join("lock")).map_err(failed)?;
        match lock.try_lock() {
            Ok(()) => Ok(Self { path, _lock: lock }),
            Err(TryLockError::WouldBlock) => Err(DataFolderError::InUse(path)),
            Err(TryLockError::Error(error)) => Err(DataFolderError::Io(path, error)),
        }
    }

    /// The database file.
    pub(crate) fn database(&self) -> PathBuf {
        self.path.join("restroy.db")
    }

    /// Where runs keep their scratch folders.
    pub(crate) fn scratch(&self) -> PathBuf {
        self.path.join("scratch")
    }

    /// Where the folder is.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Puts another text into such a file: the old one or the new one is there, whatever happens.
    pub(crate) fn replace_secret(&self, name: &str, text: &str) -> Result<(), DataFolderError> {
        let (path, new) = (self.path.join(name), self.path.join(format!("{name}.new")));
        let failed = |error| DataFolderError::Io(path.clone(), error);
        // What an earlier attempt left, with whatever rights.
        if let Err(error) = fs::remove_file(&new)
            && error.kind() != io::ErrorKind::NotFound
        {
            return Err(failed(error));
        }
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&new).map_err(failed)?;
        file.write_all(text.as_bytes()).and_then(|()| file.sync_all()).map_err(failed)?;
        fs::rename(&new, &path).and_then(|()| File::open(&self.path)?.sync_all()).map_err(failed)
    }

    /// The text in a file that only its owner can read; made by `make` when it is not there.
    pub(crate) fn secret_text(&self, name: &str, make: impl FnOnce() -> String) -> Result<String, DataFolderError> {
        let path = self.path.join(name);
        let failed = |error| DataFolderError::Io(path.clone(), error);
        match OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path) {
            Ok(mut file) => {
                let text = make();
                file.write_all(text.as_bytes()).and_then(|()| file.sync_all()).map_err(failed)?;
                Ok(text)
            }
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                let mut text = String::new();
                File::open(&path).and_then(|mut file| file.read_to_string(&mut text)).map_err(failed)?;
                Ok(text)
            }
            Err(error) => Err(failed(error)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_process_is_refused_and_keys_stay() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("data");
        let first = DataFolder::open(&path).unwrap();
        let key = first.secret_text("master.key", || "made once".to_owned()).unwrap();
        assert!(matches!(DataFolder::open(&path), Err(DataFolderError::InUse(_))));
        drop(first);
        let folder = DataFolder::open(&path).unwrap();
        assert_eq!(folder.secret_text("master.key", || "made again".to_owned()).unwrap(), key);
        fs::write(path.join("master.key.new"), "left behind").unwrap();
        folder.replace_secret("master.key", "another").unwrap();
        assert_eq!(folder.secret_text("master.key", || "made again".to_owned()).unwrap(), "another");
    }
}
