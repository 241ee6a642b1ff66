//! Boards.

use restroy_sdk::{
    api::board::{Board, NewBoard},
    ids::{BoardId, TeamId, UserId},
    time::Timestamp,
};
use sqlx::{query, query_as, query_scalar};

use super::{
    TeamTx,
    sort::{ListSelection, by_order},
};
use crate::sql;

#[derive(sqlx::FromRow)]
struct BoardRow {
    id: BoardId,
    team_id: TeamId,
    name: String,
    description: String,
    archived_at: Option<Timestamp>,
    private: bool,
    created_at: Timestamp,
    updated_at: Timestamp,
    revision: i64,
    deleted_at: Option<Timestamp>,
}

/// What [`BoardRow`] reads.
macro_rules! columns {
    () => {
        "id, team_id, name, description, archived_at, private, created_at, updated_at, revision, deleted_at"
    };
}

impl From<BoardRow> for Board {
    fn from(row: BoardRow) -> Self {
        Self {
            id: row.id,
            team_id: row.team_id,
            name: row.name,
            description: row.description,
            archived: row.archived_at.is_some(),
            private: row.private,
            created_at: row.created_at,
            updated_at: row.updated_at,
            revision: row.revision,
            deleted_at: row.deleted_at,
        }
    }
}

/// How many boards the team has, those among them that were deleted and are not purged yet.
pub async fn count(tx: &mut TeamTx) -> Result<i64, sqlx::Error> {
    let team = tx.team();
    sql!(&mut **tx, fetch_one, query_scalar("SELECT count(*) FROM boards WHERE team_id = $1").bind(team))
}

/// Makes a board; a unique violation when the name is taken.
pub async fn insert(tx: &mut TeamTx, id: BoardId, new: &NewBoard, now: Timestamp) -> Result<Board, sqlx::Error> {
    let team = tx.team();
    let row: BoardRow = sql!(
        &mut **tx,
        fetch_one,
        query_as(concat!(
            "INSERT INTO boards (id, team_id, name, description, private, created_at, updated_at)
             VALUES ($1, $2, $3, $4, $6, $5, $5)
             RETURNING ",
            columns!()
        ))
        .bind(id)
        .bind(team)
        .bind(&new.name)
        .bind(&new.description)
        .bind(now)
        .bind(new.private)
    )?;
    Ok(row.into())
}

/// A board of the team.
pub async fn get(tx: &mut TeamTx, id: BoardId) -> Result<Option<Board>, sqlx::Error> {
    let team = tx.team();
    let row: Option<BoardRow> = sql!(
        &mut **tx,
        fetch_optional,
        query_as(concat!("SELECT ", columns!(), " FROM boards WHERE team_id = $1 AND id = $2 AND deleted_at IS NULL"))
            .bind(team)
            .bind(id)
    )?;
    Ok(row.map(Board::from))
}

/// Whether somebody sees what lies on the board `b` of the team `$1`, as a condition, with the
/// placeholders of whether their role in the team has the permission at all, whether it administers
/// boards, and who it is. The permission is one that every built-in role holds; see [`Viewer`].
#[macro_export]
macro_rules! seen {
    ($permission:literal, $in_team:literal, $administers:literal, $user:literal) => {
        concat!(
            "((",
            $in_team,
            " AND (NOT b.private OR ",
            $administers,
            "))
              OR EXISTS (SELECT 1 FROM board_members bm
                         WHERE bm.team_id = $1 AND bm.board_id = b.id AND bm.user_id = ",
            $user,
            "
                           AND (bm.role IS NOT NULL OR EXISTS (
                                SELECT 1 FROM role_permissions g
                                WHERE g.team_id = $1 AND g.role_id = bm.role_id AND g.permission = '",
            $permission,
            "'))))"
        )
    };
}
pub use seen;

/// Who looks at a list of what lies on the boards of a team.
#[derive(Debug, Clone, Copy)]
pub struct Viewer {
    /// Whether the role in the team has the list's permission.
    pub in_team: bool,
    /// Whether it administers boards: then private ones are seen too.
    pub administers: bool,
    /// Who; nobody for an API token that does not carry the list's permission: what its holder is on
    /// boards shows it nothing.
    pub user: Option<UserId>,
}

/// The team's boards that the viewer sees, or those of them that were deleted.
pub async fn list(
    tx: &mut TeamTx,
    viewer: Viewer,
    deleted: bool,
    selection: &ListSelection,
) -> Result<Vec<Board>, sqlx::Error> {
    let team = tx.team();
    let statement = by_order!(selection.order, id: "id", name: "name",
    concat!(
        "SELECT ",
        columns!(),
        " FROM boards b WHERE team_id = $1 AND (deleted_at IS NOT NULL) = $9 AND ",
        seen!("board.read", "$6", "$7", "$8")
    ));
    let rows: Vec<BoardRow> = sql!(
        &mut **tx,
        fetch_all,
        query_as(statement)
            .bind(team)
            .bind(selection.id())
            .bind(selection.place_name())
            .bind(&selection.name)
            .bind(selection.rows)
            .bind(viewer.in_team)
            .bind(viewer.administers)
            .bind(viewer.user)
            .bind(deleted)
    )?;
    Ok(rows.into_iter().map(Board::from).collect())
}

/// Writes a board's own fields, and gives it as it is then; a unique violation when the name is taken.
pub async fn update(tx: &mut TeamTx, board: &Board, now: Timestamp) -> Result<Board, sqlx::Error> {
    let team = tx.team();
    let row: BoardRow = sql!(
        &mut **tx,
        fetch_one,
        query_as(concat!(
            "UPDATE boards SET name = $3, description = $4, updated_at = $6, private = $7, revision = revision + 1,
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
        .bind(board.private)
    )?;
    Ok(row.into())
}

/// Counts a change of the board's configuration; the new revision.
pub async fn raise_config_revision(tx: &mut TeamTx, id: BoardId) -> Result<i64, sqlx::Error> {
    let team = tx.team();
    sql!(
        &mut **tx,
        fetch_one,
        query_scalar(
            "UPDATE boards SET config_revision = config_revision + 1
             WHERE team_id = $1 AND id = $2 RETURNING config_revision"
        )
        .bind(team)
        .bind(id)
    )
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
    let row: Option<BoardRow> = sql!(
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
