//! Boards.

use restroy_sdk::{
    api::board::Board,
    ids::{BoardId, TeamId},
    time::Timestamp,
};
use sqlx::{query, query_as, query_scalar};

use super::TeamTx;
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
    revision: i64,
    deleted_at: Option<Timestamp>,
}

/// What [`Row`] reads.
macro_rules! columns {
    () => {
        "id, team_id, name, description, archived_at, created_at, updated_at, revision, deleted_at"
    };
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
            revision: row.revision,
            deleted_at: row.deleted_at,
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
        query_as(concat!(
            "INSERT INTO boards (id, team_id, name, description, created_at, updated_at)
             VALUES ($1, $2, $3, $4, $5, $5)
             RETURNING ",
            columns!()
        ))
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
        query_as(concat!("SELECT ", columns!(), " FROM boards WHERE team_id = $1 AND id = $2 AND deleted_at IS NULL"))
            .bind(team)
            .bind(id)
    )?;
    Ok(row.map(Board::from))
}

/// The team's boards, or those that were deleted; the oldest first, after `after`.
pub async fn list(
    tx: &mut TeamTx,
    deleted: bool,
    after: Option<BoardId>,
    rows: i64,
) -> Result<Vec<Board>, sqlx::Error> {
    let team = tx.team();
    let rows: Vec<Row> = sql!(
        &mut **tx,
        fetch_all,
        query_as(concat!(
            "SELECT ",
            columns!(),
            " FROM boards
             WHERE team_id = $1 AND (deleted_at IS NOT NULL) = $4 AND ($2 IS NULL OR id > $2)
             ORDER BY id LIMIT $3"
        ))
        .bind(team)
        .bind(after)
        .bind(rows)
        .bind(deleted)
    )?;
    Ok(rows.into_iter().map(Board::from).collect())
}

/// Writes a board's own fields, and gives it as it is then; a unique violation when the name is taken.
pub async fn update(tx: &mut TeamTx, board: &Board, now: Timestamp) -> Result<Board, sqlx::Error> {
    let team = tx.team();
    let row: Row = sql!(
        &mut **tx,
        fetch_one,
        query_as(concat!(
            "UPDATE boards SET name = $3, description = $4, updated_at = $6, revision = revision + 1,
                 archived_at = CASE WHEN $5 THEN coalesce(archived_at, $6) END
             WHERE team_id = $1 AND id = $2 AND deleted_at IS NULL RETURNING ",
            columns!()
        ))
        .bind(team)
        .bind(board.id)
        .bind(&board.name)
        .bind(&board.description)
        .bind(board.archived)
        .bind(now)
    )?;
    Ok(row.into())
}

/// Deletes a board, softly: its pipelines and their runs are found no more.
pub async fn delete(tx: &mut TeamTx, id: BoardId, now: Timestamp) -> Result<(), sqlx::Error> {
    let team = tx.team();
    sql!(
        &mut **tx,
        execute,
        query(
            "UPDATE boards SET deleted_at = $3, revision = revision + 1
             WHERE team_id = $1 AND id = $2 AND deleted_at IS NULL"
        )
        .bind(team)
        .bind(id)
        .bind(now)
    )?;
    Ok(())
}

/// Brings back a board that was deleted after `since`; none when it is not one, a unique violation when its
/// name is taken.
pub async fn restore(
    tx: &mut TeamTx,
    id: BoardId,
    since: Timestamp,
    now: Timestamp,
) -> Result<Option<Board>, sqlx::Error> {
    let team = tx.team();
    let row: Option<Row> = sql!(
        &mut **tx,
        fetch_optional,
        query_as(concat!(
            "UPDATE boards SET deleted_at = NULL, updated_at = $3, revision = revision + 1
             WHERE team_id = $1 AND id = $2 AND deleted_at > $4 RETURNING ",
            columns!()
        ))
        .bind(team)
        .bind(id)
        .bind(now)
        .bind(since)
    )?;
    Ok(row.map(Board::from))
}

/// The name of a deleted board.
pub async fn get_deleted(tx: &mut TeamTx, id: BoardId) -> Result<Option<String>, sqlx::Error> {
    let team = tx.team();
    sql!(
        &mut **tx,
        fetch_optional,
        query_scalar("SELECT name FROM boards WHERE team_id = $1 AND id = $2 AND deleted_at IS NOT NULL")
            .bind(team)
            .bind(id)
    )
}
