//! Teams, their members, and a team's data key.

use restroy_sdk::{
    api::{
        auth::TeamRole,
        team::{Member, Team},
    },
    ids::{TeamId, UserId},
    time::{Ambient, Timestamp},
};
use sqlx::{query, query_as, query_scalar};

use super::{Db, StoreError, TeamTx, Tx};
use crate::{
    auth::{Caller, Role},
    secrets::{KeyRing, TeamKey},
    sql,
};

/// The team's data key, open.
pub async fn key(tx: &mut TeamTx, keys: &KeyRing) -> Result<TeamKey, StoreError> {
    let team = tx.team();
    let (sealed, key_id): (Vec<u8>, String) =
        sql!(&mut **tx, fetch_one, query_as("SELECT data_key, key_id FROM teams WHERE id = $1").bind(team))?;
    Ok(keys.open_team_key(team, &sealed, &key_id)?)
}

/// Seals every team's data key with the newest master key; gives how many were sealed with an older
/// one. After it the older keys may leave the ring. May be repeated, and go on while the service runs.
pub async fn rewrap(db: &Db, keys: &KeyRing, ambient: &Ambient) -> Result<usize, StoreError> {
    let mut tx = db.system_read().await?;
    let teams: Vec<TeamId> =
        sql!(&mut tx, fetch_all, query_scalar("SELECT id FROM teams WHERE key_id <> $1").bind(keys.newest()))?;
    drop(tx);
    let mut rewrapped = 0;
    for team in teams {
        let mut tx = db.team_write(team).await?;
        let found: Option<(Vec<u8>, String)> =
            sql!(&mut *tx, fetch_optional, query_as("SELECT data_key, key_id FROM teams WHERE id = $1").bind(team))?;
        let Some((sealed, old_id)) = found else { continue };
        let Some((sealed, key_id)) = keys.rewrap(ambient, team, &sealed, &old_id)? else { continue };
        sql!(
            &mut *tx,
            execute,
            query("UPDATE teams SET data_key = $2, key_id = $3 WHERE id = $1 AND key_id = $4")
                .bind(team)
                .bind(sealed)
                .bind(key_id)
                .bind(old_id)
        )?;
        tx.commit().await?;
        rewrapped += 1;
    }
    Ok(rewrapped)
}

#[derive(sqlx::FromRow)]
struct Row {
    id: TeamId,
    name: String,
    role: String,
    created_at: Timestamp,
}

impl From<Row> for Team {
    fn from(row: Row) -> Self {
        Self { id: row.id, name: row.name, role: row.role, created_at: row.created_at }
    }
}

/// A new team.
#[derive(Debug)]
pub struct NewTeam<'a> {
    /// Its id.
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

/// How many teams a person owns.
pub async fn owned(tx: &mut Tx, user: UserId) -> Result<i64, sqlx::Error> {
    sql!(
        tx,
        fetch_one,
        query_scalar(
            "SELECT count(*) FROM memberships m JOIN teams t ON t.id = m.team_id AND t.deleted_at IS NULL
             WHERE m.user_id = $1 AND m.role = 'owner'"
        )
        .bind(user)
    )
}

/// A caller's teams, the oldest first, after `after`; for an API token, those that it reaches.
pub async fn of_user(tx: &mut Tx, caller: Caller, after: Option<TeamId>, rows: i64) -> Result<Vec<Team>, sqlx::Error> {
    let grant = caller.grant();
    let rows: Vec<Row> = sql!(
        tx,
        fetch_all,
        query_as(
            "SELECT t.id, t.name, m.role, t.created_at
             FROM memberships m JOIN teams t ON t.id = m.team_id AND t.deleted_at IS NULL
             WHERE m.user_id = $1 AND ($2 IS NULL OR t.id > $2) AND ($4 IS NULL OR t.id = $4)
               AND NOT EXISTS (SELECT 1 FROM api_token_bars b WHERE b.team_id = t.id AND b.token_id = $5)
             ORDER BY t.id LIMIT $3"
        )
        .bind(caller.user_id)
        .bind(after)
        .bind(rows)
        .bind(grant.and_then(|grant| grant.team))
        .bind(grant.map(|grant| grant.id))
    )?;
    Ok(rows.into_iter().map(Team::from).collect())
}

/// A caller's teams in short; the first hundred.
pub async fn roles_of_user(tx: &mut Tx, caller: Caller) -> Result<Vec<TeamRole>, sqlx::Error> {
    let teams = of_user(tx, caller, None, 100).await?;
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
pub struct Others {
    /// People, not services.
    pub people: i64,
    /// Those of them who own it.
    pub owners: i64,
}

/// Counts who is in a team beside a person.
pub async fn others(tx: &mut Tx, team: TeamId, user: UserId) -> Result<Others, sqlx::Error> {
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

/// Deletes the transaction's team.
pub async fn delete(tx: &mut TeamTx, now: Timestamp) -> Result<(), sqlx::Error> {
    let team = tx.team();
    let statement = "UPDATE teams SET deleted_at = $2 WHERE id = $1 AND deleted_at IS NULL";
    sql!(&mut **tx, execute, query(statement).bind(team).bind(now))?;
    Ok(())
}

/// The transaction's team, as a member sees it.
pub async fn get(tx: &mut TeamTx, user: UserId) -> Result<Option<Team>, sqlx::Error> {
    let team = tx.team();
    let row: Option<Row> = sql!(
        &mut **tx,
        fetch_optional,
        query_as(
            "SELECT t.id, t.name, m.role, t.created_at
             FROM teams t JOIN memberships m ON m.team_id = t.id AND m.user_id = $2
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

#[derive(sqlx::FromRow)]
struct MemberRow {
    user_id: UserId,
    name: String,
    email: String,
    role: String,
    joined_at: Timestamp,
}

/// The people in the team by id, after `after`.
pub async fn members(tx: &mut TeamTx, after: Option<UserId>, rows: i64) -> Result<Vec<Member>, sqlx::Error> {
    let team = tx.team();
    let rows: Vec<MemberRow> = sql!(
        &mut **tx,
        fetch_all,
        query_as(
            "SELECT u.id AS user_id, u.name, u.email, m.role, m.created_at AS joined_at
             FROM memberships m JOIN users u ON u.id = m.user_id AND u.kind = 'person' AND u.deleted_at IS NULL
             WHERE m.team_id = $1 AND ($2 IS NULL OR u.id > $2) ORDER BY u.id LIMIT $3"
        )
        .bind(team)
        .bind(after)
        .bind(rows)
    )?;
    Ok(rows
        .into_iter()
        .map(|row| Member {
            user_id: row.user_id,
            name: row.name,
            email: row.email,
            role: row.role,
            joined_at: row.joined_at,
        })
        .collect())
}
