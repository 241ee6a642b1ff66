//! Teams and their members.

use restroy_sdk::{
    api::{
        auth::TeamRole,
        team::{Member, Team},
    },
    ids::{ApiTokenId, RoleId, TeamId, UserId},
    permission::Role,
    time::Timestamp,
};
use sqlx::{query, query_as, query_scalar};

use super::{
    TeamTx, Tx,
    sort::{ListSelection, by_order},
};
use crate::sql;

#[derive(sqlx::FromRow)]
struct TeamRow {
    id: TeamId,
    name: String,
    role: String,
    created_at: Timestamp,
}

impl From<TeamRow> for Team {
    fn from(row: TeamRow) -> Self {
        Self { id: row.id, name: row.name, role: row.role, created_at: row.created_at }
    }
}

/// A new team.
#[derive(Debug)]
pub struct NewTeam<'a> {
    /// The team's id.
    pub id: TeamId,
    /// Its name.
    pub name: &'a str,
    /// Its data key, sealed.
    pub data_key: Vec<u8>,
    /// The master key that sealed it.
    pub key_id: String,
    /// Its first member.
    pub owner: UserId,
}

/// Makes a team with its first member.
pub async fn insert(tx: &mut Tx, team: &NewTeam<'_>, now: Timestamp) -> Result<(), sqlx::Error> {
    sql!(
        &mut *tx,
        execute,
        query("INSERT INTO teams (id, name, data_key, key_id, created_at) VALUES ($1, $2, $3, $4, $5)")
            .bind(team.id)
            .bind(team.name)
            .bind(&team.data_key)
            .bind(&team.key_id)
            .bind(now)
    )?;
    add_member(tx, team.id, team.owner, Role::Owner, now).await
}

/// Takes a person into a team.
pub async fn add_member(
    tx: &mut Tx,
    team: TeamId,
    user: UserId,
    role: Role,
    now: Timestamp,
) -> Result<(), sqlx::Error> {
    sql!(
        tx,
        execute,
        query("INSERT INTO memberships (team_id, user_id, role, created_at) VALUES ($1, $2, $3, $4)")
            .bind(team)
            .bind(user)
            .bind(role.as_str())
            .bind(now)
    )?;
    Ok(())
}

/// How many teams a person owns, those among them that were deleted and are not purged yet.
pub async fn count_owned(tx: &mut Tx, user: UserId) -> Result<i64, sqlx::Error> {
    sql!(
        tx,
        fetch_one,
        query_scalar("SELECT count(*) FROM memberships WHERE user_id = $1 AND role = 'owner'").bind(user)
    )
}

/// How many teams a person is in.
pub async fn count_joined(tx: &mut Tx, user: UserId) -> Result<i64, sqlx::Error> {
    sql!(
        tx,
        fetch_one,
        query_scalar(
            "SELECT count(*) FROM memberships m JOIN teams t ON t.id = m.team_id AND t.deleted_at IS NULL
             WHERE m.user_id = $1"
        )
        .bind(user)
    )
}

/// Who looks at a list of teams.
#[derive(Debug, Clone, Copy)]
pub struct Viewer {
    /// The account, whose teams are listed.
    pub user: UserId,
    /// The API token that the account is known by: teams that revoked it are left out.
    pub token: Option<ApiTokenId>,
    /// The only team that the token reaches.
    pub only: Option<TeamId>,
}

/// A viewer's teams; for an API token, those that it reaches.
pub async fn list_for_user(tx: &mut Tx, viewer: Viewer, selection: &ListSelection) -> Result<Vec<Team>, sqlx::Error> {
    let statement = by_order!(selection.order, id: "t.id", name: "t.name",
        "SELECT t.id, t.name, coalesce(m.role, r.name) AS role, t.created_at
         FROM memberships m JOIN teams t ON t.id = m.team_id AND t.deleted_at IS NULL
         LEFT JOIN roles r ON r.team_id = m.team_id AND r.id = m.role_id
         WHERE m.user_id = $1 AND ($6 IS NULL OR t.id = $6)
           AND NOT EXISTS (SELECT 1 FROM api_token_bars b WHERE b.team_id = t.id AND b.token_id = $7)");
    let rows: Vec<TeamRow> = sql!(
        tx,
        fetch_all,
        query_as(statement)
            .bind(viewer.user)
            .bind(selection.id())
            .bind(selection.place_name())
            .bind(&selection.name)
            .bind(selection.rows)
            .bind(viewer.only)
            .bind(viewer.token)
    )?;
    Ok(rows.into_iter().map(Team::from).collect())
}

/// The teams that a viewer owns, that were deleted since `since` and are still there; for an API token,
/// those that it reaches.
pub async fn list_deleted_for_user(
    tx: &mut Tx,
    viewer: Viewer,
    since: Timestamp,
    selection: &ListSelection,
) -> Result<Vec<Team>, sqlx::Error> {
    let statement = by_order!(selection.order, id: "t.id", name: "t.name",
        "SELECT t.id, t.name, m.role, t.created_at
         FROM memberships m JOIN teams t ON t.id = m.team_id AND t.deleted_at > $6
         WHERE m.user_id = $1 AND m.role = 'owner' AND ($7 IS NULL OR t.id = $7)
           AND NOT EXISTS (SELECT 1 FROM api_token_bars b WHERE b.team_id = t.id AND b.token_id = $8)");
    let rows: Vec<TeamRow> = sql!(
        tx,
        fetch_all,
        query_as(statement)
            .bind(viewer.user)
            .bind(selection.id())
            .bind(selection.place_name())
            .bind(&selection.name)
            .bind(selection.rows)
            .bind(since)
            .bind(viewer.only)
            .bind(viewer.token)
    )?;
    Ok(rows.into_iter().map(Team::from).collect())
}

/// A viewer's teams in short; the first hundred.
pub async fn roles_of_user(tx: &mut Tx, viewer: Viewer) -> Result<Vec<TeamRole>, sqlx::Error> {
    let teams = list_for_user(tx, viewer, &ListSelection::first(100)).await?;
    Ok(teams.into_iter().map(|team| TeamRole { id: team.id, name: team.name, role: team.role }).collect())
}

/// Whether a person is in a team.
pub async fn has_member(tx: &mut Tx, team: TeamId, user: UserId) -> Result<bool, sqlx::Error> {
    let found: Option<i64> = sql!(
        tx,
        fetch_optional,
        query_scalar(
            "SELECT CAST(1 AS BIGINT) FROM memberships m JOIN teams t ON t.id = m.team_id AND t.deleted_at IS NULL
             WHERE m.team_id = $1 AND m.user_id = $2"
        )
        .bind(team)
        .bind(user)
    )?;
    Ok(found.is_some())
}

/// The teams that an account is in, deleted ones among them, by id: the order in which they are held.
pub async fn ids_of_user(tx: &mut Tx, user: UserId) -> Result<Vec<TeamId>, sqlx::Error> {
    sql!(tx, fetch_all, query_scalar("SELECT team_id FROM memberships WHERE user_id = $1 ORDER BY team_id").bind(user))
}

/// The teams that a person owns, by id, with their names.
pub async fn owned_by(tx: &mut Tx, user: UserId) -> Result<Vec<(TeamId, String)>, sqlx::Error> {
    sql!(
        tx,
        fetch_all,
        query_as(
            "SELECT t.id, t.name FROM memberships m JOIN teams t ON t.id = m.team_id AND t.deleted_at IS NULL
             WHERE m.user_id = $1 AND m.role = 'owner' ORDER BY t.id"
        )
        .bind(user)
    )
}

/// Who is in a team beside a person.
#[derive(Debug, Clone, Copy, sqlx::FromRow)]
pub struct OtherMembers {
    /// People, not services.
    pub people: i64,
    /// Those of them who own it.
    pub owners: i64,
}

/// Counts who is in a team beside a person.
pub async fn others(tx: &mut Tx, team: TeamId, user: UserId) -> Result<OtherMembers, sqlx::Error> {
    sql!(
        tx,
        fetch_one,
        query_as(
            "SELECT count(*) AS people, count(CASE WHEN m.role = 'owner' THEN 1 END) AS owners
             FROM memberships m JOIN users u ON u.id = m.user_id AND u.kind = 'person' AND u.deleted_at IS NULL
             WHERE m.team_id = $1 AND m.user_id <> $2"
        )
        .bind(team)
        .bind(user)
    )
}

/// The transaction's team, as a member sees it.
pub async fn get(tx: &mut TeamTx, user: UserId) -> Result<Option<Team>, sqlx::Error> {
    let team = tx.team();
    let row: Option<TeamRow> = sql!(
        &mut **tx,
        fetch_optional,
        query_as(
            "SELECT t.id, t.name, coalesce(m.role, r.name) AS role, t.created_at
             FROM teams t JOIN memberships m ON m.team_id = t.id AND m.user_id = $2
             LEFT JOIN roles r ON r.team_id = m.team_id AND r.id = m.role_id
             WHERE t.id = $1 AND t.deleted_at IS NULL"
        )
        .bind(team)
        .bind(user)
    )?;
    Ok(row.map(Team::from))
}

/// Renames the transaction's team.
pub async fn rename(tx: &mut TeamTx, name: &str) -> Result<(), sqlx::Error> {
    let team = tx.team();
    sql!(&mut **tx, execute, query("UPDATE teams SET name = $2 WHERE id = $1").bind(team).bind(name))?;
    Ok(())
}

/// Holds a team's row until the transaction ends, as every write of the API for the team does; on
/// SQLite there is one writer anyway. The second in the order of [`TeamTx::lock_run`].
pub async fn lock(tx: &mut Tx, team: TeamId) -> Result<(), sqlx::Error> {
    if let Tx::Postgres(..) = tx {
        sql!(tx, execute, query("SELECT 1 FROM teams WHERE id = $1 FOR NO KEY UPDATE").bind(team))?;
    }
    Ok(())
}

/// Deletes the transaction's team, softly: it is found no more, and its schedules wait.
pub async fn delete(tx: &mut TeamTx, now: Timestamp) -> Result<(), sqlx::Error> {
    let team = tx.team();
    sql!(
        &mut **tx,
        execute,
        query("UPDATE teams SET deleted_at = $2 WHERE id = $1 AND deleted_at IS NULL").bind(team).bind(now)
    )?;
    Ok(())
}

/// Brings the transaction's team back if it was deleted after `since`; whether it was.
pub async fn restore(tx: &mut TeamTx, since: Timestamp) -> Result<bool, sqlx::Error> {
    let team = tx.team();
    let done = sql!(
        &mut **tx,
        execute,
        query("UPDATE teams SET deleted_at = NULL WHERE id = $1 AND deleted_at > $2").bind(team).bind(since)
    )?;
    Ok(done.rows_affected() == 1)
}

/// Counts a change of the team's configuration; the new revision.
pub async fn raise_config_revision(tx: &mut TeamTx) -> Result<i64, sqlx::Error> {
    let team = tx.team();
    sql!(
        &mut **tx,
        fetch_one,
        query_scalar("UPDATE teams SET config_revision = config_revision + 1 WHERE id = $1 RETURNING config_revision")
            .bind(team)
    )
}

#[derive(sqlx::FromRow)]
struct MemberRow {
    user_id: UserId,
    name: String,
    email: String,
    role: String,
    role_id: Option<RoleId>,
    joined_at: Timestamp,
}

/// The people in the team; their age is that of their accounts.
pub async fn members(tx: &mut TeamTx, selection: &ListSelection) -> Result<Vec<Member>, sqlx::Error> {
    let team = tx.team();
    let statement = by_order!(selection.order, id: "u.id", name: "u.name",
        "SELECT u.id AS user_id, u.name, u.email, coalesce(m.role, r.name) AS role, m.role_id,
                m.created_at AS joined_at
         FROM memberships m JOIN users u ON u.id = m.user_id AND u.kind = 'person' AND u.deleted_at IS NULL
         LEFT JOIN roles r ON r.team_id = m.team_id AND r.id = m.role_id
         WHERE m.team_id = $1");
    let rows: Vec<MemberRow> = sql!(
        &mut **tx,
        fetch_all,
        query_as(statement)
            .bind(team)
            .bind(selection.id())
            .bind(selection.place_name())
            .bind(&selection.name)
            .bind(selection.rows)
    )?;
    Ok(rows
        .into_iter()
        .map(|row| Member {
            user_id: row.user_id,
            name: row.name,
            email: row.email,
            role: row.role,
            role_id: row.role_id,
            joined_at: row.joined_at,
        })
        .collect())
}
