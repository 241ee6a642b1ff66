//! Where the secrets are written: whole or not at all, and over nothing.
//!
//! The folder can be entered by its owner only. The files within that are mounted into containers are
//! readable for all who get that far: each container has a user of its own, and sees only the files
//! that are mounted into it.

use std::{
    fs::{self, DirBuilder, OpenOptions, Permissions},
    io::{self, ErrorKind, Write as _},
    os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, PermissionsExt as _},
    path::{Path, PathBuf},
};

use restroy_sdk::time::Ambient;
use serde::Serialize;
use zeroize::Zeroizing;

use super::NewFile;
use crate::failure::{Failure, Outcome};

/// The folder of secrets, as `docker-compose.yml` names it.
pub(super) const SECRETS: &str = "secrets";
/// The environment file that `docker compose` reads by itself.
const ENVIRONMENT: &str = ".env";

/// Who may read a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum FileMode {
    /// Its owner.
    Owner,
    /// The containers it is mounted into.
    Mounted,
}

impl FileMode {
    fn bits(self) -> u32 {
        match self {
            Self::Owner => 0o600,
            Self::Mounted => 0o444,
        }
    }
}

/// A file that was made.
#[derive(Debug, Serialize)]
pub(super) struct WrittenFile {
    /// The file's path.
    pub(super) path: PathBuf,
    /// What it is.
    #[serde(rename = "is")]
    pub(super) what: &'static str,
}

/// Writes the environment file and the folder of secrets. What is there already is an error, or with
/// `force` gets another name; gives what was made, and those other names.
pub(super) fn write_all(
    dir: &Path,
    ambient: &Ambient,
    environment: &str,
    files: &[NewFile],
    force: bool,
) -> Outcome<(Vec<WrittenFile>, Vec<PathBuf>)> {
    let (env, secrets) = (dir.join(ENVIRONMENT), dir.join(SECRETS));
    let there: Vec<_> = [&env, &secrets].into_iter().filter(|path| path.symlink_metadata().is_ok()).collect();
    if let Some(first) = there.first().filter(|_| !force) {
        return Err(Failure::new(format!("{} is there already", first.display())).help(
            "an installation has one set of secrets: keep it; `--renew-certificates` makes a new certificate, and \
             `--force` new secrets, with the old ones kept under another name",
        ));
    }
    // Everything is written under other names first: what fails half-way leaves the old as it was.
    let new = dir.join(format!(".{SECRETS}.new-{}", hex::encode(ambient.random::<4>())));
    let written = write_folder(&new, files)
        .and_then(|()| write_file(&new.join(ENVIRONMENT), environment, FileMode::Owner))
        .and_then(|()| put_in_place(ambient, &new, &there, [&env, &secrets]));
    let kept = match written {
        Ok(kept) => kept,
        Err(failure) => {
            let _ = fs::remove_dir_all(&new);
            return Err(failure);
        }
    };
    let mut made = vec![WrittenFile { path: env, what: "settings of docker-compose.yml; no secrets" }];
    made.extend(files.iter().map(|file| WrittenFile { path: secrets.join(file.name), what: file.what }));
    Ok((made, kept))
}

fn put_in_place(
    ambient: &Ambient,
    new: &Path,
    there: &[&PathBuf],
    [env, secrets]: [&Path; 2],
) -> Outcome<Vec<PathBuf>> {
    let mut kept = Vec::new();
    let renamed = (|| {
        for old in there {
            let backup = backup_name(ambient, old);
            rename(old, &backup)?;
            kept.push(backup);
        }
        rename(&new.join(ENVIRONMENT), env)?;
        rename(new, secrets)
    })();
    if let Err(failure) = renamed {
        for (old, backup) in there.iter().zip(&kept) {
            // What lies there now is new, and of no use alone.
            let _ = fs::rename(backup, old);
        }
        return Err(failure);
    }
    Ok(kept)
}

/// Replaces single files of the folder; the old ones get other names.
pub(super) fn replace(dir: &Path, ambient: &Ambient, files: &[NewFile]) -> Outcome<(Vec<WrittenFile>, Vec<PathBuf>)> {
    let secrets = dir.join(SECRETS);
    if !secrets.is_dir() {
        return Err(Failure::new(format!("{} is not there", secrets.display()))
            .help("`restroy init` makes it; --dir names the folder that it lies in"));
    }
    let (mut made, mut kept) = (Vec::new(), Vec::new());
    for file in files {
        let new = secrets.join(format!(".{}.new", file.name));
        let _ = fs::remove_file(&new); // of an attempt that was cut off
        write_file(&new, &file.content, file.mode)?;
    }
    for file in files {
        let path = secrets.join(file.name);
        if path.symlink_metadata().is_ok() {
            let backup = backup_name(ambient, &path);
            rename(&path, &backup)?;
            kept.push(backup);
        }
        rename(&secrets.join(format!(".{}.new", file.name)), &path)?;
        made.push(WrittenFile { path, what: file.what });
    }
    Ok((made, kept))
}

/// A file of the folder; `None` when it is not there.
pub(super) fn read(dir: &Path, name: &str) -> Outcome<Option<Zeroizing<String>>> {
    let path = dir.join(SECRETS).join(name);
    match fs::read_to_string(&path) {
        Ok(text) => Ok(Some(Zeroizing::new(text))),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(Failure::file("read", &path, &error)),
    }
}

fn write_folder(folder: &Path, files: &[NewFile]) -> Outcome {
    DirBuilder::new().mode(0o700).create(folder).map_err(|error| Failure::file("make", folder, &error))?;
    files.iter().try_for_each(|file| write_file(&folder.join(file.name), &file.content, file.mode))
}

fn write_file(path: &Path, content: &str, mode: FileMode) -> Outcome {
    let write = || -> io::Result<()> {
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
        file.write_all(content.as_bytes())?;
        // Said outright: the umask has no say in what containers can read.
        file.set_permissions(Permissions::from_mode(mode.bits()))?;
        file.sync_all()
    };
    write().map_err(|error| Failure::file("write", path, &error))
}

fn rename(from: &Path, to: &Path) -> Outcome {
    fs::rename(from, to)
        .map_err(|error| Failure::new(format!("cannot rename {} to {}: {error}", from.display(), to.display())))
}

/// A name that is free: the moment, and a number when that is taken.
fn backup_name(ambient: &Ambient, path: &Path) -> PathBuf {
    let moment = ambient.now().to_jiff().strftime("%Y%m%dT%H%M%SZ").to_string();
    let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let mut backup = path.with_file_name(format!("{name}.backup-{moment}"));
    let mut n = 1;
    while backup.symlink_metadata().is_ok() {
        n += 1;
        backup = path.with_file_name(format!("{name}.backup-{moment}-{n}"));
    }
    backup
}
