//! `restroy pull`.

use std::{
    fmt::Write as _,
    fs, io,
    path::{Path, PathBuf},
};

use restroy_sdk::{
    api::pipeline::{Definition, Pipeline},
    document::{path_errors, to_yaml},
};
use serde_json::json;

use crate::{
    args::Pull,
    context::Context,
    failure::{Failure, Outcome},
    find,
    folder::Folder,
};

/// The document's file.
const DOCUMENT: &str = "pipeline.yaml";

/// Writes a pipeline of the server into a folder.
pub(crate) async fn pull(context: &Context, args: &Pull) -> Outcome {
    let client = context.client()?;
    let pipeline = find::pipeline(&client, &args.pipeline, args.board.as_deref()).await?;
    let definition = match (args.version, pipeline.latest_version) {
        (Some(number), _) => client.version(pipeline.id, number).await?,
        (None, Some(_)) => client.definition(pipeline.id).await?,
        (None, None) => {
            return Err(Failure::new(format!("`{}` has no version yet", pipeline.name))
                .help("push a folder to it with `restroy push DIR`"));
        }
    };
    let folder = match &args.folder {
        Some(folder) => folder.clone(),
        None => named(&pipeline)?,
    };
    let files = contents(&definition)?;
    let others = clear(&folder, &files, args.force)?;
    for (path, text) in &files {
        write(&folder.join(path), text)?;
    }
    let number = definition.version.number;
    let answer = json!({ "folder": folder, "version": number, "files": files.len(), "others": others });
    context.show(&answer, |_| {
        let mut text = format!("{}: version {number} written to {}", pipeline.name, folder.display());
        if !others.is_empty() {
            let note = "not part of this version, but part of the next push:";
            let _ = write!(text, "\n  {} {}", context.paint.yellow(note), others.join(", "));
        }
        let named_by_folder = definition.definition.name.is_none()
            && folder.file_name().and_then(|name| name.to_str()) != Some(pipeline.name.as_str());
        if named_by_folder {
            let note = "the document says no `name`, so a push names the pipeline by the folder; add:";
            let _ = write!(text, "\n  {} name: {}", context.paint.yellow(note), pipeline.name);
        }
        text
    })
}

/// A folder here that is called like the pipeline.
fn named(pipeline: &Pipeline) -> Outcome<PathBuf> {
    let name = pipeline.name.as_str();
    if name.starts_with('.') || name.contains(['/', '\\']) {
        return Err(Failure::usage(format!("`{name}` cannot be a folder's name")).help(
            "name one: restroy pull NAME \
            DIR",
        ));
    }
    Ok(name.into())
}

/// The files that the folder is to hold, by path. A server's paths are taken as no more than that: none
/// leaves the folder.
fn contents(definition: &Definition) -> Outcome<Vec<(String, String)>> {
    let yaml = to_yaml(&definition.definition)
        .map_err(|error| Failure::new(format!("the document cannot be written as YAML: {error}")))?;
    let mut files = vec![(DOCUMENT.to_owned(), yaml)];
    if let Some((path, reason)) = path_errors(definition.files.keys().map(String::as_str)).into_iter().next() {
        return Err(Failure::new(format!("the server's version has a file whose path {reason}: {path:?}"))
            .help("nothing was written"));
    }
    files.extend(definition.files.iter().map(|(path, source)| (path.clone(), source.clone())));
    Ok(files)
}

/// Makes sure that nothing is lost: a folder that is not there or empty, or one whose files may be
/// written over. Gives the Lua files in it that are none of the pipeline's.
fn clear(folder: &Path, files: &[(String, String)], force: bool) -> Outcome<Vec<String>> {
    let entries = match fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(Failure::file("read", folder, &error)),
    };
    let mut empty = true;
    for entry in entries {
        let entry = entry.map_err(|error| Failure::file("read", folder, &error))?;
        // What begins with a dot is none of a pipeline's: a repository's folder, for one.
        empty &= entry.file_name().to_string_lossy().starts_with('.');
    }
    if empty {
        return Ok(Vec::new());
    }
    if !force {
        return Err(Failure::new(format!("{} is not empty; nothing was written", folder.display()))
            .help("name another folder, or overwrite it with --force"));
    }
    // A link may lead anywhere, be it the file itself or a folder on the way to it.
    for (path, _) in files {
        let mut at = folder.to_owned();
        for part in path.split('/') {
            at.push(part);
            if at.is_symlink() {
                return Err(Failure::new(format!("{} is a link; nothing was written", at.display()))
                    .help("remove it, or name another folder"));
            }
        }
    }
    if !Folder::is_one(folder) {
        return Ok(Vec::new());
    }
    let present = Folder::read(folder)?;
    let of_this = |path: &String| files.iter().any(|(other, _)| other == path);
    Ok(present.files.into_keys().filter(|path| !of_this(path)).collect())
}

fn write(path: &Path, text: &str) -> Outcome {
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder).map_err(|error| Failure::file("make", folder, &error))?;
    }
    fs::write(path, text).map_err(|error| Failure::file("write", path, &error))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_there_is_not_written_over() {
        let folder = tempfile::tempdir().unwrap();
        let files = vec![(DOCUMENT.to_owned(), String::new()), ("a.lua".to_owned(), String::new())];
        let clear = |force| clear(folder.path(), &files, force);
        assert!(super::clear(&folder.path().join("none"), &files, false).unwrap().is_empty());
        fs::create_dir(folder.path().join(".git")).unwrap();
        assert!(clear(false).unwrap().is_empty());
        fs::write(folder.path().join(DOCUMENT), "restroy: 1\n").unwrap();
        fs::write(folder.path().join("b.lua"), "return 1").unwrap();
        assert!(clear(false).is_err());
        assert_eq!(clear(true).unwrap(), ["b.lua"]);
        std::os::unix::fs::symlink("/etc/passwd", folder.path().join("a.lua")).unwrap();
        assert!(clear(true).is_err(), "a link may lead anywhere");
        fs::remove_file(folder.path().join("a.lua")).unwrap();
        let outside = tempfile::tempdir().unwrap();
        std::os::unix::fs::symlink(outside.path(), folder.path().join("scripts")).unwrap();
        assert_eq!(clear(true).unwrap(), ["b.lua"], "a link that nothing goes through harms nobody");
        let below = [("scripts/lib/x.lua".to_owned(), String::new())];
        assert!(super::clear(folder.path(), &below, true).is_err(), "nor does a folder on the way");
    }
}
