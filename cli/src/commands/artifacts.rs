//! `restroy artifacts`.

use std::{
    fs::{self, OpenOptions},
    io::Write as _,
    path::Path,
};

use restroy_sdk::api::run::Artifact;

use super::run_id;
use crate::{
    args::Artifacts,
    context::Context,
    failure::{Failure, Outcome},
    find,
    output::{bytes, moment, print, table},
};

/// Lists the files that a run kept, or fetches them.
pub(crate) async fn artifacts(context: &Context, args: &Artifacts) -> Outcome {
    let run = run_id(&args.run)?;
    let client = context.client()?;
    let artifacts = find::all(async |paging| client.artifacts(run, &paging).await).await?;
    if let Some(folder) = &args.download {
        fs::create_dir_all(folder).map_err(|error| Failure::file("make", folder, &error))?;
        let mut kept = Vec::new();
        for artifact in &artifacts {
            let path = folder.join(file_name(&artifact.name)?);
            let content = client.artifact(run, artifact.id).await?;
            keep(&path, &content)?;
            if context.json {
                kept.push(path);
            } else {
                print(&format!("{}  {}", path.display(), bytes(content.len() as u64)));
            }
        }
        return if context.json { context.show(&kept, |_| String::new()) } else { Ok(()) };
    }
    if context.json {
        return context.show(&artifacts, |_| String::new());
    }
    if artifacts.is_empty() {
        print("the run has no artifacts");
        return Ok(());
    }
    let rows = artifacts.into_iter().map(|Artifact { name, step, bytes: length, sha256, created_at, .. }| {
        [
            name,
            step,
            bytes(u64::try_from(length).unwrap_or(0)),
            moment(created_at),
            sha256[..12.min(sha256.len())].to_owned(),
        ]
    });
    print(&table(["NAME", "STEP", "SIZE", "KEPT", "SHA-256"], rows));
    Ok(())
}

/// The name if it is one of a plain file: it was chosen by a script and must not lead elsewhere.
fn file_name(name: &str) -> Outcome<&str> {
    let plain = Path::new(name).file_name().and_then(|file| file.to_str()) == Some(name)
        && !name.starts_with('.')
        && !name.contains(['/', '\\'])
        && !name.chars().any(char::is_control);
    if plain { Ok(name) } else { Err(Failure::new(format!("the artifact's name {name:?} is not one of a plain file"))) }
}

/// Writes a new file; one that is there stays.
fn keep(path: &Path, content: &[u8]) -> Outcome {
    OpenOptions::new().write(true).create_new(true).open(path).and_then(|mut file| file.write_all(content)).map_err(
        |error| {
            let failure = Failure::file("write", path, &error);
            let there = error.kind() == std::io::ErrorKind::AlreadyExists;
            if there {
                failure.help("existing files are kept: move them away, or download into another folder")
            } else {
                failure
            }
        },
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_cannot_lead_elsewhere() {
        assert!(file_name("report.txt").is_ok());
        for name in ["", "..", "../x", "/etc/passwd", ".bashrc", "a/b", "a\\b", "a\nb"] {
            assert!(file_name(name).is_err(), "{name:?}");
        }
    }

    #[test]
    fn what_is_there_stays() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a");
        keep(&path, b"1").unwrap();
        assert!(keep(&path, b"2").is_err());
        assert_eq!(fs::read(&path).unwrap(), b"1");
    }
}
