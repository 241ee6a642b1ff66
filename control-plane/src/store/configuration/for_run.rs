//! What a run's scripts are configured with.

use std::collections::BTreeMap;

use restroy_run_queue::run_api::StepSettings;
use restroy_sdk::{
    document::{Document, Step},
    ids::{BoardId, Id, ScriptId, VersionId},
};
use sqlx::{query_as, types::Uuid};

use super::{Level, Place};
use crate::store::{StoreError, TeamTx};
use crate::{
    secrets::{SecretsError, TeamKeys},
    sql,
};

/// What a run started with.
#[derive(Debug, Clone, Copy)]
pub struct Pinned {
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
    /// Whose it is.
    pub level: Level,
    /// Which.
    pub revision: i64,
}

#[derive(sqlx::FromRow)]
struct Row {
    script_id: Option<ScriptId>,
    board_id: Option<BoardId>,
    key: String,
    revision: i64,
    config_revision: i64,
    secret: bool,
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
    pinned: Pinned,
    document: &Document,
) -> Result<(BTreeMap<String, StepSettings>, Vec<SecretRead>), StoreError> {
    let team = Place::Team(tx.team());
    let scripts: BTreeMap<String, ScriptId> = scripts(tx, pinned.version).await?.into_iter().collect();
    let rows = rows(tx, pinned).await?;
    let known = Known::new(&rows, pinned, team);
    let mut steps = BTreeMap::new();
    let mut reads: Vec<SecretRead> = Vec::new();
    for (name, step) in &document.steps {
        let Some(script) = step.script.as_ref().and_then(|path| scripts.get(path)) else { continue };
        let places = [Place::Script(*script), Place::Board(pinned.board), team];
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
            settings.secrets.insert(wanted.clone(), open(keys, place, row, sealed)?);
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
struct Holds<'a> {
    newest: Option<&'a Row>,
    pinned: Option<&'a Row>,
}

/// Every key of every place.
struct Known<'a>(BTreeMap<(Uuid, &'a str), Holds<'a>>);

impl<'a> Known<'a> {
    /// From rows that come oldest first.
    fn new(rows: &'a [Row], pinned: Pinned, team: Place) -> Self {
        let mut known: BTreeMap<_, Holds<'a>> = BTreeMap::new();
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
        places: &[Place],
        key: &str,
        when: impl Fn(&Holds<'a>) -> Option<&'a Row>,
    ) -> Option<(Place, &'a Row)> {
        places.iter().find_map(|place| {
            let row = self.0.get(&(place.id(), key)).and_then(&when)?;
            (!row.removed).then_some((*place, row))
        })
    }

    /// The plain values of a step.
    fn plain(&self, places: &[Place; 3], step: &Step) -> BTreeMap<String, String> {
        let value = |places: &[Place], key: &str| {
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

fn open(keys: &TeamKeys, place: Place, row: &Row, sealed: &[u8]) -> Result<String, SecretsError> {
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

/// Of every key of the version's scripts, the board and the team: the revision in force when the run
/// started, and the newest; oldest first.
async fn rows(tx: &mut TeamTx, pinned: Pinned) -> Result<Vec<Row>, sqlx::Error> {
    let team = tx.team();
    sql!(
        &mut **tx,
        fetch_all,
        query_as(
            "SELECT c.script_id, c.board_id, c.key, c.revision, c.config_revision, c.secret, c.removed, c.plain,
                    c.sealed, c.data_key_no
             FROM configurations c
             WHERE c.team_id = $1
               AND c.place_id IN (
                   SELECT p.script_id FROM pipeline_version_scripts p WHERE p.team_id = $1 AND p.version_id = $2
                   UNION ALL SELECT $3 UNION ALL SELECT $4)
               AND c.revision IN (
                   SELECT max(n.revision) FROM configurations n
                   WHERE n.team_id = c.team_id AND n.place_id = c.place_id AND n.key = c.key
                   UNION ALL
                   SELECT max(n.revision) FROM configurations n
                   WHERE n.team_id = c.team_id AND n.place_id = c.place_id AND n.key = c.key
                     AND n.config_revision <= CASE
                         WHEN c.script_id IS NOT NULL THEN $5
                         WHEN c.board_id IS NOT NULL THEN $6
                         ELSE $7 END)
             ORDER BY c.revision"
        )
        .bind(team)
        .bind(pinned.version)
        .bind(pinned.board.uuid())
        .bind(team.uuid())
        .bind(pinned.revision)
        .bind(pinned.board_revision)
        .bind(pinned.team_revision)
    )
}
