//! What members are in a team: one by one. The list is in [`super::teams`].

use restroy_sdk::{
    api::team::Member,
    ids::{RoleId, UserId},
    permission::{Permissions, Role},
    time::Timestamp,
};
use sqlx::{query, query_as, query_scalar};

use super::{TeamTx, roles::AnyRole, users};
use crate::sql;

/// A member of the team.
#[derive(Debug, Clone)]
pub struct Membership {
    /// As the API shows it.
    pub member: Member,
    /// What the member may do in the team.
    pub permissions: Permissions,
    /// Whether it is a service account: those own nothing.
    pub service: bool,
}

impl Membership {
    /// Whether the member owns the team.
    pub fn is_owner(&self) -> bool {
        self.member.role_id.is_none() && self.member.role == Role::Owner.as_str()
    }
}

#[derive(sqlx::FromRow)]
struct MembershipRow {
    name: String,
    email: String,
    kind: String,
    role: Option<String>,
    role_id: Option<RoleId>,
    own_role: Option<String>,
    granted: Option<String>,
    joined_at: Timestamp,
}

/// A member of the team. One whose role cannot be read is an error: nobody acts on them.
pub async fn get(tx: &mut TeamTx, user: UserId) -> Result<Option<Membership>, sqlx::Error> {
    let team = tx.team();
    let row: Option<MembershipRow> = sql!(
        &mut **tx,
        fetch_optional,
        query_as(
            "SELECT u.name, u.email, u.kind, m.role, m.role_id, r.name AS own_role, m.created_at AS joined_at,
                    (SELECT string_agg(g.permission, ' ') FROM role_permissions g
                     WHERE g.team_id = m.team_id AND g.role_id = m.role_id) AS granted
             FROM memberships m
             JOIN users u ON u.id = m.user_id AND u.deleted_at IS NULL
             LEFT JOIN roles r ON r.team_id = m.team_id AND r.id = m.role_id
             WHERE m.team_id = $1 AND m.user_id = $2"
        )
        .bind(team)
        .bind(user)
    )?;
    let Some(row) = row else { return Ok(None) };
    let permissions = Permissions::from_role(row.role.as_deref(), row.granted.as_deref())
        .map_err(|error| sqlx::Error::Decode(error.into()))?;
    let member = Member {
        user_id: user,
        name: row.name,
        email: row.email,
        role: row.role.or(row.own_role).unwrap_or_default(),
        role_id: row.role_id,
        joined_at: row.joined_at,
    };
    Ok(Some(Membership { member, permissions, service: row.kind == users::SERVICE }))
}

/// Whether the address is that of a member.
pub async fn has_address(tx: &mut TeamTx, email_folded: &str) -> Result<bool, sqlx::Error> {
    let team = tx.team();
    sql!(
        &mut **tx,
        fetch_one,
        query_scalar(
            "SELECT EXISTS (SELECT 1 FROM memberships m JOIN users u ON u.id = m.user_id AND u.deleted_at IS NULL
                            WHERE m.team_id = $1 AND u.email_folded = $2)"
        )
        .bind(team)
        .bind(email_folded)
    )
}

/// How many members the team has, service accounts among them.
pub async fn count(tx: &mut TeamTx) -> Result<i64, sqlx::Error> {
    let team = tx.team();
    sql!(&mut **tx, fetch_one, query_scalar("SELECT count(*) FROM memberships WHERE team_id = $1").bind(team))
}

/// How many people own the team.
pub async fn count_owners(tx: &mut TeamTx) -> Result<i64, sqlx::Error> {
    let team = tx.team();
    sql!(
        &mut **tx,
        fetch_one,
        query_scalar(
            "SELECT count(*) FROM memberships m JOIN users u ON u.id = m.user_id AND u.deleted_at IS NULL
             WHERE m.team_id = $1 AND m.role = 'owner' AND u.kind = 'person'"
        )
        .bind(team)
    )
}

/// Takes a person into the team; nothing changes when they are in it already. Whether they joined now.
pub async fn add(tx: &mut TeamTx, user: UserId, role: &AnyRole, now: Timestamp) -> Result<bool, sqlx::Error> {
    let team = tx.team();
    let done = sql!(
        &mut **tx,
        execute,
        query(
            "INSERT INTO memberships (team_id, user_id, role, role_id, created_at) VALUES ($1, $2, $3, $4, $5)
             ON CONFLICT (team_id, user_id) DO NOTHING"
        )
        .bind(team)
        .bind(user)
        .bind(role.built_in())
        .bind(role.id())
        .bind(now)
    )?;
    Ok(done.rows_affected() == 1)
}

/// Gives a member another role.
pub async fn set_role(tx: &mut TeamTx, user: UserId, role: &AnyRole) -> Result<(), sqlx::Error> {
    let team = tx.team();
    sql!(
        &mut **tx,
        execute,
        query("UPDATE memberships SET role = $3, role_id = $4 WHERE team_id = $1 AND user_id = $2")
            .bind(team)
            .bind(user)
            .bind(role.built_in())
            .bind(role.id())
    )?;
    Ok(())
}

/// Removes a member, from the team's boards too.
pub async fn remove(tx: &mut TeamTx, user: UserId) -> Result<(), sqlx::Error> {
    let team = tx.team();
    sql!(
        &mut **tx,
        execute,
        query("DELETE FROM memberships WHERE team_id = $1 AND user_id = $2").bind(team).bind(user)
    )?;
    Ok(())
}
