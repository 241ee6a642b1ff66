//! `restroy keys list`, `restroy keys rotate`: the master keys that the teams' data keys are sealed with, and
//! these data keys.

use std::collections::BTreeMap;

use clap::{Args as ClapArgs, Subcommand};
use restroy_control_plane::{
    secrets::KeyRing,
    store::{Db, StoreError, second_factor, team_keys},
};
use restroy_sdk::time::Ambient;
use serde::Serialize;
use serde_json::json;

use crate::{
    context,
    dev::Keys,
    failure::{Failure, Outcome},
    output,
    services::database,
    settings::{GivenFlags, ResolvedSettings, environment, tables},
};

/// Connections to the database: one command needs no more.
const CONNECTIONS: u32 = 2;

/// What is to be done with the master keys.
#[derive(Debug, Subcommand)]
pub(crate) enum KeysCommand {
    /// List the master keys, the newest first, and how many teams' keys each of them seals
    List {
        #[command(flatten)]
        place: KeyLocation,
    },
    /// Seal every team's key with the newest master key
    ///
    /// With RESTROY_DATABASE_URL and RESTROY_MASTER_KEYS: those of an installation, while it runs; the newest key is
    /// the first of the list, and every control-plane must know it before. Else those of a data folder of `restroy dev`
    /// that is stopped, for which a new key is made. Breaking it off does no harm: called again, it continues.
    Rotate {
        /// Give every team a new data key instead, and seal its secrets anew: when one may have been seen
        ///
        /// Every control-plane must be of this version; they continue meanwhile.
        #[arg(long)]
        data_keys: bool,
        #[command(flatten)]
        place: KeyLocation,
    },
}

/// Where keys and database are.
#[derive(Debug, ClapArgs)]
pub(crate) struct KeyLocation {
    #[command(flatten)]
    settings: GivenFlags<tables::Keys>,
}

/// Keys and database.
enum OpenKeys {
    Installation(Db, KeyRing),
    Folder(Keys),
}

impl OpenKeys {
    async fn at(place: &KeyLocation) -> Outcome<Self> {
        let settings = ResolvedSettings::resolve(&place.settings, &environment())?.settings;
        match (&settings.database_url, &settings.master_keys) {
            (Some(url), Some(keys)) => {
                Ok(Self::Installation(database(url, CONNECTIONS).await?, keys.ring().map_err(Failure::new)?))
            }
            _ => Ok(Self::Folder(Keys::open(&settings.data_dir, &Ambient::system()).await?)),
        }
    }

    fn parts(&self) -> (&Db, &KeyRing) {
        match self {
            Self::Installation(db, ring) => (db, ring),
            Self::Folder(keys) => (&keys.db, &keys.ring),
        }
    }
}

/// Runs the subcommand.
pub(crate) async fn keys(command: KeysCommand, as_json: bool) -> Outcome {
    match command {
        KeysCommand::List { place } => list(&OpenKeys::at(&place).await?, as_json).await,
        KeysCommand::Rotate { data_keys: true, place } => replace(&OpenKeys::at(&place).await?, as_json).await,
        KeysCommand::Rotate { place, .. } => rotate(OpenKeys::at(&place).await?, as_json).await,
    }
}

fn failed(error: impl Into<StoreError>) -> Failure {
    Failure::new(error.into().to_string())
}

/// How much each key seals.
async fn uses(open: &OpenKeys) -> Outcome<BTreeMap<String, KeyUses>> {
    let (db, _) = open.parts();
    let mut uses: BTreeMap<String, KeyUses> = BTreeMap::new();
    for (id, teams) in team_keys::key_uses(db).await.map_err(failed)? {
        uses.entry(id).or_default().teams = teams;
    }
    for (id, second_factors) in second_factor::key_uses(db).await.map_err(failed)? {
        uses.entry(id).or_default().second_factors = second_factors;
    }
    Ok(uses)
}

/// What a master key seals.
#[derive(Debug, Default, Serialize)]
struct KeyUses {
    /// How many teams' keys.
    teams: i64,
    /// How many accounts' second factors.
    second_factors: i64,
}

/// A master key, and what it seals.
#[derive(Serialize)]
struct KeyInfo {
    id: String,
    #[serde(flatten)]
    uses: KeyUses,
    /// Whether it seals what is made from now on.
    newest: bool,
    /// Whether it is in the ring: without it, what it seals is not opened.
    known: bool,
}

async fn list(open: &OpenKeys, as_json: bool) -> Outcome {
    let mut uses = uses(open).await?;
    let (db, ring) = open.parts();
    let mut keys: Vec<KeyInfo> = Vec::new();
    for id in ring.ids() {
        let uses = uses.remove(id).unwrap_or_default();
        keys.push(KeyInfo { id: id.to_owned(), uses, newest: id == ring.newest(), known: true });
    }
    keys.extend(uses.into_iter().map(|(id, uses)| KeyInfo { id, uses, newest: false, known: false }));
    db.close().await;
    if as_json {
        output::print(&context::json(&keys)?);
        return Ok(());
    }
    let rows = keys.into_iter().map(|key| {
        let note = match (key.newest, key.known) {
            (true, _) => "newest",
            (false, true) => "",
            (false, false) => "not in the ring",
        };
        [key.id, key.uses.teams.to_string(), key.uses.second_factors.to_string(), note.to_owned()]
    });
    output::print(&output::table(["KEY", "TEAMS", "SECOND FACTORS", ""], rows));
    Ok(())
}

async fn rotate(mut open: OpenKeys, as_json: bool) -> Outcome {
    let ambient = Ambient::system();
    let uses = uses(&open).await?;
    let all: i64 = uses.values().map(|uses| uses.teams).sum();
    if let OpenKeys::Folder(keys) = &mut open {
        // What is sealed with a key that is lost is not what a rotation left.
        let begun = keys.ring.ids().any(|id| id != keys.ring.newest() && uses.contains_key(id));
        if begun {
            eprintln!("resuming an interrupted rotation");
        } else {
            keys.add(&ambient)?;
        }
    }
    let (db, ring) = open.parts();
    let rewrapped = team_keys::rewrap(db, ring, &ambient, |done| eprintln!("{done} of {all} teams"))
        .await
        .map_err(|error| failed(error).help("Progress is saved; run the command again to resume."))?;
    // The secrets of second factors belong to no team: the master key itself seals them.
    let second_factors = second_factor::rewrap(db, ring, &ambient)
        .await
        .map_err(|error| failed(error).help("Progress is saved; run the command again to resume."))?;
    let newest = ring.newest().to_owned();
    db.close().await;
    if as_json {
        let answer = json!({
            "newest": newest,
            "teams": rewrapped.done,
            "second_factors": second_factors.done,
            "unknown": rewrapped.unknown,
            "unknown_of_second_factors": second_factors.unknown,
        });
        output::print(&context::json(&answer)?);
    } else {
        let seconds = match second_factors.done {
            0 => String::new(),
            some => format!(" and {some} second factors"),
        };
        output::print(&format!("the keys of {} teams{seconds} are sealed with `{newest}` now", rewrapped.done));
    }
    ensure_all_known(&rewrapped.unknown, "teams' keys")?;
    ensure_all_known(&second_factors.unknown, "second factors")
}

/// Gives every team a new data key.
async fn replace(open: &OpenKeys, as_json: bool) -> Outcome {
    let (db, ring) = open.parts();
    let replaced = team_keys::replace(db, ring, &Ambient::system(), |so_far| {
        eprintln!("{} secrets, {} answers of calls; {} teams are done", so_far.secrets, so_far.answers, so_far.teams);
    })
    .await
    .map_err(|error| failed(error).help("Progress is saved; run the command again to resume."))?;
    db.close().await;
    if replaced.goes_on {
        eprintln!("an interrupted replacement was resumed");
    }
    if replaced.broken > 0 {
        eprintln!("{} of them did not open with the old key, and are as they were: set them anew", replaced.broken);
    }
    if as_json {
        let answer = json!({
            "teams": replaced.teams,
            "secrets": replaced.secrets,
            "answers": replaced.answers,
            "broken": replaced.broken,
            "unreadable": replaced.unreadable,
            "unknown": replaced.unknown,
        });
        output::print(&context::json(&answer)?);
    } else {
        let (teams, secrets) = (replaced.teams, replaced.secrets);
        output::print(&format!("{teams} teams have new data keys; {secrets} secrets are sealed with them now"));
    }
    if replaced.unreadable > 0 {
        return Err(Failure::new(format!(
            "the data keys of {} teams do not open, and stay as they are",
            replaced.unreadable
        ))
        .help("RESTROY_LOG=error names them; a backup may have them whole"));
    }
    ensure_all_known(&replaced.unknown, "teams' keys")
}

fn ensure_all_known(unknown: &BTreeMap<String, u64>, what: &str) -> Outcome {
    if unknown.is_empty() {
        return Ok(());
    }
    let unknown: Vec<_> = unknown.iter().map(|(id, number)| format!("`{id}` ({number})")).collect();
    Err(Failure::new(format!("some {what} are sealed with master keys that the ring lacks: {}", unknown.join(", ")))
        .help("add those keys to the end of the list, and call this again"))
}
