//! The members of boards: those of the team who have a role on one.

use restroy_sdk::{
    api::board::BoardMember,
    ids::{BoardId, RoleId, UserId},
    permission::Permissions,
    time::Timestamp,
};
use sqlx::{query, query_as};

use super::{
    TeamTx,
    roles::AnyRole,
    sort::{ListSelection, by_order},
};
use crate::sql;

#[derive(sqlx::FromRow)]
struct BoardMemberRow {
    user_id: UserId,
    name: String,
    email: String,
    role: String,
    role_id: Option<RoleId>,
    added_at: Timestamp,
}

impl From<BoardMemberRow> for BoardMember {
    fn from(row: BoardMemberRow) -> Self {
        Self {
            user_id: row.user_id,
            name: row.name,
            email: Some(row.email),
            role: row.role,
            role_id: row.role_id,
            added_at: row.added_at,
        }
    }
}

/// The board's members; their age is that of their accounts.
pub async fn list(tx: &mut TeamTx, board: BoardId, selection: &ListSelection) -> Result<Vec<BoardMember>, sqlx::Error> {
    let team = tx.team();
    let statement = by_order!(selection.order, id: "u.id", name: "u.name",
        "SELECT u.id AS user_id, u.name, u.email, coalesce(bm.role, r.name) AS role, bm.role_id,
                bm.created_at AS added_at
         FROM board_members bm
         JOIN users u ON u.id = bm.user_id AND u.deleted_at IS NULL
         LEFT JOIN roles r ON r.team_id = bm.team_id AND r.id = bm.role_id
         WHERE bm.team_id = $1 AND bm.board_id = $6");
    let rows: Vec<BoardMemberRow> = sql!(
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
    Ok(rows.into_iter().map(BoardMember::from).collect())
}

/// A member of the board.
pub async fn get(tx: &mut TeamTx, board: BoardId, user: UserId) -> Result<Option<BoardMember>, sqlx::Error> {
    let team = tx.team();
    let row: Option<BoardMemberRow> = sql!(
        &mut **tx,
        fetch_optional,
        query_as(
            "SELECT u.id AS user_id, u.name, u.email, coalesce(bm.role, r.name) AS role, bm.role_id,
                    bm.created_at AS added_at
             FROM board_members bm
             JOIN users u ON u.id = bm.user_id AND u.deleted_at IS NULL
             LEFT JOIN roles r ON r.team_id = bm.team_id AND r.id = bm.role_id
             WHERE bm.team_id = $1 AND bm.board_id = $2 AND bm.user_id = $3"
        )
        .bind(team)
        .bind(board)
        .bind(user)
    )?;
    Ok(row.map(BoardMember::from))
}

/// What somebody's role on the board gives them there; nothing when they have none.
pub async fn permissions(tx: &mut TeamTx, board: BoardId, user: UserId) -> Result<Permissions, sqlx::Error> {
    let team = tx.team();
    let row: Option<(Option<String>, Option<String>)> = sql!(
        &mut **tx,
        fetch_optional,
        query_as(
            "SELECT bm.role, (SELECT string_agg(g.permission, ' ') FROM role_permissions g
                              WHERE g.team_id = bm.team_id AND g.role_id = bm.role_id)
             FROM board_members bm WHERE bm.team_id = $1 AND bm.board_id = $2 AND bm.user_id = $3"
        )
        .bind(team)
        .bind(board)
        .bind(user)
    )?;
    let Some((role, granted)) = row else { return Ok(Permissions::default()) };
    let permissions = Permissions::from_role(role.as_deref(), granted.as_deref());
    Ok(permissions.map_err(|error| sqlx::Error::Decode(error.into()))?.board_scoped())
}

/// Gives a member of the team a role on the board, in place of the one they had there.
pub async fn put(
    tx: &mut TeamTx,
    board: BoardId,
    user: UserId,
    role: &AnyRole,
    now: Timestamp,
) -> Result<(), sqlx::Error> {
    let team = tx.team();
    sql!(
        &mut **tx,
        execute,
        query(
            "INSERT INTO board_members (team_id, board_id, user_id, role, role_id, created_at)
             VALUES ($1, $2, $3, $4, $5, $6)
             ON CONFLICT (board_id, user_id) DO UPDATE SET role = excluded.role, role_id = excluded.role_id"
        )
        .bind(team)
        .bind(board)
        .bind(user)
        .bind(role.built_in())
        .bind(role.id())
        .bind(now)
    )?;
    Ok(())
}

/// Takes somebody's role on the board away.
pub async fn remove(tx: &mut TeamTx, board: BoardId, user: UserId) -> Result<(), sqlx::Error> {
    let team = tx.team();
    sql!(
        &mut **tx,
        execute,
        query("DELETE FROM board_members WHERE team_id = $1 AND board_id = $2 AND user_id = $3")
            .bind(team)
            .bind(board)
            .bind(user)
    )?;
    Ok(())
}
