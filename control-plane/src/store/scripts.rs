//! Scripts, across the versions of their pipeline.

use restroy_sdk::{
    api::script::{Script, ScriptVersion},
    ids::{PipelineId, ScriptId, ScriptVersionId},
    time::Timestamp,
};
use sqlx::query_as;

use super::{
    TeamTx,
    sort::{Age, Selection, by_age, by_order},
};
use crate::sql;

#[derive(sqlx::FromRow)]
struct Row {
    id: ScriptId,
    pipeline_id: PipelineId,
    path: String,
    current: bool,
    sha256: Vec<u8>,
    created_at: Timestamp,
}

impl From<Row> for Script {
    fn from(row: Row) -> Self {
        Self {
            id: row.id,
            pipeline_id: row.pipeline_id,
            path: row.path,
            current: row.current,
            sha256: hex::encode(row.sha256),
            created_at: row.created_at,
        }
    }
}

/// A row for every version that a script is part of.
macro_rules! scripts {
    () => {
        "SELECT s.id, s.pipeline_id, s.path, s.created_at, v.number = p.latest_version AS current, sv.sha256
             FROM scripts s
             JOIN pipelines p ON p.team_id = s.team_id AND p.id = s.pipeline_id
             JOIN pipeline_version_scripts pvs ON pvs.team_id = s.team_id AND pvs.script_id = s.id
             JOIN pipeline_versions v ON v.team_id = s.team_id AND v.id = pvs.version_id
             JOIN script_versions sv ON sv.team_id = s.team_id AND sv.id = pvs.script_version_id "
    };
}

/// A script of the team.
pub async fn get(tx: &mut TeamTx, id: ScriptId) -> Result<Option<Script>, sqlx::Error> {
    let team = tx.team();
    let row: Option<Row> = sql!(
        &mut **tx,
        fetch_optional,
        query_as(concat!(
            scripts!(),
            "WHERE s.team_id = $1 AND s.id = $2
             ORDER BY v.number DESC LIMIT 1"
        ))
        .bind(team)
        .bind(id)
    )?;
    Ok(row.map(Script::from))
}

/// The pipeline's scripts by path, after `after`; those that the latest version lacks among them.
pub async fn list(tx: &mut TeamTx, pipeline: PipelineId, selection: &Selection) -> Result<Vec<Script>, sqlx::Error> {
    let team = tx.team();
    let statement = by_order!(selection.order, id: "s.id", name: "s.path",
    concat!(
        scripts!(),
        "WHERE s.team_id = $1 AND s.pipeline_id = $6
           AND v.number = (
               SELECT max(n.number) FROM pipeline_version_scripts o
               JOIN pipeline_versions n ON n.team_id = o.team_id AND n.id = o.version_id
               WHERE o.team_id = s.team_id AND o.script_id = s.id)"
    ));
    let rows: Vec<Row> = sql!(
        &mut **tx,
        fetch_all,
        query_as(statement)
            .bind(team)
            .bind(selection.id())
            .bind(selection.place_name())
            .bind(&selection.name)
            .bind(selection.rows)
            .bind(pipeline)
    )?;
    Ok(rows.into_iter().map(Script::from).collect())
}

#[derive(sqlx::FromRow)]
struct VersionRow {
    id: ScriptVersionId,
    sha256: Vec<u8>,
    source: String,
    created_at: Timestamp,
}

/// The script's sources, the newest first, each once, before `before`. (A source that another
/// script of the team brought first is as old as there.)
pub async fn versions(
    tx: &mut TeamTx,
    script: ScriptId,
    age: Age,
    after: Option<ScriptVersionId>,
    rows: i64,
) -> Result<Vec<ScriptVersion>, sqlx::Error> {
    let team = tx.team();
    let rows: Vec<VersionRow> = sql!(
        &mut **tx,
        fetch_all,
        query_as(by_age!(
            age,
            "sv.id",
            "SELECT sv.id, sv.sha256, sv.source, sv.created_at FROM script_versions sv
             WHERE sv.team_id = $1 AND EXISTS (
                 SELECT 1 FROM pipeline_version_scripts pvs
                 WHERE pvs.team_id = sv.team_id AND pvs.script_id = $4 AND pvs.script_version_id = sv.id)"
        ))
        .bind(team)
        .bind(after)
        .bind(rows)
        .bind(script)
    )?;
    Ok(rows
        .into_iter()
        .map(|row| ScriptVersion {
            id: row.id,
            sha256: hex::encode(row.sha256),
            bytes: row.source.len() as u64,
            source: row.source,
            created_at: row.created_at,
        })
        .collect())
}
