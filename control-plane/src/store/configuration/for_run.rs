//! What a run's scripts are configured with.

use std::collections::BTreeMap;

use restroy_run_queue::run_api::StepSettings;
use restroy_sdk::{
    document::Document,
    ids::{ScriptId, VersionId},
};
use sqlx::query_as;

use crate::store::{StoreError, TeamTx};
use crate::{
    secrets::{Context, SecretsError, TeamKey},
    sql,
};

/// A secret that was read for a run, and which revision of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SecretRead {
    /// The script it belongs to.
    pub script_id: ScriptId,
    /// Its name.
    pub key: String,
    /// Which.
    pub revision: i64,
}

#[derive(sqlx::FromRow)]
struct Row {
    path: String,
    script_id: ScriptId,
    key: String,
    revision: i64,
    config_revision: i64,
    secret: bool,
    removed: bool,
    plain: Option<String>,
    sealed: Option<Vec<u8>>,
}

/// What each step's `config` holds, by step, and the secrets that were read for it.
///
/// Plain values are those in force at the pipeline's `config_revision`, over the document's
/// defaults. Secrets are those that the step names, at their newest; what it names and nobody has
/// set as a secret is listed as missing.
pub async fn for_run(
    tx: &mut TeamTx,
    key: &TeamKey,
    version: VersionId,
    config_revision: i64,
    document: &Document,
) -> Result<(BTreeMap<String, StepSettings>, Vec<SecretRead>), StoreError> {
    let rows = rows(tx, version, config_revision).await?;
    let mut steps = BTreeMap::new();
    let mut reads: Vec<SecretRead> = Vec::new();
    for (name, step) in &document.steps {
        let Some(path) = &step.script else { continue };
        let defaults = step.config.iter().map(|(key, value)| (key.clone(), value.clone()));
        let mut settings = StepSettings { config: defaults.collect(), ..StepSettings::default() };
        let mut newest: BTreeMap<&str, &Row> = BTreeMap::new();
        // Oldest first: what comes later overrides.
        for row in rows.iter().filter(|row| row.path == *path) {
            newest.insert(&row.key, row);
            if row.config_revision > config_revision {
                continue;
            }
            match &row.plain {
                Some(plain) if !row.secret && !row.removed => {
                    settings.config.insert(row.key.clone(), plain.clone());
                }
                _ => {
                    match step.config.get(&row.key) {
                        Some(default) => settings.config.insert(row.key.clone(), default.clone()),
                        None => settings.config.remove(&row.key),
                    };
                }
            }
        }
        for wanted in &step.secrets {
            // A plain value never stands in for a secret: it would not be masked.
            settings.config.remove(wanted);
            let found = newest.get(wanted.as_str()).filter(|row| row.secret && !row.removed);
            let Some((row, sealed)) = found.and_then(|row| row.sealed.as_ref().map(|sealed| (*row, sealed))) else {
                settings.missing.push(wanted.clone());
                continue;
            };
            settings.secrets.insert(wanted.clone(), open(key, row, sealed)?);
            let read = SecretRead { script_id: row.script_id, key: wanted.clone(), revision: row.revision };
            if !reads.contains(&read) {
                reads.push(read);
            }
        }
        steps.insert(name.clone(), settings);
    }
    Ok((steps, reads))
}

fn open(key: &TeamKey, row: &Row, sealed: &[u8]) -> Result<String, SecretsError> {
    let context = Context::Configuration { script: row.script_id, key: &row.key, revision: row.revision };
    let plain = key.open(context, sealed)?;
    std::str::from_utf8(&plain).map(str::to_owned).map_err(|_| SecretsError::Broken)
}

/// Of every key of the version's scripts: the revision in force at `config_revision`, and the
/// newest; oldest first.
async fn rows(tx: &mut TeamTx, version: VersionId, config_revision: i64) -> Result<Vec<Row>, sqlx::Error> {
    let team = tx.team();
    sql!(
        &mut **tx,
        fetch_all,
        query_as(
            "SELECT s.path, c.script_id, c.key, c.revision, c.config_revision, c.secret, c.removed, c.plain, c.sealed
             FROM pipeline_version_scripts p
             JOIN scripts s ON s.team_id = p.team_id AND s.id = p.script_id
             JOIN configurations c ON c.team_id = p.team_id AND c.script_id = p.script_id
             WHERE p.team_id = $1 AND p.version_id = $2
               AND c.revision IN (
                   SELECT max(n.revision) FROM configurations n
                   WHERE n.team_id = c.team_id AND n.script_id = c.script_id AND n.key = c.key
                   UNION ALL
                   SELECT max(n.revision) FROM configurations n
                   WHERE n.team_id = c.team_id AND n.script_id = c.script_id AND n.key = c.key
                     AND n.config_revision <= $3)
             ORDER BY c.revision"
        )
        .bind(team)
        .bind(version)
        .bind(config_revision)
    )
}
