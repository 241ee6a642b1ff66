//! Scripts, across the versions of their pipeline.

use restroy_sdk::{
    api::script::{Script, ScriptVersion},
    ids::{PipelineId, ScriptId, ScriptVersionId},
    time::Timestamp,
};
use sqlx::{query_as, types::Uuid};

use super::{
    TeamTx,
    sort::{AgeOrder, ListSelection, by_order},
};
use crate::sql;

#[derive(sqlx::FromRow)]
struct ScriptRow {
    id: ScriptId,
    pipeline_id: PipelineId,
    path: String,
    current: bool,
    sha256: Vec<u8>,
    created_at: Timestamp,
}

impl From<ScriptRow> for Script {
    fn from(row: ScriptRow) -> Self {
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

/// A row for each script, as it is in the newest version that has it.
macro_rules! scripts {
    () => {
        "SELECT s.id, s.pipeline_id, s.path, s.created_at, v.number = p.latest_version AS current, sv.sha256
             FROM scripts s
             JOIN pipelines p ON p.team_id = s.team_id AND p.id = s.pipeline_id
             JOIN pipeline_version_scripts pvs
               ON pvs.team_id = s.team_id AND pvs.version_id = s.version_id AND pvs.script_id = s.id
             JOIN pipeline_versions v ON v.team_id = s.team_id AND v.id = pvs.version_id
             JOIN script_versions sv ON sv.team_id = s.team_id AND sv.id = pvs.script_version_id "
    };
}

/// A script of the team.
pub async fn get(tx: &mut TeamTx, id: ScriptId) -> Result<Option<Script>, sqlx::Error> {
    let team = tx.team();
    let row: Option<ScriptRow> = sql!(
        &mut **tx,
        fetch_optional,
        query_as(concat!(scripts!(), "WHERE s.team_id = $1 AND s.id = $2")).bind(team).bind(id)
    )?;
    Ok(row.map(Script::from))
}

/// The pipeline's scripts by path, after `after`; those that the latest version lacks among them.
pub async fn list(
    tx: &mut TeamTx,
    pipeline: PipelineId,
    selection: &ListSelection,
) -> Result<Vec<Script>, sqlx::Error> {
    let team = tx.team();
    let statement = by_order!(selection.order, id: "s.id", name: "s.path",
    concat!(
        scripts!(),
        "WHERE s.team_id = $1 AND s.pipeline_id = $6"
    ));
    let rows: Vec<ScriptRow> = sql!(
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
struct ScriptVersionRow {
    id: ScriptVersionId,
    sha256: Vec<u8>,
    source: String,
    created_at: Timestamp,
}

/// The script's sources, the newest first, each once, before `before`. (A source that another
/// script of the team brought first is as old as there.) From one to the next it is a look into an index,
/// however many versions have the same.
pub async fn versions(
    tx: &mut TeamTx,
    script: ScriptId,
    age: AgeOrder,
    after: Option<ScriptVersionId>,
    rows: i64,
) -> Result<Vec<ScriptVersion>, sqlx::Error> {
    macro_rules! by_age {
        ($after:literal, $order:literal) => {
            concat!(
                "WITH RECURSIVE found (id, place) AS (
                     SELECT (SELECT f.script_version_id FROM pipeline_version_scripts f
                             WHERE f.team_id = $1 AND f.script_id = $2 AND f.script_version_id ",
                $after,
                " $3 ORDER BY f.script_version_id ",
                $order,
                " LIMIT 1), CAST(1 AS BIGINT)
                     UNION ALL
                     SELECT (SELECT n.script_version_id FROM pipeline_version_scripts n
                             WHERE n.team_id = $1 AND n.script_id = $2 AND n.script_version_id ",
                $after,
                " found.id ORDER BY n.script_version_id ",
                $order,
                " LIMIT 1), found.place + 1
                     FROM found WHERE found.id IS NOT NULL AND found.place < $4)
                 SELECT sv.id, sv.sha256, sv.source, sv.created_at
                 FROM found JOIN script_versions sv ON sv.team_id = $1 AND sv.id = found.id ORDER BY found.place"
            )
        };
    }
    let (statement, first) = match age {
        AgeOrder::Oldest => (by_age!(">", "ASC"), Uuid::nil()),
        AgeOrder::Newest => (by_age!("<", "DESC"), Uuid::max()),
    };
    let team = tx.team();
    let rows: Vec<ScriptVersionRow> = sql!(
        &mut **tx,
        fetch_all,
        query_as(statement).bind(team).bind(script).bind(after.map_or(first, |after| after.0)).bind(rows)
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
