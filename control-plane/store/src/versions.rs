//! Pipeline versions: immutable, each a document and its sources.

use std::collections::BTreeMap;

use restroy_sdk::{
    api::pipeline::Version,
    document::Document,
    ids::{LibraryVersionId, PipelineId, ScriptId, UserId, VersionId},
    time::{Ambient, Timestamp},
};
use sqlx::{query, query_as, query_scalar};

use super::{
    StoreError, TeamTx, library,
    sort::{AgeOrder, by_age},
    sources,
};
use crate::sql;

#[derive(sqlx::FromRow)]
struct PipelineVersionRow {
    id: VersionId,
    pipeline_id: PipelineId,
    number: i64,
    message: String,
    published: bool,
    author_id: Option<UserId>,
    created_at: Timestamp,
}

impl From<PipelineVersionRow> for Version {
    fn from(row: PipelineVersionRow) -> Self {
        Self {
            id: row.id,
            pipeline_id: row.pipeline_id,
            number: row.number,
            message: row.message,
            published: row.published,
            author_id: row.author_id,
            created_at: row.created_at,
        }
    }
}

/// A version's document, and its sources by path.
pub async fn load(tx: &mut TeamTx, version: VersionId) -> Result<(Document, BTreeMap<String, String>), StoreError> {
    Ok((document(tx, version).await?, files(tx, version).await?))
}

/// What a version's document and sources have, in bytes.
pub async fn size(tx: &mut TeamTx, version: VersionId) -> Result<usize, sqlx::Error> {
    let team = tx.team();
    let size: i64 = sql!(
        &mut **tx,
        fetch_one,
        query_scalar(
            "SELECT CAST(
                 (SELECT octet_length(definition) FROM pipeline_versions WHERE team_id = $1 AND id = $2)
                 + COALESCE((SELECT SUM(octet_length(v.source))
                    FROM pipeline_version_scripts p
                    JOIN script_versions v ON v.team_id = p.team_id AND v.id = p.script_version_id
                    WHERE p.team_id = $1 AND p.version_id = $2), 0) AS BIGINT)"
        )
        .bind(team)
        .bind(version)
    )?;
    Ok(usize::try_from(size).unwrap_or(0))
}

/// A version's document.
pub async fn document(tx: &mut TeamTx, version: VersionId) -> Result<Document, StoreError> {
    let team = tx.team();
    let definition: String = sql!(
        &mut **tx,
        fetch_one,
        query_scalar("SELECT definition FROM pipeline_versions WHERE team_id = $1 AND id = $2")
            .bind(team)
            .bind(version)
    )?;
    Ok(serde_json::from_str(&definition)?)
}

/// A version's sources by path.
pub async fn files(tx: &mut TeamTx, version: VersionId) -> Result<BTreeMap<String, String>, StoreError> {
    let team = tx.team();
    let rows: Vec<(String, String)> = sql!(
        &mut **tx,
        fetch_all,
        query_as(
            "SELECT s.path, v.source
             FROM pipeline_version_scripts p
             JOIN scripts s ON s.team_id = p.team_id AND s.id = p.script_id
             JOIN script_versions v ON v.team_id = p.team_id AND v.id = p.script_version_id
             WHERE p.team_id = $1 AND p.version_id = $2"
        )
        .bind(team)
        .bind(version)
    )?;
    Ok(rows.into_iter().collect())
}

/// A pipeline's version by its number.
pub async fn by_number(tx: &mut TeamTx, pipeline: PipelineId, number: i64) -> Result<Option<Version>, sqlx::Error> {
    let team = tx.team();
    let row: Option<PipelineVersionRow> = sql!(
        &mut **tx,
        fetch_optional,
        query_as(
            "SELECT v.id, v.pipeline_id, v.number, v.message, p.published_version IS NOT NULL AND p.published_version = v.number AS published,
                    v.author_id, v.created_at
             FROM pipeline_versions v JOIN pipelines p ON p.team_id = v.team_id AND p.id = v.pipeline_id
             WHERE v.team_id = $1 AND v.pipeline_id = $2 AND v.number = $3"
        )
        .bind(team)
        .bind(pipeline)
        .bind(number)
    )?;
    Ok(row.map(Version::from))
}

/// A pipeline's versions, the newest first, before `before`.
pub async fn list(
    tx: &mut TeamTx,
    pipeline: PipelineId,
    age: AgeOrder,
    after: Option<i64>,
    rows: i64,
) -> Result<Vec<Version>, sqlx::Error> {
    let team = tx.team();
    let rows: Vec<PipelineVersionRow> = sql!(
        &mut **tx,
        fetch_all,
        query_as(by_age!(
            age,
            "v.number",
            "SELECT v.id, v.pipeline_id, v.number, v.message, p.published_version IS NOT NULL AND p.published_version = v.number AS published,
                    v.author_id, v.created_at
             FROM pipeline_versions v JOIN pipelines p ON p.team_id = v.team_id AND p.id = v.pipeline_id
             WHERE v.team_id = $1 AND v.pipeline_id = $4"
        ))
        .bind(team)
        .bind(after)
        .bind(rows)
        .bind(pipeline)
    )?;
    Ok(rows.into_iter().map(Version::from).collect())
}

/// A version to be written.
#[derive(Debug)]
pub struct NewVersion<'a> {
    /// Of which pipeline.
    pub pipeline: PipelineId,
    /// The next number of the pipeline.
    pub number: i64,
    /// The document.
    pub document: &'a Document,
    /// Its sources by path.
    pub files: &'a BTreeMap<String, String>,
    /// The versions of library modules that it is pinned to.
    pub library: &'a [LibraryVersionId],
    /// The commit message.
    pub message: &'a str,
    /// The author's account.
    pub author: UserId,
}

/// Writes a version with its scripts. Sources that the team has already are not written again.
pub async fn insert(tx: &mut TeamTx, ambient: &Ambient, new: &NewVersion<'_>) -> Result<VersionId, StoreError> {
    let team = tx.team();
    let id: VersionId = ambient.id();
    let definition = serde_json::to_string(new.document)?;
    sql!(
        &mut **tx,
        execute,
        query(
            "INSERT INTO pipeline_versions
                 (id, team_id, pipeline_id, number, definition, message, author_id, created_at)
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8)"
        )
        .bind(id)
        .bind(team)
        .bind(new.pipeline)
        .bind(new.number)
        .bind(definition)
        .bind(new.message)
        .bind(new.author)
        .bind(ambient.now())
    )?;
    for (path, source) in new.files {
        let script = script(tx, ambient, new.pipeline, (id, path)).await?;
        let source = sources::script_version(tx, ambient, source).await?;
        sql!(
            &mut **tx,
            execute,
            query(
                "INSERT INTO pipeline_version_scripts (team_id, version_id, script_id, script_version_id)
                 VALUES ($1, $2, $3, $4)"
            )
            .bind(team)
            .bind(id)
            .bind(script)
            .bind(source)
        )?;
    }
    for pinned in new.library {
        library::pin(tx, id, *pinned).await?;
    }
    Ok(id)
}

/// The pipeline's script at a path: the same one across versions, of which `version` is the newest.
async fn script(
    tx: &mut TeamTx,
    ambient: &Ambient,
    pipeline: PipelineId,
    (version, path): (VersionId, &str),
) -> Result<ScriptId, sqlx::Error> {
    let team = tx.team();
    sql!(
        &mut **tx,
        fetch_one,
        query_scalar(
            "INSERT INTO scripts (id, team_id, pipeline_id, path, version_id, created_at)
             VALUES ($1, $2, $3, $4, $5, $6)
             ON CONFLICT (pipeline_id, path) DO UPDATE SET version_id = excluded.version_id RETURNING id"
        )
        .bind(ambient.id::<ScriptId>())
        .bind(team)
        .bind(pipeline)
        .bind(path)
        .bind(version)
        .bind(ambient.now())
    )
}

/// The versions of library modules that a version is pinned to.
pub async fn library_versions(tx: &mut TeamTx, version: VersionId) -> Result<Vec<LibraryVersionId>, sqlx::Error> {
    let team = tx.team();
    sql!(
        &mut **tx,
        fetch_all,
        query_scalar("SELECT library_version_id FROM pipeline_version_library WHERE team_id = $1 AND version_id = $2")
            .bind(team)
            .bind(version)
    )
}
