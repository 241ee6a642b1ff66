//! What a run's scripts are configured with.

use std::collections::{BTreeMap, BTreeSet};

use restroy_run_queue::run_api::StepSettings;
use restroy_sdk::{
    document::{Document, Step},
    ids::{BoardId, Id, ScriptId, VersionId},
};
use sqlx::{query_as, types::Uuid};

use super::{ConfigOwner, OwnerLevel};
use crate::{StoreError, TeamTx};
use crate::{
    secrets::{SecretsError, TeamKeys},
    sql,
};

/// What a run started with.
#[derive(Debug, Clone, Copy)]
pub struct RunPins {
    /// The pipeline's version.
    pub version: VersionId,
    /// The board.
    pub board: BoardId,
    /// The configuration revision of the pipeline.
    pub revision: i64,
    /// That of the board.
    pub board_revision: i64,
    /// That of the team.
    pub team_revision: i64,
}

/// A secret that was read for a run, and which revision of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SecretRead {
    /// The script that it was read for.
    pub script_id: ScriptId,
    /// Its name.
    pub key: String,
    /// The account that it belongs to.
    pub level: OwnerLevel,
    /// The revision that was read.
    pub revision: i64,
}

#[derive(sqlx::FromRow)]
struct ConfigurationRow {
    script_id: Option<ScriptId>,
    board_id: Option<BoardId>,
    key: String,
    revision: i64,
    config_revision: i64,
    secret: bool,
    usable_only: bool,
    removed: bool,
    plain: Option<String>,
    sealed: Option<Vec<u8>>,
    data_key_no: i64,
}

/// What each step's `config` holds, by step, and the secrets that were read for it.
///
/// Of the places that have a key the nearest decides. Plain values are those in force when the run
/// started, over the document's defaults: of the script all that are set, of the board and the team those
/// whose keys the step's `config` names. Secrets are those that the step names, at their newest; what it
/// names and nobody has set as a secret is listed as missing.
pub async fn for_run(
    tx: &mut TeamTx,
    keys: &TeamKeys,
    pinned: RunPins,
    document: &Document,
) -> Result<(BTreeMap<String, StepSettings>, Vec<SecretRead>), StoreError> {
    let team = ConfigOwner::Team(tx.team());
    let scripts: BTreeMap<String, ScriptId> = scripts(tx, pinned.version).await?.into_iter().collect();
    let rows = rows(tx, pinned, document).await?;
    let known = KeyTable::new(&rows, pinned, team);
    let mut steps = BTreeMap::new();
    let mut reads: Vec<SecretRead> = Vec::new();
    for (name, step) in &document.steps {
        let Some(script) = step.kind.script().and_then(|path| scripts.get(path)) else { continue };
        let places = [ConfigOwner::Script(*script), ConfigOwner::Board(pinned.board), team];
        let mut settings = StepSettings { config: known.plain(&places, step), ..StepSettings::default() };
        for wanted in &step.secrets {
            // A plain value never stands in for a secret: it would not be masked.
            settings.config.remove(wanted);
            let found = known.nearest(&places, wanted, |known| known.newest).filter(|(_, row)| row.secret);
            let Some((place, row, sealed)) =
                found.and_then(|(place, row)| row.sealed.as_ref().map(|sealed| (place, row, sealed)))
            else {
                settings.missing.push(wanted.clone());
                continue;
            };
            let of_step = if row.usable_only { &mut settings.usable_only } else { &mut settings.secrets };
            of_step.insert(wanted.clone(), open(keys, place, row, sealed)?);
            let (level, revision) = (place.level(), row.revision);
            let read = SecretRead { script_id: *script, key: wanted.clone(), level, revision };
            if !reads.contains(&read) {
                reads.push(read);
            }
        }
        steps.insert(name.clone(), settings);
    }
    Ok((steps, reads))
}

/// What a key of a place holds: now, and as the run started.
#[derive(Default, Clone, Copy)]
struct KeyValue<'a> {
    newest: Option<&'a ConfigurationRow>,
    pinned: Option<&'a ConfigurationRow>,
}

/// Every key of every place.
struct KeyTable<'a>(BTreeMap<(Uuid, &'a str), KeyValue<'a>>);

impl<'a> KeyTable<'a> {
    /// From rows that come oldest first, as far as they are of one key.
    fn new(rows: &'a [ConfigurationRow], pinned: RunPins, team: ConfigOwner) -> Self {
        let mut known: BTreeMap<_, KeyValue<'a>> = BTreeMap::new();
        for row in rows {
            let (place, limit) = match (row.script_id, row.board_id) {
                (Some(script), _) => (script.uuid(), pinned.revision),
                (None, Some(board)) => (board.uuid(), pinned.board_revision),
                (None, None) => (team.id(), pinned.team_revision),
            };
            let holds = known.entry((place, row.key.as_str())).or_default();
            holds.newest = Some(row);
            if row.config_revision <= limit {
                holds.pinned = Some(row);
            }
        }
        Self(known)
    }

    /// The nearest place where the key is in force, and what it holds there.
    fn nearest(
        &self,
        places: &[ConfigOwner],
        key: &str,
        when: impl Fn(&KeyValue<'a>) -> Option<&'a ConfigurationRow>,
    ) -> Option<(ConfigOwner, &'a ConfigurationRow)> {
        places.iter().find_map(|place| {
            let row = self.0.get(&(place.id(), key)).and_then(&when)?;
            (!row.removed).then_some((*place, row))
        })
    }

    /// The plain values of a step.
    fn plain(&self, places: &[ConfigOwner; 3], step: &Step) -> BTreeMap<String, String> {
        let value = |places: &[ConfigOwner], key: &str| {
            let (_, row) = self.nearest(places, key, |holds| holds.pinned)?;
            row.plain.clone().filter(|_| !row.secret)
        };
        let defaults = step.config.iter().map(|(key, value)| (key.clone(), value.clone()));
        let mut config: BTreeMap<String, String> = defaults.collect();
        for (key, held) in &mut config {
            if let Some(value) = value(places, key) {
                *held = value;
            }
        }
        let own = places[0].id();
        for (_, key) in self.0.range((own, "")..).map(|(place, _)| place).take_while(|(place, _)| *place == own) {
            if let Some(value) = value(&places[..1], key) {
                config.insert((*key).to_owned(), value);
            }
        }
        config
    }
}

fn open(keys: &TeamKeys, place: ConfigOwner, row: &ConfigurationRow, sealed: &[u8]) -> Result<String, SecretsError> {
    let plain = keys.open(place.seal(&row.key, row.revision), row.data_key_no, sealed)?;
    std::str::from_utf8(&plain).map(str::to_owned).map_err(|_| SecretsError::Broken)
}

/// The version's scripts, by path.
async fn scripts(tx: &mut TeamTx, version: VersionId) -> Result<Vec<(String, ScriptId)>, sqlx::Error> {
    let team = tx.team();
    sql!(
        &mut **tx,
        fetch_all,
        query_as(
            "SELECT s.path, s.id FROM pipeline_version_scripts p
             JOIN scripts s ON s.team_id = p.team_id AND s.id = p.script_id
             WHERE p.team_id = $1 AND p.version_id = $2"
        )
        .bind(team)
        .bind(version)
    )
}

/// The columns of a [`ConfigurationRow`].
macro_rules! columns {
    () => {
        "c.script_id, c.board_id, c.key, c.revision, c.config_revision, c.secret, c.usable_only, c.removed, c.plain, c.sealed, \
         c.data_key_no"
    };
}

/// Which keys are read, `$n` being the newest revision of each: of the scripts whose paths `$5` lists all,
/// of the board and the team those that `$6` lists. `$lists` opens a list, `$end` closes it.
macro_rules! wanted {
    ($lists:literal, $end:literal) => {
        concat!(
            "n.team_id = $1 AND n.newest AND n.place_id IN (
                 SELECT p.script_id FROM pipeline_version_scripts p
                 JOIN scripts s ON s.team_id = p.team_id AND s.id = p.script_id
                 WHERE p.team_id = $1 AND p.version_id = $2 AND s.path IN (",
            $lists,
            "$5",
            $end,
            ") UNION ALL SELECT $3 UNION ALL SELECT $4)
             AND (n.script_id IS NOT NULL OR n.key IN (",
            $lists,
            "$6",
            $end,
            "))"
        )
    };
}

/// The newest revision of each key that is wanted.
macro_rules! newest {
    ($lists:literal, $end:literal) => {
        concat!(
            "SELECT ",
            columns!(),
            " FROM configurations n JOIN configurations c ON c.team_id = n.team_id AND c.id = n.id WHERE ",
            wanted!($lists, $end)
        )
    };
}

/// Of the keys whose newest revision came after the run's start, the one that was in force then. A place
/// counts its changes in `config_revision`, so that this is one look into an index for each key.
macro_rules! pinned {
    ($lists:literal, $end:literal) => {
        concat!(
            "SELECT ",
            columns!(),
            " FROM (
                 SELECT n.place_id, n.key,
                        CASE WHEN n.script_id IS NOT NULL THEN $7 WHEN n.board_id IS NOT NULL THEN $8 ELSE $9 END AS most
                 FROM configurations n
                 WHERE ",
            wanted!($lists, $end),
            " AND n.config_revision >
                     CASE WHEN n.script_id IS NOT NULL THEN $7 WHEN n.board_id IS NOT NULL THEN $8 ELSE $9 END) k
             JOIN configurations c ON c.team_id = $1 AND c.id = (
                 SELECT x.id FROM configurations x
                 WHERE x.team_id = $1 AND x.place_id = k.place_id AND x.key = k.key AND NOT x.newest
                   AND x.config_revision <= k.most
                 ORDER BY x.config_revision DESC LIMIT 1)"
        )
    };
}

/// Of every key that the document's steps can see: the revision in force when the run started, and the
/// newest, in this order.
async fn rows(tx: &mut TeamTx, pinned: RunPins, document: &Document) -> Result<Vec<ConfigurationRow>, StoreError> {
    let team = tx.team();
    let scripts: BTreeSet<&str> = document.steps.values().filter_map(|step| step.kind.script()).collect();
    let keys: BTreeSet<&str> = document.steps.values().flat_map(keys).collect();
    let (scripts, keys) = (serde_json::to_string(&scripts)?, serde_json::to_string(&keys)?);
    let statement = tx.pick(
        pinned!("SELECT value FROM json_each(", ")"),
        pinned!("SELECT jsonb_array_elements_text(CAST(", " AS jsonb))"),
    );
    let mut rows: Vec<ConfigurationRow> = sql!(
        &mut **tx,
        fetch_all,
        query_as(statement)
            .bind(team)
            .bind(pinned.version)
            .bind(pinned.board.uuid())
            .bind(team.uuid())
            .bind(&scripts)
            .bind(&keys)
            .bind(pinned.revision)
            .bind(pinned.board_revision)
            .bind(pinned.team_revision)
    )?;
    let statement = tx.pick(
        newest!("SELECT value FROM json_each(", ")"),
        newest!("SELECT jsonb_array_elements_text(CAST(", " AS jsonb))"),
    );
    let newest: Vec<ConfigurationRow> = sql!(
        &mut **tx,
        fetch_all,
        query_as(statement)
            .bind(team)
            .bind(pinned.version)
            .bind(pinned.board.uuid())
            .bind(team.uuid())
            .bind(&scripts)
            .bind(&keys)
    )?;
    rows.extend(newest);
    Ok(rows)
}

/// The keys that a step names.
fn keys(step: &Step) -> impl Iterator<Item = &str> {
    step.config.keys().map(String::as_str).chain(step.secrets.iter().map(String::as_str))
}
