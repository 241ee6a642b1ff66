//! Boards.

use restroy_sdk::{
    api::board::Board,
    ids::{BoardId, TeamId},
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
    id: BoardId,
    team_id: TeamId,
    name: String,
    description: String,
    archived_at: Option<Timestamp>,
    created_at: Timestamp,
    updated_at: Timestamp,
}

impl From<Row> for Board {
    fn from(row: Row) -> Self {
        Self {
            id: row.id,
            team_id: row.team_id,
            name: row.name,
            description: row.description,
            archived: row.archived_at.is_some(),
            created_at: row.created_at,
            updated_at: row.updated_at,
        }
    }
}

/// How many boards the team has.
pub async fn count(tx: &mut TeamTx) -> Result<i64, sqlx::Error> {
    let team = tx.team();
    sql!(
        &mut **tx,
        fetch_one,
        query_scalar("SELECT count(*) FROM boards WHERE team_id = $1 AND deleted_at IS NULL").bind(team)
    )
}

/// Makes a board; a unique violation when the name is taken.
pub async fn insert(
    tx: &mut TeamTx,
    id: BoardId,
    name: &str,
    description: &str,
    now: Timestamp,
) -> Result<Board, sqlx::Error> {
    let team = tx.team();
    let row: Row = sql!(
        &mut **tx,
        fetch_one,
        query_as(
            "INSERT INTO boards (id, team_id, name, description, created_at, updated_at)
             VALUES ($1, $2, $3, $4, $5, $5)
             RETURNING id, team_id, name, description, archived_at, created_at, updated_at"
        )
        .bind(id)
        .bind(team)
        .bind(name)
        .bind(description)
        .bind(now)
    )?;
    Ok(row.into())
}

/// A board of the team.
pub async fn get(tx: &mut TeamTx, id: BoardId) -> Result<Option<Board>, sqlx::Error> {
    let team = tx.team();
    let row: Option<Row> = sql!(
        &mut **tx,
        fetch_optional,
        query_as(
            "SELECT id, team_id, name, description, archived_at, created_at, updated_at
             FROM boards WHERE team_id = $1 AND id = $2 AND deleted_at IS NULL"
        )
        .bind(team)
        .bind(id)
    )?;
    Ok(row.map(Board::from))
}

/// The team's boards.
pub async fn list(tx: &mut TeamTx, selection: &Selection) -> Result<Vec<Board>, sqlx::Error> {
    let team = tx.team();
    let statement = by_order!(selection.order, id: "id", name: "name",
        "SELECT id, team_id, name, description, archived_at, created_at, updated_at
         FROM boards WHERE team_id = $1 AND deleted_at IS NULL");
    let rows: Vec<Row> = sql!(
        &mut **tx,
        fetch_all,
        query_as(statement)
            .bind(team)
            .bind(selection.id())
            .bind(selection.place_name())
            .bind(&selection.name)
            .bind(selection.rows)
    )?;
    Ok(rows.into_iter().map(Board::from).collect())
}

/// Writes a board's own fields; a unique violation when the name is taken.
pub async fn update(tx: &mut TeamTx, board: &Board, now: Timestamp) -> Result<(), sqlx::Error> {
    let team = tx.team();
    sql!(
        &mut **tx,
        execute,
        query(
            "UPDATE boards SET name = $3, description = $4, updated_at = $6,
                 archived_at = CASE WHEN $5 THEN coalesce(archived_at, $6) END
             WHERE team_id = $1 AND id = $2 AND deleted_at IS NULL"
        )
        .bind(team)
        .bind(board.id)
        .bind(&board.name)
        .bind(&board.description)
        .bind(board.archived)
        .bind(now)
    )?;
    Ok(())
}

/// Deletes a board, softly: its pipelines and their runs are found no more.
pub async fn delete(tx: &mut TeamTx, id: BoardId, now: Timestamp) -> Result<(), sqlx::Error> {
    let team = tx.team();
    sql!(
        &mut **tx,
        execute,
        query("UPDATE boards SET deleted_at = $3 WHERE team_id = $1 AND id = $2 AND deleted_at IS NULL")
            .bind(team)
            .bind(id)
            .bind(now)
    )?;
    Ok(())
}
