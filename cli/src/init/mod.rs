//! `restroy init`: makes the secrets, the certificates and the environment file that
//! `docker-compose.yml` needs, once.

mod address;
mod certificates;
mod folder;
mod secrets;

use std::{
    fmt::Write as _,
    path::{Path, PathBuf},
};

use clap::Args as ClapArgs;
use restroy_sdk::time::Ambient;
use serde::Serialize;

use crate::{
    failure::{Failure, Outcome},
    output,
};

use address::Address;
use folder::{FileMode, WrittenFile};

/// Make the secrets, the certificates and the settings that docker-compose.yml needs
///
/// Nothing that is there is ever overwritten: with --force, what was there is kept beside it under
/// another name.
#[derive(Debug, ClapArgs)]
#[command(after_help = "\
Examples:
  restroy init                                    to try it out: http://localhost:8080
  restroy init --public-url https://restroy.example.com
  restroy init --renew-certificates               a new certificate for the run API, nothing else")]
pub(crate) struct Args {
    /// The folder with docker-compose.yml
    #[arg(long, value_name = "DIR", default_value = ".")]
    dir: PathBuf,
    /// Where people will reach it; https, unless it is this machine
    #[arg(long, value_name = "URL", default_value = "http://localhost:8080")]
    public_url: String,
    /// A further name or address under which executors reach the run API; may be given several times
    #[arg(long, value_name = "NAME")]
    run_api_name: Vec<String>,
    /// Make new secrets although there are some; the old ones are kept under another name
    #[arg(long, conflicts_with = "renew_certificates")]
    force: bool,
    /// Make a new certificate for the run API, and leave everything else as it is
    #[arg(long)]
    renew_certificates: bool,
}

/// What was made, for `--json`; never a secret.
#[derive(Debug, Serialize)]
struct InitReport {
    made: Vec<WrittenFile>,
    kept: Vec<PathBuf>,
    certificate_valid_to: String,
    authority_valid_to: Option<String>,
}

/// Does what was asked for, and says what to do next.
pub(crate) fn run(args: &Args, as_json: bool) -> Outcome {
    let ambient = Ambient::system();
    if !args.dir.is_dir() {
        return Err(Failure::usage(format!("{} is not a directory", args.dir.display()))
            .help("--dir names the folder with docker-compose.yml"));
    }
    let names = certificates::names(&args.run_api_name)?;
    let report = if args.renew_certificates {
        renew(&args.dir, &ambient, &names)?
    } else {
        write_installation(&args.dir, &Address::parse(&args.public_url)?, args.force, &ambient, &names)?
    };
    if as_json {
        output::print(&serde_json::json!(report).to_string());
    } else {
        output::print(&if args.renew_certificates { renewed(&report) } else { first_steps(args, &report) });
    }
    Ok(())
}

fn write_installation(
    dir: &Path,
    address: &Address,
    force: bool,
    ambient: &Ambient,
    names: &[String],
) -> Outcome<InitReport> {
    let authority = certificates::authority(ambient)?;
    let server = authority.certificate(ambient, names)?;
    let mut files = secrets::files(ambient);
    files.extend(authority.files());
    files.extend(server.files());
    let (made, kept) = folder::write_all(dir, ambient, &address.environment(), &files, force)?;
    Ok(InitReport {
        made,
        kept,
        certificate_valid_to: server.valid_to,
        authority_valid_to: Some(authority.valid_to.clone()),
    })
}

fn renew(dir: &Path, ambient: &Ambient, names: &[String]) -> Outcome<InitReport> {
    let key = folder::read(dir, certificates::AUTHORITY_KEY)?;
    let (authority, new) = match key {
        Some(key) => {
            (certificates::existing(&key, &dir.join(folder::SECRETS).join(certificates::AUTHORITY_KEY))?, false)
        }
        None => (certificates::authority(ambient)?, true),
    };
    let server = authority.certificate(ambient, names)?;
    let mut files = server.files();
    if new {
        files.extend(authority.files());
    }
    let (made, kept) = folder::replace(dir, ambient, &files)?;
    let authority_valid_to = new.then(|| authority.valid_to.clone());
    Ok(InitReport { made, kept, certificate_valid_to: server.valid_to, authority_valid_to })
}

fn listing(report: &InitReport) -> String {
    let width = report.made.iter().map(|made| made.path.as_os_str().len()).max().unwrap_or(0);
    let mut text = String::from("Made:\n");
    for WrittenFile { path, what, .. } in &report.made {
        let _ = writeln!(text, "  {:width$}  {what}", path.display());
    }
    if !report.kept.is_empty() {
        text.push_str("\nWhat was there before is kept as:\n");
        for path in &report.kept {
            let _ = writeln!(text, "  {}", path.display());
        }
    }
    text
}

fn first_steps(args: &Args, report: &InitReport) -> String {
    let mut text = listing(report);
    let secrets = folder::SECRETS;
    let _ = write!(
        text,
        "
Keep `{secrets}` secret, and keep a copy of it in a safe place, apart from the backups of the database:
without the master key in {secrets}/master-keys nobody can read the teams' secrets again.
{secrets}/{} signs certificates of the run API; no service needs it, so it may be kept
elsewhere.

The run API's certificate is valid until {}: `restroy init --renew-certificates` makes
the next one.
",
        certificates::AUTHORITY_KEY,
        report.certificate_valid_to,
    );
    if !report.kept.is_empty() {
        text.push_str(
            "
If a database of this installation exists already, it knows the old passwords and keys only: go back to
them (rename the folder that was kept), or start with an empty database (`docker compose down --volumes`).
",
        );
    }
    let _ = write!(
        text,
        "
Next:
  docker compose up --detach --wait
  docker compose run --rm register-executors admin account create YOU@EXAMPLE.COM
and then {} answers, and the second command has printed a token: `restroy password --token TOKEN --server {}`
chooses the password of that first account.",
        args.public_url, args.public_url
    );
    text
}

fn renewed(report: &InitReport) -> String {
    let mut text = listing(report);
    let _ = writeln!(text, "\nThe run API's certificate is valid until {}.", report.certificate_valid_to);
    if report.authority_valid_to.is_some() {
        text.push_str(
            "
The key of the authority that signed the last one was not there, so there is a new authority as well:
executors must get to know it.

Next:
  docker compose up --detach --force-recreate control-plane-1 control-plane-2 executor-1 executor-2",
        );
    } else {
        text.push_str("\nNext, one after the other, so that one always serves:\n  docker compose restart control-plane-1\n  docker compose restart control-plane-2");
    }
    text
}

/// A file to be written.
struct NewFile {
    name: &'static str,
    what: &'static str,
    mode: FileMode,
    content: zeroize::Zeroizing<String>,
}
