//! Roles: the built-in ones, which are in the code, and a team's own, which are rows.
//!
//! A member's role is stored in two columns, of which one is null: `role`, the name of a built-in one, and
//! `role_id`, one of the team's own.

use restroy_sdk::{
    api::role,
    ids::RoleId,
    permission::{Permission, Permissions, Role},
    time::Timestamp,
};
use sqlx::{query, query_as, query_scalar};

use super::TeamTx;
use crate::sql;

/// A role that somebody has or is to get.
#[derive(Debug, Clone)]
pub enum AnyRole {
    /// A built-in one.
    BuiltIn(Role),
    /// One of the team's own.
    Own(CustomRole),
}

/// A role of a team's own.
#[derive(Debug, Clone)]
pub struct CustomRole {
    /// The role's id.
    pub id: RoleId,
    /// Its name.
    pub name: String,
    /// What it is for.
    pub description: String,
    /// What it allows.
    pub permissions: Permissions,
    /// When it was created.
    pub created_at: Timestamp,
    /// The last change.
    pub updated_at: Timestamp,
}

impl AnyRole {
    /// Its name.
    pub fn name(&self) -> &str {
        match self {
            Self::BuiltIn(role) => role.as_str(),
            Self::Own(own) => &own.name,
        }
    }

    /// Whether whoever has it owns the team.
    pub fn is_owner(&self) -> bool {
        matches!(self, Self::BuiltIn(Role::Owner))
    }

    /// What it allows.
    pub fn permissions(&self) -> Permissions {
        match self {
            Self::BuiltIn(role) => role.permissions(),
            Self::Own(own) => own.permissions,
        }
    }

    /// The column `role` of who has it.
    pub fn built_in(&self) -> Option<&'static str> {
        match self {
            Self::BuiltIn(role) => Some(role.as_str()),
            Self::Own(_) => None,
        }
    }

    /// The column `role_id` of who has it.
    pub fn id(&self) -> Option<RoleId> {
        match self {
            Self::BuiltIn(_) => None,
            Self::Own(own) => Some(own.id),
        }
    }

    /// As the API shows it.
    pub fn into_api(self) -> role::Role {
        let permissions = self.permissions().names();
        match self {
            Self::BuiltIn(built_in) => role::Role {
                id: None,
                name: built_in.to_string(),
                description: built_in.description().into(),
                built_in: true,
                permissions,
                created_at: None,
                updated_at: None,
            },
            Self::Own(own) => role::Role {
                id: Some(own.id),
                name: own.name,
                description: own.description,
                built_in: false,
                permissions,
                created_at: Some(own.created_at),
                updated_at: Some(own.updated_at),
            },
        }
    }
}

#[derive(sqlx::FromRow)]
struct RoleRow {
    id: RoleId,
    name: String,
    description: String,
    granted: Option<String>,
    created_at: Timestamp,
    updated_at: Timestamp,
}

impl From<RoleRow> for CustomRole {
    fn from(row: RoleRow) -> Self {
        let granted = row.granted.as_deref().unwrap_or("").split(' ').filter_map(|name| name.parse().ok());
        Self {
            id: row.id,
            name: row.name,
            description: row.description,
            permissions: granted.chain([Permission::TeamRead]).collect(),
            created_at: row.created_at,
            updated_at: row.updated_at,
        }
    }
}

/// A role by its name, or one of the team's own by its id.
pub async fn find(tx: &mut TeamTx, wanted: &str) -> Result<Option<AnyRole>, sqlx::Error> {
    if let Ok(built_in) = wanted.parse() {
        return Ok(Some(AnyRole::BuiltIn(built_in)));
    }
    let team = tx.team();
    let id: Option<RoleId> = wanted.parse().ok();
    let row: Option<RoleRow> = sql!(
        &mut **tx,
        fetch_optional,
        query_as(
            "SELECT r.id, r.name, r.description, r.created_at, r.updated_at,
                    (SELECT string_agg(g.permission, ' ') FROM role_permissions g
                     WHERE g.team_id = r.team_id AND g.role_id = r.id) AS granted
             FROM roles r WHERE r.team_id = $1 AND (r.name = $2 OR r.id = $3)"
        )
        .bind(team)
        .bind(wanted)
        .bind(id)
    )?;
    Ok(row.map(|row| AnyRole::Own(row.into())))
}

/// The team's own roles, the oldest first.
pub async fn list_custom(tx: &mut TeamTx) -> Result<Vec<CustomRole>, sqlx::Error> {
    let team = tx.team();
    let rows: Vec<RoleRow> = sql!(
        &mut **tx,
        fetch_all,
        query_as(
            "SELECT r.id, r.name, r.description, r.created_at, r.updated_at,
                    (SELECT string_agg(g.permission, ' ') FROM role_permissions g
                     WHERE g.team_id = r.team_id AND g.role_id = r.id) AS granted
             FROM roles r WHERE r.team_id = $1 ORDER BY r.id"
        )
        .bind(team)
    )?;
    Ok(rows.into_iter().map(CustomRole::from).collect())
}

/// How many roles of its own the team has.
pub async fn count(tx: &mut TeamTx) -> Result<i64, sqlx::Error> {
    let team = tx.team();
    sql!(&mut **tx, fetch_one, query_scalar("SELECT count(*) FROM roles WHERE team_id = $1").bind(team))
}

/// Makes a role; a unique violation when the name is taken.
pub async fn insert(tx: &mut TeamTx, role: &CustomRole) -> Result<(), sqlx::Error> {
    let team = tx.team();
    sql!(
        &mut **tx,
        execute,
        query(
            "INSERT INTO roles (id, team_id, name, description, created_at, updated_at)
             VALUES ($1, $2, $3, $4, $5, $6)"
        )
        .bind(role.id)
        .bind(team)
        .bind(&role.name)
        .bind(&role.description)
        .bind(role.created_at)
        .bind(role.updated_at)
    )?;
    grant(tx, role).await
}

/// Writes a role as it is from now on; a unique violation when the name is taken.
pub async fn update(tx: &mut TeamTx, role: &CustomRole) -> Result<(), sqlx::Error> {
    let team = tx.team();
    sql!(
        &mut **tx,
        execute,
        query("UPDATE roles SET name = $3, description = $4, updated_at = $5 WHERE team_id = $1 AND id = $2")
            .bind(team)
            .bind(role.id)
            .bind(&role.name)
            .bind(&role.description)
            .bind(role.updated_at)
    )?;
    sql!(
        &mut **tx,
        execute,
        query("DELETE FROM role_permissions WHERE team_id = $1 AND role_id = $2").bind(team).bind(role.id)
    )?;
    grant(tx, role).await
}

async fn grant(tx: &mut TeamTx, role: &CustomRole) -> Result<(), sqlx::Error> {
    let team = tx.team();
    for permission in role.permissions.iter() {
        sql!(
            &mut **tx,
            execute,
            query("INSERT INTO role_permissions (team_id, role_id, permission) VALUES ($1, $2, $3)")
                .bind(team)
                .bind(role.id)
                .bind(permission.as_str())
        )?;
    }
    Ok(())
}

/// Who has a role.
#[derive(Debug, Clone, Copy, sqlx::FromRow)]
pub struct RoleHolders {
    /// Members who have it in the team.
    pub members: i64,
    /// Members who have it on a board, counted once per board.
    pub on_boards: i64,
    /// Invitations that are not settled.
    pub invitations: i64,
}

/// Who has a role of the team's own.
pub async fn holders(tx: &mut TeamTx, id: RoleId, now: Timestamp) -> Result<RoleHolders, sqlx::Error> {
    let team = tx.team();
    sql!(
        &mut **tx,
        fetch_one,
        query_as(
            "SELECT (SELECT count(*) FROM memberships WHERE team_id = $1 AND role_id = $2) AS members,
                    (SELECT count(*) FROM board_members WHERE team_id = $1 AND role_id = $2) AS on_boards,
                    (SELECT count(*) FROM invitations WHERE team_id = $1 AND role_id = $2
                         AND state = 'pending' AND expires_at > $3) AS invitations"
        )
        .bind(team)
        .bind(id)
        .bind(now)
    )
}

/// Deletes a role that nobody has. Settled invitations that came with it stay, with its name: they are counted.
/// What still waits among them, being late, is settled: a new role of that name is not what was meant.
pub async fn delete(tx: &mut TeamTx, role: &CustomRole) -> Result<(), sqlx::Error> {
    let team = tx.team();
    sql!(
        &mut **tx,
        execute,
        query(
            "UPDATE invitations SET role = $3, role_id = NULL,
                 settled_at = CASE state WHEN 'pending' THEN expires_at ELSE settled_at END,
                 state = CASE state WHEN 'pending' THEN 'expired' ELSE state END
             WHERE team_id = $1 AND role_id = $2"
        )
        .bind(team)
        .bind(role.id)
        .bind(&role.name)
    )?;
    sql!(&mut **tx, execute, query("DELETE FROM roles WHERE team_id = $1 AND id = $2").bind(team).bind(role.id))?;
    Ok(())
}
