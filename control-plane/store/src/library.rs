//! The modules that a team's pipelines share, and their immutable versions. Their sources lie with the
//! team's other sources.

use std::collections::BTreeMap;

use restroy_sdk::{
    api::library::{LibraryModule, LibraryVersion},
    ids::{LibraryModuleId, LibraryVersionId, ScriptVersionId, TeamId, UserId, VersionId},
    time::{Ambient, Timestamp},
};
use sqlx::{query, query_as, query_scalar};

use super::{
    TeamTx,
    sort::{AgeOrder, ListSelection, by_age, by_order},
    sources::script_version,
};
use crate::sql;

#[derive(sqlx::FromRow)]
struct ModuleRow {
    id: LibraryModuleId,
    team_id: TeamId,
    name: String,
    description: String,
    latest_version: i64,
    created_at: Timestamp,
    updated_at: Timestamp,
}

/// What [`ModuleRow`] reads.
macro_rules! module_columns {
    () => {
        "id, team_id, name, description, latest_version, created_at, updated_at"
    };
}

impl From<ModuleRow> for LibraryModule {
    fn from(row: ModuleRow) -> Self {
        Self {
            id: row.id,
            team_id: row.team_id,
            name: row.name,
            description: row.description,
            latest_version: row.latest_version,
            created_at: row.created_at,
            updated_at: row.updated_at,
        }
    }
}

#[derive(sqlx::FromRow)]
struct ModuleVersionRow {
    id: LibraryVersionId,
    module_id: LibraryModuleId,
    number: i64,
    message: String,
    sha256: Vec<u8>,
    author_id: Option<UserId>,
    created_at: Timestamp,
}

impl From<ModuleVersionRow> for LibraryVersion {
    fn from(row: ModuleVersionRow) -> Self {
        Self {
            id: row.id,
            module_id: row.module_id,
            number: row.number,
            message: row.message,
            sha256: hex::encode(row.sha256),
            author_id: row.author_id,
            created_at: row.created_at,
        }
    }
}

/// How many modules the team has.
pub async fn count(tx: &mut TeamTx) -> Result<i64, sqlx::Error> {
    let team = tx.team();
    sql!(&mut **tx, fetch_one, query_scalar("SELECT count(*) FROM library_modules WHERE team_id = $1").bind(team))
}

/// The team's modules by name, after `after`.
pub async fn list(tx: &mut TeamTx, selection: &ListSelection) -> Result<Vec<LibraryModule>, sqlx::Error> {
    let team = tx.team();
    let statement = by_order!(selection.order, id: "id", name: "name",
        concat!("SELECT ", module_columns!(), " FROM library_modules WHERE team_id = $1"));
    let rows: Vec<ModuleRow> = sql!(
        &mut **tx,
        fetch_all,
        query_as(statement)
            .bind(team)
            .bind(selection.id())
            .bind(selection.place_name())
            .bind(&selection.name)
            .bind(selection.rows)
    )?;
    Ok(rows.into_iter().map(LibraryModule::from).collect())
}

/// A module by its name.
pub async fn get(tx: &mut TeamTx, name: &str) -> Result<Option<LibraryModule>, sqlx::Error> {
    let team = tx.team();
    let row: Option<ModuleRow> = sql!(
        &mut **tx,
        fetch_optional,
        query_as(concat!("SELECT ", module_columns!(), " FROM library_modules WHERE team_id = $1 AND name = $2"))
            .bind(team)
            .bind(name)
    )?;
    Ok(row.map(LibraryModule::from))
}

/// Makes a module without a version yet; a unique violation when the name is taken.
pub async fn insert(
    tx: &mut TeamTx,
    id: LibraryModuleId,
    name: &str,
    description: &str,
    now: Timestamp,
) -> Result<(), sqlx::Error> {
    let team = tx.team();
    sql!(
        &mut **tx,
        execute,
        query(
            "INSERT INTO library_modules (id, team_id, name, description, latest_version, created_at, updated_at)
             VALUES ($1, $2, $3, $4, 0, $5, $5)"
        )
        .bind(id)
        .bind(team)
        .bind(name)
        .bind(description)
        .bind(now)
    )?;
    Ok(())
}

/// A version to be written.
#[derive(Debug)]
pub struct NewVersion<'a> {
    /// Of which module.
    pub module: LibraryModuleId,
    /// The next number of the module.
    pub number: i64,
    /// Its source.
    pub source: &'a str,
    /// What the module is for from now on.
    pub description: &'a str,
    /// The commit message.
    pub message: &'a str,
    /// The author's account.
    pub author: UserId,
}

/// Writes a version, which is the module's newest from then on.
pub async fn insert_version(tx: &mut TeamTx, ambient: &Ambient, new: &NewVersion<'_>) -> Result<(), sqlx::Error> {
    let team = tx.team();
    let source = script_version(tx, ambient, new.source).await?;
    let now = ambient.now();
    sql!(
        &mut **tx,
        execute,
        query(
            "INSERT INTO library_versions
                 (id, team_id, module_id, number, script_version_id, message, author_id, created_at)
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8)"
        )
        .bind(ambient.id::<LibraryVersionId>())
        .bind(team)
        .bind(new.module)
        .bind(new.number)
        .bind(source)
        .bind(new.message)
        .bind(new.author)
        .bind(now)
    )?;
    sql!(
        &mut **tx,
        execute,
        query(
            "UPDATE library_modules SET latest_version = $3, description = $4, updated_at = $5
             WHERE team_id = $1 AND id = $2"
        )
        .bind(team)
        .bind(new.module)
        .bind(new.number)
        .bind(new.description)
        .bind(now)
    )?;
    Ok(())
}

/// A module's versions, the newest first, before `before`.
pub async fn versions(
    tx: &mut TeamTx,
    module: LibraryModuleId,
    age: AgeOrder,
    after: Option<i64>,
    rows: i64,
) -> Result<Vec<LibraryVersion>, sqlx::Error> {
    let team = tx.team();
    let rows: Vec<ModuleVersionRow> = sql!(
        &mut **tx,
        fetch_all,
        query_as(by_age!(
            age,
            "v.number",
            "SELECT v.id, v.module_id, v.number, v.message, s.sha256, v.author_id, v.created_at
             FROM library_versions v JOIN script_versions s ON s.team_id = v.team_id AND s.id = v.script_version_id
             WHERE v.team_id = $1 AND v.module_id = $4"
        ))
        .bind(team)
        .bind(after)
        .bind(rows)
        .bind(module)
    )?;
    Ok(rows.into_iter().map(LibraryVersion::from).collect())
}

/// A module's version with its source.
pub async fn version(
    tx: &mut TeamTx,
    module: LibraryModuleId,
    number: i64,
) -> Result<Option<(LibraryVersion, String)>, sqlx::Error> {
    #[derive(sqlx::FromRow)]
    struct SourceRow {
        #[sqlx(flatten)]
        row: ModuleVersionRow,
        source: String,
    }
    let team = tx.team();
    let row: Option<SourceRow> = sql!(
        &mut **tx,
        fetch_optional,
        query_as(
            "SELECT v.id, v.module_id, v.number, v.message, s.sha256, v.author_id, v.created_at, s.source
             FROM library_versions v JOIN script_versions s ON s.team_id = v.team_id AND s.id = v.script_version_id
             WHERE v.team_id = $1 AND v.module_id = $2 AND v.number = $3"
        )
        .bind(team)
        .bind(module)
        .bind(number)
    )?;
    Ok(row.map(|row| (row.row.into(), row.source)))
}

/// How many pipelines have a version that is pinned to the module, deleted ones that can still be restored
/// among them.
pub async fn count_users(tx: &mut TeamTx, module: LibraryModuleId) -> Result<i64, sqlx::Error> {
    let team = tx.team();
    sql!(
        &mut **tx,
        fetch_one,
        query_scalar(
            "SELECT count(DISTINCT p.pipeline_id)
             FROM library_versions v
             JOIN pipeline_version_library l ON l.team_id = v.team_id AND l.library_version_id = v.id
             JOIN pipeline_versions p ON p.team_id = l.team_id AND p.id = l.version_id
             WHERE v.team_id = $1 AND v.module_id = $2"
        )
        .bind(team)
        .bind(module)
    )
}

/// Deletes a module that nothing is pinned to, with its versions, and those of their sources that nothing
/// else consists of.
pub async fn delete(tx: &mut TeamTx, module: LibraryModuleId) -> Result<(), sqlx::Error> {
    let team = tx.team();
    let sources: Vec<ScriptVersionId> = sql!(
        &mut **tx,
        fetch_all,
        query_scalar("SELECT DISTINCT script_version_id FROM library_versions WHERE team_id = $1 AND module_id = $2")
            .bind(team)
            .bind(module)
    )?;
    sql!(
        &mut **tx,
        execute,
        query("DELETE FROM library_modules WHERE team_id = $1 AND id = $2").bind(team).bind(module)
    )?;
    for source in sources {
        sql!(
            &mut **tx,
            execute,
            query(
                "DELETE FROM script_versions WHERE team_id = $1 AND id = $2
                   AND NOT EXISTS (SELECT 1 FROM pipeline_version_scripts p WHERE p.script_version_id = $2)
                   AND NOT EXISTS (SELECT 1 FROM library_versions l WHERE l.script_version_id = $2)"
            )
            .bind(team)
            .bind(source)
        )?;
    }
    Ok(())
}

/// A version that a document pins.
#[derive(Debug, Clone)]
pub struct PinnedVersion {
    /// The library version's id.
    pub id: LibraryVersionId,
    /// Its source.
    pub source: String,
}

/// A module's version by name and number; the newest number of the module, when there is none of this.
pub async fn resolve_pin(
    tx: &mut TeamTx,
    name: &str,
    number: u32,
) -> Result<Result<PinnedVersion, Option<i64>>, sqlx::Error> {
    let team = tx.team();
    let found: Option<(LibraryVersionId, String)> = sql!(
        &mut **tx,
        fetch_optional,
        query_as(
            "SELECT v.id, s.source
             FROM library_modules m
             JOIN library_versions v ON v.team_id = m.team_id AND v.module_id = m.id
             JOIN script_versions s ON s.team_id = v.team_id AND s.id = v.script_version_id
             WHERE m.team_id = $1 AND m.name = $2 AND v.number = $3"
        )
        .bind(team)
        .bind(name)
        .bind(i64::from(number))
    )?;
    if let Some((id, source)) = found {
        return Ok(Ok(PinnedVersion { id, source }));
    }
    Ok(Err(get(tx, name).await?.map(|module| module.latest_version)))
}

/// Whether all of those versions are still there.
pub async fn all_exist(tx: &mut TeamTx, versions: &[LibraryVersionId]) -> Result<bool, sqlx::Error> {
    let team = tx.team();
    for version in versions {
        let found: Option<i64> = sql!(
            &mut **tx,
            fetch_optional,
            query_scalar("SELECT CAST(1 AS BIGINT) FROM library_versions WHERE team_id = $1 AND id = $2")
                .bind(team)
                .bind(version)
        )?;
        if found.is_none() {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Notes that a pipeline's version is pinned to a module's.
pub async fn pin(tx: &mut TeamTx, version: VersionId, library: LibraryVersionId) -> Result<(), sqlx::Error> {
    let team = tx.team();
    sql!(
        &mut **tx,
        execute,
        query("INSERT INTO pipeline_version_library (team_id, version_id, library_version_id) VALUES ($1, $2, $3)")
            .bind(team)
            .bind(version)
            .bind(library)
    )?;
    Ok(())
}

/// The sources of the modules that a pipeline's version is pinned to, by name.
pub async fn sources_of_version(tx: &mut TeamTx, version: VersionId) -> Result<BTreeMap<String, String>, sqlx::Error> {
    let team = tx.team();
    let rows: Vec<(String, String)> = sql!(
        &mut **tx,
        fetch_all,
        query_as(
            "SELECT m.name, s.source
             FROM pipeline_version_library l
             JOIN library_versions v ON v.team_id = l.team_id AND v.id = l.library_version_id
             JOIN library_modules m ON m.team_id = v.team_id AND m.id = v.module_id
             JOIN script_versions s ON s.team_id = v.team_id AND s.id = v.script_version_id
             WHERE l.team_id = $1 AND l.version_id = $2"
        )
        .bind(team)
        .bind(version)
    )?;
    Ok(rows.into_iter().collect())
}
