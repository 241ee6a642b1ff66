//! `restroy admin executor`: who executes, and by what credential.

use std::path::{Path, PathBuf};

use clap::Subcommand;
use restroy_control_plane::{
    runs::executors::{self, Known},
    store::Db,
};
use restroy_sdk::{ids::ExecutorId, problem::ProblemCode, time::Ambient};
use serde_json::json;

use super::{database::Database, failed::failed};
use crate::{
    context,
    failure::{Failure, Outcome},
    output,
    style::clean,
};

/// How many executors are listed at most.
const MOST_LISTED: u32 = 10_000;
/// The longest name of an executor, in bytes.
const MAX_NAME: usize = 100;

/// What is to be done with executors.
#[derive(Debug, Subcommand)]
pub(crate) enum ExecutorCommand {
    /// Make an executor known and print its credential, this once
    #[command(after_help = "\
Examples:
  restroy admin executor create berlin-1 > /run/secrets/executor-credential
  restroy admin executor create berlin-1 --json")]
    Create {
        /// Its name, for people
        name: String,
        #[command(flatten)]
        database: Database,
    },
    /// Make known the executors whose credentials were made elsewhere, such as by `restroy init`
    ///
    /// The file has a line for each: its name, a space, and the SHA-256 of its credential in hex. Safe to
    /// repeat: a credential that is known, or was revoked, stays as it is.
    Import {
        /// The file
        file: PathBuf,
        #[command(flatten)]
        database: Database,
    },
    /// Take an executor's credential away; what it has in hand it may finish
    Revoke {
        /// Its id, from `restroy admin executor list`
        id: String,
        #[command(flatten)]
        database: Database,
    },
    /// List executors: slots, engine, when each was heard last, whether it is revoked
    List {
        #[command(flatten)]
        database: Database,
    },
}

/// Does it.
pub(super) async fn executor(command: ExecutorCommand, as_json: bool) -> Outcome {
    match command {
        ExecutorCommand::Create { name, database } => create(&name, &database.open().await?, as_json).await,
        ExecutorCommand::Import { file, database } => {
            let hashes = read_hashes(&file)?;
            import(&hashes, &database.open().await?, as_json).await
        }
        ExecutorCommand::Revoke { id, database } => {
            let id = id.parse().map_err(|_| {
                Failure::usage(format!("`{id}` is not the id of an executor"))
                    .help("`restroy admin executor list` lists executors with their ids")
            })?;
            revoke(id, &database.open().await?, as_json).await
        }
        ExecutorCommand::List { database } => list(&database.open().await?, as_json).await,
    }
}

async fn create(name: &str, db: &Db, as_json: bool) -> Outcome {
    named(name).map_err(Failure::usage)?;
    let (id, credential) = executors::add(db, &Ambient::system(), name).await.map_err(|error| failed(&error))?;
    db.close().await;
    if as_json {
        output::print(&context::json(&json!({ "id": id, "name": name, "credential": credential }))?);
    } else {
        // The credential alone on standard output: it goes into a file.
        eprintln!("{} is known as {id}; its credential, which is not shown again:", clean(name));
        output::print(&credential);
    }
    Ok(())
}

fn named(name: &str) -> Result<(), String> {
    if (1..=MAX_NAME).contains(&name.len()) && !name.chars().any(char::is_control) {
        Ok(())
    } else {
        Err(format!("the name of an executor has 1 to {MAX_NAME} bytes, and no control characters"))
    }
}

/// Names and hashes.
fn read_hashes(file: &Path) -> Outcome<Vec<(String, Vec<u8>)>> {
    let text = std::fs::read_to_string(file).map_err(|error| Failure::file("read", file, &error))?;
    let mut hashes = Vec::new();
    for (number, line) in text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty()) {
        let read = || {
            let (name, hash) = line.trim().rsplit_once(' ')?;
            let hash = hex::decode(hash).ok().filter(|hash| hash.len() == 32)?;
            named(name.trim()).ok()?;
            Some((name.trim().to_owned(), hash))
        };
        hashes.push(read().ok_or_else(|| {
            Failure::new(format!("{}:{}: a line is a name, a space and 64 hex digits", file.display(), number + 1))
                .help("`restroy init` writes such a file")
        })?);
    }
    Ok(hashes)
}

async fn import(hashes: &[(String, Vec<u8>)], db: &Db, as_json: bool) -> Outcome {
    let mut made = Vec::new();
    for (name, hash) in hashes {
        let id = executors::register(db, &Ambient::system(), name, hash).await.map_err(|error| failed(&error))?;
        made.extend(id.map(|id| json!({ "id": id, "name": name })));
    }
    db.close().await;
    if as_json {
        output::print(&context::json(&json!({ "made": made, "known": hashes.len() - made.len() }))?);
    } else {
        output::print(&format!("{} new, {} known before", made.len(), hashes.len() - made.len()));
    }
    Ok(())
}

async fn revoke(id: ExecutorId, db: &Db, as_json: bool) -> Outcome {
    executors::withdraw(db, &Ambient::system(), id).await.map_err(|error| match error.code() {
        ProblemCode::NotFound => Failure::new(format!("there is no executor {id} whose credential is in force"))
            .help("`restroy admin executor list` lists them"),
        _ => failed(&error),
    })?;
    db.close().await;
    if as_json {
        output::print(&context::json(&json!({ "id": id, "revoked": true }))?);
    } else {
        output::print(&format!("the credential of {id} is revoked; what it has in hand it may finish"));
    }
    Ok(())
}

async fn list(db: &Db, as_json: bool) -> Outcome {
    let known = executors::list(db, MOST_LISTED).await.map_err(|error| failed(&error))?;
    db.close().await;
    if as_json {
        output::print(&context::json(&known)?);
        return Ok(());
    }
    if known.is_empty() {
        output::print("no executors yet; `restroy admin executor create NAME` makes one");
        return Ok(());
    }
    let rows = known.into_iter().map(|Known { id, name, slots, engine_id, heartbeat_at, revoked_at, .. }| {
        let heard = heartbeat_at.map_or_else(|| "never".to_owned(), output::moment);
        let revoked = revoked_at.map_or_else(|| "no".to_owned(), output::moment);
        // Whether two executors have the same engine is seen from its beginning.
        let engine = engine_id.get(..12).unwrap_or(&engine_id).to_owned();
        [name, id.to_string(), slots.to_string(), engine, heard, revoked]
    });
    output::print(&output::table(["NAME", "ID", "SLOTS", "ENGINE", "HEARD", "REVOKED"], rows));
    Ok(())
}
