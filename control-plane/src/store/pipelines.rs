//! Pipelines.

use restroy_sdk::{
    api::pipeline::Pipeline,
    ids::{BoardId, PipelineId, TeamId},
    time::Timestamp,
};
use sqlx::{query, query_as, query_scalar};

use super::{
    TeamTx,
    order::{Selection, by_order},
};
use crate::sql;

#[derive(sqlx::FromRow)]
struct Row {
    id: PipelineId,
    team_id: TeamId,
    board_id: BoardId,
    name: String,
    published_version: Option<i64>,
    latest_version: Option<i64>,
    created_at: Timestamp,
    updated_at: Timestamp,
}

impl From<Row> for Pipeline {
    fn from(row: Row) -> Self {
        Self {
            id: row.id,
            team_id: row.team_id,
            board_id: row.board_id,
            name: row.name,
            published_version: row.published_version,
            latest_version: row.latest_version,
            created_at: row.created_at,
            updated_at: row.updated_at,
        }
    }
}

/// How many pipelines the board has.
pub async fn count(tx: &mut TeamTx, board: BoardId) -> Result<i64, sqlx::Error> {
    let team = tx.team();
    sql!(
        &mut **tx,
        fetch_one,
        query_scalar("SELECT count(*) FROM pipelines WHERE team_id = $1 AND board_id = $2 AND deleted_at IS NULL")
            .bind(team)
            .bind(board)
    )
}

/// Makes a pipeline; a unique violation when the name is taken.
pub async fn insert(
    tx: &mut TeamTx,
    id: PipelineId,
    board: BoardId,
    name: &str,
    now: Timestamp,
) -> Result<Pipeline, sqlx::Error> {
    let team = tx.team();
    let row: Row = sql!(
        &mut **tx,
        fetch_one,
        query_as(
            "INSERT INTO pipelines (id, team_id, board_id, name, created_at, updated_at)
             VALUES ($1, $2, $3, $4, $5, $5)
             RETURNING id, team_id, board_id, name, published_version, latest_version, created_at, updated_at"
        )
        .bind(id)
        .bind(team)
        .bind(board)
        .bind(name)
        .bind(now)
    )?;
    Ok(row.into())
}

/// A pipeline of the team.
pub async fn get(tx: &mut TeamTx, id: PipelineId) -> Result<Option<Pipeline>, sqlx::Error> {
    let team = tx.team();
    let row: Option<Row> = sql!(
        &mut **tx,
        fetch_optional,
        query_as(
            "SELECT id, team_id, board_id, name, published_version, latest_version, created_at, updated_at
             FROM pipelines WHERE team_id = $1 AND id = $2 AND deleted_at IS NULL"
        )
        .bind(team)
        .bind(id)
    )?;
    Ok(row.map(Pipeline::from))
}

/// The board's pipelines.
pub async fn list(tx: &mut TeamTx, board: BoardId, selection: &Selection) -> Result<Vec<Pipeline>, sqlx::Error> {
    let team = tx.team();
    let statement = by_order!(selection.order, id: "id", name: "name",
        "SELECT id, team_id, board_id, name, published_version, latest_version, created_at, updated_at
         FROM pipelines WHERE team_id = $1 AND board_id = $6 AND deleted_at IS NULL");
    let rows: Vec<Row> = sql!(
        &mut **tx,
        fetch_all,
        query_as(statement)
            .bind(team)
            .bind(selection.id())
            .bind(selection.place_name())
            .bind(&selection.name)
            .bind(selection.rows)
            .bind(board)
    )?;
    Ok(rows.into_iter().map(Pipeline::from).collect())
}

/// Deletes a pipeline, softly: it and its runs are found no more.
pub async fn delete(tx: &mut TeamTx, id: PipelineId, now: Timestamp) -> Result<(), sqlx::Error> {
    let team = tx.team();
    sql!(
        &mut **tx,
        execute,
        query("UPDATE pipelines SET deleted_at = $3 WHERE team_id = $1 AND id = $2 AND deleted_at IS NULL")
            .bind(team)
            .bind(id)
            .bind(now)
    )?;
    Ok(())
}

/// Notes the newest version.
pub async fn set_latest(tx: &mut TeamTx, id: PipelineId, number: i64, now: Timestamp) -> Result<(), sqlx::Error> {
    let team = tx.team();
    sql!(
        &mut **tx,
        execute,
        query("UPDATE pipelines SET latest_version = $3, updated_at = $4 WHERE team_id = $1 AND id = $2")
            .bind(team)
            .bind(id)
            .bind(number)
            .bind(now)
    )?;
    Ok(())
}

/// Runs start with that version from now on.
pub async fn set_published(tx: &mut TeamTx, id: PipelineId, number: i64, now: Timestamp) -> Result<(), sqlx::Error> {
    let team = tx.team();
    sql!(
        &mut **tx,
        execute,
        query("UPDATE pipelines SET published_version = $3, updated_at = $4 WHERE team_id = $1 AND id = $2")
            .bind(team)
            .bind(id)
            .bind(number)
            .bind(now)
    )?;
    Ok(())
}

/// Counts a change of the pipeline's configuration; the new revision.
pub async fn raise_config_revision(tx: &mut TeamTx, id: PipelineId) -> Result<i64, sqlx::Error> {
    let team = tx.team();
    sql!(
        &mut **tx,
        fetch_one,
        query_scalar(
            "UPDATE pipelines SET config_revision = config_revision + 1
             WHERE team_id = $1 AND id = $2 RETURNING config_revision"
        )
        .bind(team)
        .bind(id)
    )
}
