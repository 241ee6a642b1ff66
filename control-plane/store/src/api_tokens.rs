//! API tokens, kept as hashes, and the teams that bar them.

use restroy_sdk::{
    api::token::ApiToken,
    ids::{ApiTokenId, TeamId, UserId},
    time::Timestamp,
};
use sqlx::{query, query_as, query_scalar};

use super::{
    StoreError, TeamTx, Tx,
    sort::{ListSelection, by_order},
};
use crate::sql;

/// A token that was shown.
#[derive(Debug, Clone, sqlx::FromRow)]
pub struct PresentedToken {
    /// The api token's id.
    pub id: ApiTokenId,
    /// The account that it belongs to.
    pub user_id: UserId,
    /// The only team that it reaches.
    pub only_team: Option<TeamId>,
    /// A JSON array of names of permissions.
    pub permissions: Option<String>,
    /// When it was used last, as far as that was noted.
    pub last_used_at: Option<Timestamp>,
    /// Who made it; nobody knows of the oldest.
    pub created_by: Option<UserId>,
    /// Whether its account is a service account.
    pub of_service_account: bool,
}

/// The token of a hash, if it is good now and its holder's account too.
pub async fn find_presented(tx: &mut Tx, hash: &[u8], now: Timestamp) -> Result<Option<PresentedToken>, sqlx::Error> {
    sql!(
        tx,
        fetch_optional,
        query_as(
            "SELECT t.id, t.user_id, t.only_team, t.permissions, t.last_used_at, t.created_by,
                    u.kind = 'service' AS of_service_account
             FROM api_tokens t JOIN users u ON u.id = t.user_id AND u.deleted_at IS NULL
             WHERE t.hash = $1 AND t.revoked_at IS NULL AND (t.expires_at IS NULL OR t.expires_at > $2)"
        )
        .bind(hash)
        .bind(now)
    )
}

/// Whether a token is good now and its holder's account too.
pub async fn is_valid(tx: &mut Tx, id: ApiTokenId, now: Timestamp) -> Result<bool, sqlx::Error> {
    let found: Option<i64> = sql!(
        tx,
        fetch_optional,
        query_scalar(
            "SELECT CAST(1 AS BIGINT) FROM api_tokens t JOIN users u ON u.id = t.user_id AND u.deleted_at IS NULL
             WHERE t.id = $1 AND t.revoked_at IS NULL AND (t.expires_at IS NULL OR t.expires_at > $2)"
        )
        .bind(id)
        .bind(now)
    )?;
    Ok(found.is_some())
}

/// Notes that a token is used, unless that was noted after `unless_since`.
pub async fn record_use(
    tx: &mut Tx,
    id: ApiTokenId,
    now: Timestamp,
    unless_since: Timestamp,
) -> Result<(), sqlx::Error> {
    sql!(
        tx,
        execute,
        query("UPDATE api_tokens SET last_used_at = $2 WHERE id = $1 AND (last_used_at IS NULL OR last_used_at < $3)")
            .bind(id)
            .bind(now)
            .bind(unless_since)
    )?;
    Ok(())
}

/// Whether a team bars a token.
pub async fn is_revoked_in_team(tx: &mut Tx, team: TeamId, id: ApiTokenId) -> Result<bool, sqlx::Error> {
    let found: Option<i64> = sql!(
        tx,
        fetch_optional,
        query_scalar("SELECT CAST(1 AS BIGINT) FROM api_token_bars WHERE team_id = $1 AND token_id = $2")
            .bind(team)
            .bind(id)
    )?;
    Ok(found.is_some())
}

/// A new token.
#[derive(Debug)]
pub struct NewToken<'a> {
    /// The api token's id.
    pub id: ApiTokenId,
    /// The account that it belongs to.
    pub user: UserId,
    /// What it is for.
    pub name: &'a str,
    /// SHA-256 of its text.
    pub hash: Vec<u8>,
    /// The only team that it reaches.
    pub only_team: Option<TeamId>,
    /// The permissions that it carries.
    pub permissions: Option<&'a [String]>,
    /// When it ends.
    pub expires_at: Option<Timestamp>,
    /// Who makes it.
    pub created_by: UserId,
}

/// How many tokens of an account are good now.
pub async fn count(tx: &mut Tx, user: UserId, now: Timestamp) -> Result<i64, sqlx::Error> {
    sql!(
        tx,
        fetch_one,
        query_scalar(
            "SELECT count(*) FROM api_tokens
             WHERE user_id = $1 AND revoked_at IS NULL AND (expires_at IS NULL OR expires_at > $2)"
        )
        .bind(user)
        .bind(now)
    )
}

/// Makes a token.
pub async fn insert(tx: &mut Tx, new: &NewToken<'_>, now: Timestamp) -> Result<(), StoreError> {
    let permissions = new.permissions.map(serde_json::to_string).transpose()?;
    sql!(
        tx,
        execute,
        query(
            "INSERT INTO api_tokens (id, user_id, only_team, name, hash, permissions, created_at, expires_at, created_by)
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)"
        )
        .bind(new.id)
        .bind(new.user)
        .bind(new.only_team)
        .bind(new.name)
        .bind(&new.hash)
        .bind(permissions)
        .bind(now)
        .bind(new.expires_at)
        .bind(new.created_by)
    )?;
    Ok(())
}

#[derive(sqlx::FromRow)]
struct TokenRow {
    id: ApiTokenId,
    name: String,
    user_id: UserId,
    holder: String,
    only_team: Option<TeamId>,
    permissions: Option<String>,
    created_at: Timestamp,
    created_by: Option<UserId>,
    expires_at: Option<Timestamp>,
    last_used_at: Option<Timestamp>,
}

impl TokenRow {
    fn token(self) -> Result<ApiToken, StoreError> {
        Ok(ApiToken {
            id: self.id,
            name: self.name,
            user_id: self.user_id,
            holder: self.holder,
            team_id: self.only_team,
            permissions: self.permissions.as_deref().map(serde_json::from_str).transpose()?,
            created_at: self.created_at,
            created_by: self.created_by,
            expires_at: self.expires_at,
            last_used_at: self.last_used_at,
        })
    }
}

/// The columns of a [`TokenRow`], from `api_tokens t` and `users u`.
macro_rules! columns {
    () => {
        "t.id, t.name, t.user_id, u.name AS holder, t.only_team, t.permissions, t.created_at, t.created_by, \
         t.expires_at, t.last_used_at"
    };
}

/// A token of an account that is good now.
pub async fn get(tx: &mut Tx, user: UserId, id: ApiTokenId, now: Timestamp) -> Result<Option<ApiToken>, StoreError> {
    let row: Option<TokenRow> = sql!(
        tx,
        fetch_optional,
        query_as(concat!(
            "SELECT ",
            columns!(),
            " FROM api_tokens t JOIN users u ON u.id = t.user_id
             WHERE t.user_id = $1 AND t.id = $2 AND t.revoked_at IS NULL
               AND (t.expires_at IS NULL OR t.expires_at > $3)"
        ))
        .bind(user)
        .bind(id)
        .bind(now)
    )?;
    row.map(TokenRow::token).transpose()
}

/// The tokens of an account that are good now, the oldest first, after `after`.
pub async fn list_for_user(
    tx: &mut Tx,
    user: UserId,
    selection: &ListSelection,
    now: Timestamp,
) -> Result<Vec<ApiToken>, StoreError> {
    let statement = by_order!(selection.order, id: "t.id", name: "t.name",
    concat!(
        "SELECT ",
        columns!(),
        " FROM api_tokens t JOIN users u ON u.id = t.user_id
         WHERE t.user_id = $1 AND t.revoked_at IS NULL AND (t.expires_at IS NULL OR t.expires_at > $6)"
    ));
    let rows: Vec<TokenRow> = sql!(
        tx,
        fetch_all,
        query_as(statement)
            .bind(user)
            .bind(selection.id())
            .bind(selection.place_name())
            .bind(&selection.name)
            .bind(selection.rows)
            .bind(now)
    )?;
    rows.into_iter().map(TokenRow::token).collect()
}

/// Ends a token of an account; whether it had that one, and it was not revoked.
pub async fn revoke(tx: &mut Tx, user: UserId, id: ApiTokenId, now: Timestamp) -> Result<bool, sqlx::Error> {
    let done = sql!(
        tx,
        execute,
        query("UPDATE api_tokens SET revoked_at = $3 WHERE user_id = $1 AND id = $2 AND revoked_at IS NULL")
            .bind(user)
            .bind(id)
            .bind(now)
    )?;
    Ok(done.rows_affected() == 1)
}

/// Ends every token of an account.
pub async fn revoke_all(tx: &mut Tx, user: UserId, now: Timestamp) -> Result<(), sqlx::Error> {
    let statement = "UPDATE api_tokens SET revoked_at = $2 WHERE user_id = $1 AND revoked_at IS NULL";
    sql!(tx, execute, query(statement).bind(user).bind(now))?;
    Ok(())
}

/// The tokens that reach the team now: of its members, not bound to another team, not barred. The oldest
/// first, after `after`. For a transaction that sees accounts.
pub async fn list_for_team(
    tx: &mut TeamTx,
    selection: &ListSelection,
    now: Timestamp,
) -> Result<Vec<ApiToken>, StoreError> {
    let team = tx.team();
    let statement = by_order!(selection.order, id: "t.id", name: "t.name",
    concat!(
        "SELECT ",
        columns!(),
        " FROM memberships m
         JOIN users u ON u.id = m.user_id AND u.deleted_at IS NULL
         JOIN api_tokens t ON t.user_id = u.id
         WHERE m.team_id = $1 AND (t.only_team IS NULL OR t.only_team = $1)
           AND t.revoked_at IS NULL AND (t.expires_at IS NULL OR t.expires_at > $6)
           AND NOT EXISTS (SELECT 1 FROM api_token_bars b WHERE b.team_id = $1 AND b.token_id = t.id)"
    ));
    let rows: Vec<TokenRow> = sql!(
        &mut **tx,
        fetch_all,
        query_as(statement)
            .bind(team)
            .bind(selection.id())
            .bind(selection.place_name())
            .bind(&selection.name)
            .bind(selection.rows)
            .bind(now)
    )?;
    rows.into_iter().map(TokenRow::token).collect()
}

/// A token that reaches the team: whose, their role, and whether it reaches this team only.
#[derive(Debug, Clone, sqlx::FromRow)]
pub struct TeamToken {
    /// The account that it belongs to.
    pub user_id: UserId,
    /// What it is for.
    pub name: String,
    /// The holder's built-in role in the team.
    pub role: Option<String>,
    /// Or what their own role allows, with spaces between.
    pub granted: Option<String>,
    /// Whether it reaches no other team.
    pub bound: bool,
}

/// A token that reaches the team now.
pub async fn find_for_team(tx: &mut TeamTx, id: ApiTokenId, now: Timestamp) -> Result<Option<TeamToken>, sqlx::Error> {
    let team = tx.team();
    sql!(
        &mut **tx,
        fetch_optional,
        query_as(
            "SELECT t.user_id, t.name, m.role,
                    (SELECT string_agg(g.permission, ' ') FROM role_permissions g
                     WHERE g.team_id = m.team_id AND g.role_id = m.role_id) AS granted,
                    (t.only_team IS NOT NULL OR u.kind = 'service') AS bound
             FROM memberships m
             JOIN users u ON u.id = m.user_id AND u.deleted_at IS NULL
             JOIN api_tokens t ON t.user_id = u.id
             WHERE m.team_id = $1 AND t.id = $2 AND (t.only_team IS NULL OR t.only_team = $1)
               AND t.revoked_at IS NULL AND (t.expires_at IS NULL OR t.expires_at > $3)
               AND NOT EXISTS (SELECT 1 FROM api_token_bars b WHERE b.team_id = $1 AND b.token_id = t.id)"
        )
        .bind(team)
        .bind(id)
        .bind(now)
    )
}

/// Keeps a token out of the team; it continues elsewhere.
pub async fn revoke_in_team(tx: &mut TeamTx, id: ApiTokenId, now: Timestamp) -> Result<(), sqlx::Error> {
    let team = tx.team();
    sql!(
        &mut **tx,
        execute,
        query("INSERT INTO api_token_bars (team_id, token_id, created_at) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING")
            .bind(team)
            .bind(id)
            .bind(now)
    )?;
    Ok(())
}
