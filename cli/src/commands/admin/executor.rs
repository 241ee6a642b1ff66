//! `restroy admin executor`: who executes, and by what credential.

use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use restroy_control_plane::{
    DomainError,
    runs::executors::{self, DEFAULT_SLOTS, ExecutorInfo, MAX_SLOTS, Terms, TermsPatch},
    store::Db,
};
use restroy_sdk::{
    ids::ExecutorId,
    time::{Ambient, Timestamp},
};
use rustls::pki_types::{CertificateDer, pem::PemObject as _};
use serde_json::json;
use sha2::{Digest as _, Sha256};

use super::{database::Database, failed::failed};
use crate::{
    commands::tokens::parse_lifetime,
    context,
    failure::{Failure, Outcome},
    output,
    style::clean,
};

/// How many executors are listed at most.
const MOST_LISTED: u32 = 10_000;
/// The longest name of an executor, in bytes.
const MAX_NAME: usize = 100;

/// What an executor may do.
#[derive(Debug, Args)]
pub(crate) struct TermsArgs {
    /// How many tasks it may hold at once; claims beyond are refused
    #[arg(long, value_name = "N", default_value_t = DEFAULT_SLOTS, value_parser = clap::value_parser!(u32).range(1..=i64::from(MAX_SLOTS)))]
    slots: u32,
    /// After what time its credential expires, such as 12h, 90d or 52w; never unless given
    #[arg(long, value_name = "TIME")]
    expires: Option<String>,
    /// Bind its credential to this client certificate (PEM): it counts only on connections opened with it
    #[arg(long, value_name = "FILE")]
    certificate: Option<PathBuf>,
}

impl TermsArgs {
    fn terms(&self) -> Outcome<Terms> {
        Ok(Terms {
            slots: self.slots,
            expires_at: self.expires.as_deref().map(expiry).transpose()?,
            certificate: self.certificate.as_deref().map(fingerprint).transpose()?,
        })
    }
}

/// What is to be done with executors.
#[derive(Debug, Subcommand)]
pub(crate) enum ExecutorCommand {
    /// Make an executor known and print its credential, this once
    #[command(after_help = "\
Examples:
  restroy admin executor create berlin-1 > /run/secrets/executor-credential
  restroy admin executor create berlin-1 --slots 8 --expires 90d
  restroy admin executor create berlin-1 --json")]
    Create {
        /// Its name, for people
        name: String,
        #[command(flatten)]
        terms: TermsArgs,
        #[command(flatten)]
        database: Database,
    },
    /// Make known the executors whose credentials were made elsewhere, such as by `restroy init`
    ///
    /// The file has a line for each: its name, a space, and the SHA-256 of its credential in hex. Safe to
    /// repeat: a credential that is known, or was revoked, stays as it is.
    #[command(after_help = "\
Examples:
  restroy admin executor import /run/secrets/executor-hashes --slots 4")]
    Import {
        /// The file
        file: PathBuf,
        #[command(flatten)]
        terms: TermsArgs,
        #[command(flatten)]
        database: Database,
    },
    /// Change how many tasks an executor may hold, when its credential expires, what certificate it is bound to
    #[command(after_help = "\
Examples:
  restroy admin executor set 0197a4e0-5b0e-7c52-b2f4-6d3c9f0a8e21 --slots 8
  restroy admin executor set 0197a4e0-5b0e-7c52-b2f4-6d3c9f0a8e21 --expires 90d --certificate none")]
    Set {
        /// Its id, from `restroy admin executor list`
        id: String,
        /// How many tasks it may hold at once
        #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=i64::from(MAX_SLOTS)))]
        slots: Option<u32>,
        /// After what time from now its credential expires, such as 12h, 90d or 52w; or `never`
        #[arg(long, value_name = "TIME")]
        expires: Option<String>,
        /// The client certificate (PEM) that its credential is bound to; or `none`
        #[arg(long, value_name = "FILE")]
        certificate: Option<PathBuf>,
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

/// Runs the subcommand.
pub(super) async fn executor(command: ExecutorCommand, as_json: bool) -> Outcome {
    match command {
        ExecutorCommand::Create { name, terms, database } => {
            let terms = terms.terms()?;
            create(&name, &terms, &database.open().await?, as_json).await
        }
        ExecutorCommand::Import { file, terms, database } => {
            let (hashes, terms) = (read_hashes(&file)?, terms.terms()?);
            import(&hashes, &terms, &database.open().await?, as_json).await
        }
        ExecutorCommand::Set { id, slots, expires, certificate, database } => {
            let id = id_of(&id)?;
            let new = TermsPatch {
                slots,
                expires_at: match expires.as_deref() {
                    Some("never") => Some(None),
                    Some(expires) => Some(Some(expiry(expires)?)),
                    None => None,
                },
                certificate: match certificate.as_deref() {
                    Some(file) if file == Path::new("none") => Some(None),
                    Some(file) => Some(Some(fingerprint(file)?)),
                    None => None,
                },
            };
            set(id, &new, &database.open().await?, as_json).await
        }
        ExecutorCommand::Revoke { id, database } => revoke(id_of(&id)?, &database.open().await?, as_json).await,
        ExecutorCommand::List { database } => list(&database.open().await?, as_json).await,
    }
}

fn id_of(id: &str) -> Outcome<ExecutorId> {
    id.parse().map_err(|_| {
        Failure::usage(format!("`{id}` is not the id of an executor"))
            .help("`restroy admin executor list` lists executors with their ids")
    })
}

/// The moment that is so long from now.
fn expiry(text: &str) -> Outcome<Timestamp> {
    Ok(Ambient::system().now().after(parse_lifetime(text)?))
}

/// SHA-256 of the first certificate in a file, in its DER form.
fn fingerprint(file: &Path) -> Outcome<[u8; 32]> {
    let certificate = CertificateDer::from_pem_file(file).map_err(|error| {
        Failure::new(format!("{} holds no certificate as PEM: {error}", file.display()))
            .help("it takes the executor's client certificate, without its key")
    })?;
    Ok(Sha256::digest(&certificate).into())
}

async fn create(name: &str, terms: &Terms, db: &Db, as_json: bool) -> Outcome {
    named(name).map_err(Failure::usage)?;
    let (id, credential) =
        executors::create_in(db, &Ambient::system(), name, terms).await.map_err(|error| failed(&error))?;
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

async fn import(hashes: &[(String, Vec<u8>)], terms: &Terms, db: &Db, as_json: bool) -> Outcome {
    let mut made = Vec::new();
    for (name, hash) in hashes {
        let id =
            executors::register(db, &Ambient::system(), name, hash, terms).await.map_err(|error| failed(&error))?;
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

fn unknown(id: ExecutorId, error: &DomainError) -> Failure {
    match error {
        DomainError::NotFound => Failure::new(format!("there is no executor {id} with a valid credential"))
            .help("`restroy admin executor list` lists them"),
        _ => failed(error),
    }
}

async fn set(id: ExecutorId, new: &TermsPatch, db: &Db, as_json: bool) -> Outcome {
    let terms = executors::update_terms(db, &Ambient::system(), id, new).await.map_err(|error| unknown(id, &error))?;
    db.close().await;
    let Terms { slots, expires_at, certificate } = terms;
    if as_json {
        let certificate = certificate.map(hex::encode);
        let terms = json!({ "id": id, "slots": slots, "expires_at": expires_at, "certificate": certificate });
        output::print(&context::json(&terms)?);
    } else {
        let expires =
            expires_at.map_or_else(|| "never expires".to_owned(), |at| format!("expires {}", output::moment(at)));
        let bound = if certificate.is_some() { ", bound to a client certificate" } else { "" };
        output::print(&format!("{id} may hold {slots} tasks concurrently; its credential {expires}{bound}"));
    }
    Ok(())
}

async fn revoke(id: ExecutorId, db: &Db, as_json: bool) -> Outcome {
    executors::revoke_in(db, &Ambient::system(), id).await.map_err(|error| unknown(id, &error))?;
    db.close().await;
    if as_json {
        output::print(&context::json(&json!({ "id": id, "revoked": true }))?);
    } else {
        output::print(&format!("the credential of {id} is revoked; it may finish the tasks that it holds"));
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
        output::print("no executors yet; create one with `restroy admin executor create NAME`");
        return Ok(());
    }
    let rows = known.into_iter().map(|known| {
        let ExecutorInfo {
            id,
            name,
            slots,
            slot_limit,
            engine_id,
            heartbeat_at,
            revoked_at,
            expires_at,
            certificate,
            ..
        } = known;
        let expires = expires_at.map_or_else(|| "never".to_owned(), output::moment);
        let bound = if certificate.is_some() { "yes" } else { "no" }.to_owned();
        let heard = heartbeat_at.map_or_else(|| "never".to_owned(), output::moment);
        let revoked = revoked_at.map_or_else(|| "no".to_owned(), output::moment);
        // Whether two executors have the same engine is seen from its beginning.
        let engine = engine_id.get(..12).unwrap_or(&engine_id).to_owned();
        [name, id.to_string(), format!("{slots} of {slot_limit}"), engine, heard, expires, bound, revoked]
    });
    let head = ["NAME", "ID", "SLOTS", "ENGINE", "HEARD", "EXPIRES", "BOUND", "REVOKED"];
    output::print(&output::table(head, rows));
    Ok(())
}
