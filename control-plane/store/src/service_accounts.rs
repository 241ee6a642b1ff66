//! Service accounts: members of one team without a person. Transactions here see accounts.

use restroy_sdk::{api::token::ServiceAccount, ids::UserId, time::Timestamp};
use sqlx::{query, query_as, query_scalar};

use super::{
    TeamTx, members,
    roles::AnyRole,
    sort::{ListSelection, by_order},
    users::{self, SERVICE, User},
};
use crate::sql;

/// The domain of their addresses: no mail ever goes there (RFC 2606).
const DOMAIN: &str = "service.invalid";

#[derive(sqlx::FromRow)]
struct ServiceAccountRow {
    id: UserId,
    name: String,
    role: String,
    created_at: Timestamp,
    created_by: Option<UserId>,
}

impl From<ServiceAccountRow> for ServiceAccount {
    fn from(row: ServiceAccountRow) -> Self {
        Self { id: row.id, name: row.name, role: row.role, created_at: row.created_at, created_by: row.created_by }
    }
}

/// How many the team has.
pub async fn count(tx: &mut TeamTx) -> Result<i64, sqlx::Error> {
    let team = tx.team();
    sql!(
        &mut **tx,
        fetch_one,
        query_scalar(
            "SELECT count(*) FROM memberships m
             JOIN users u ON u.id = m.user_id AND u.kind = 'service' AND u.deleted_at IS NULL
             WHERE m.team_id = $1"
        )
        .bind(team)
    )
}

/// Whether the team has one of that name.
pub async fn has_name(tx: &mut TeamTx, name: &str) -> Result<bool, sqlx::Error> {
    let team = tx.team();
    let found: Option<i64> = sql!(
        &mut **tx,
        fetch_optional,
        query_scalar(
            "SELECT CAST(1 AS BIGINT) FROM memberships m
             JOIN users u ON u.id = m.user_id AND u.kind = 'service' AND u.deleted_at IS NULL
             WHERE m.team_id = $1 AND u.name = $2"
        )
        .bind(team)
        .bind(name)
    )?;
    Ok(found.is_some())
}

/// Makes one; `maker` does.
pub async fn insert(
    tx: &mut TeamTx,
    id: UserId,
    maker: UserId,
    name: &str,
    role: &AnyRole,
    now: Timestamp,
) -> Result<(), sqlx::Error> {
    let user = User {
        kind: SERVICE.into(),
        // It is known to be whose it is: it is not among those that wait to be verified.
        email_verified_at: Some(now),
        ..User::new_person(id, &format!("{id}@{DOMAIN}"), name, String::new(), now)
    };
    users::insert(tx, &user).await?;
    sql!(&mut **tx, execute, query("UPDATE users SET created_by = $2 WHERE id = $1").bind(id).bind(maker))?;
    members::add(tx, id, role, now).await?;
    Ok(())
}

/// The team's, by id, after `after`.
pub async fn list(tx: &mut TeamTx, selection: &ListSelection) -> Result<Vec<ServiceAccount>, sqlx::Error> {
    let team = tx.team();
    let statement = by_order!(selection.order, id: "u.id", name: "u.name",
        "SELECT u.id, u.name, coalesce(m.role, r.name) AS role, m.created_at, u.created_by FROM memberships m
         JOIN users u ON u.id = m.user_id AND u.kind = 'service' AND u.deleted_at IS NULL
         LEFT JOIN roles r ON r.team_id = m.team_id AND r.id = m.role_id
         WHERE m.team_id = $1");
    let rows: Vec<ServiceAccountRow> = sql!(
        &mut **tx,
        fetch_all,
        query_as(statement)
            .bind(team)
            .bind(selection.id())
            .bind(selection.place_name())
            .bind(&selection.name)
            .bind(selection.rows)
    )?;
    Ok(rows.into_iter().map(ServiceAccount::from).collect())
}

/// One of the team's.
pub async fn get(tx: &mut TeamTx, id: UserId) -> Result<Option<ServiceAccount>, sqlx::Error> {
    let team = tx.team();
    let row: Option<ServiceAccountRow> = sql!(
        &mut **tx,
        fetch_optional,
        query_as(
            "SELECT u.id, u.name, coalesce(m.role, r.name) AS role, m.created_at, u.created_by FROM memberships m
             JOIN users u ON u.id = m.user_id AND u.kind = 'service' AND u.deleted_at IS NULL
             LEFT JOIN roles r ON r.team_id = m.team_id AND r.id = m.role_id
             WHERE m.team_id = $1 AND u.id = $2"
        )
        .bind(team)
        .bind(id)
    )?;
    Ok(row.map(ServiceAccount::from))
}
