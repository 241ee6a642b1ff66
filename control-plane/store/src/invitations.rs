//! Invitations into teams.
//!
//! An invitation is for an address. Whoever has an account with that address, verified, finds it
//! there, whether the account was made before or after.

use std::time::Duration;

use restroy_sdk::{
    api::invitation::{Invitation, MyInvitation},
    ids::{Id as _, InvitationId, RoleId, TeamId, UserId},
    time::Timestamp,
};
use sha2::{Digest as _, Sha256};
use sqlx::{query, query_as, query_scalar};

use super::{
    TeamTx, Tx,
    roles::AnyRole,
    sort::{AgeOrder, by_age},
};
use crate::sql;

/// How long an invitation can be accepted.
pub const LIFETIME: Duration = Duration::from_hours(7 * 24);

/// How an invitation that waits was settled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum InvitationOutcome {
    /// The person joined.
    Accepted,
    /// The person said no.
    Declined,
    /// The team took it back.
    Revoked,
    /// Nobody answered in time.
    Expired,
}

impl InvitationOutcome {
    /// The state that it leaves the invitation in.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Accepted => "accepted",
            Self::Declined => "declined",
            Self::Revoked => "revoked",
            Self::Expired => "expired",
        }
    }
}

/// A new invitation.
#[derive(Debug)]
pub struct NewInvitation<'a> {
    /// The invitation's id.
    pub id: InvitationId,
    /// The address, as typed.
    pub email: &'a str,
    /// The same without case.
    pub email_folded: &'a str,
    /// What the person is to be.
    pub role: &'a AnyRole,
    /// SHA-256 of the token in the e-mail.
    pub token_hash: Vec<u8>,
    /// Whether an e-mail goes out.
    pub mailed: bool,
    /// Who invites.
    pub invited_by: UserId,
    /// The person who answers for it.
    pub accountable: UserId,
}

/// Makes an invitation. No other may wait for the same address in the team.
pub async fn insert(tx: &mut TeamTx, new: &NewInvitation<'_>, now: Timestamp) -> Result<(), sqlx::Error> {
    let team = tx.team();
    sql!(
        &mut **tx,
        execute,
        query(
            "INSERT INTO invitations (id, team_id, email, email_folded, role, role_id, token_hash, state, mailed,
                                      invited_by, created_at, expires_at, accountable_id)
             VALUES ($1, $2, $3, $4, $5, $6, $7, 'pending', $8, $9, $10, $11, $12)"
        )
        .bind(new.id)
        .bind(team)
        .bind(new.email)
        .bind(new.email_folded)
        .bind(new.role.built_in())
        .bind(new.role.id())
        .bind(&new.token_hash)
        .bind(new.mailed)
        .bind(new.invited_by)
        .bind(now)
        .bind(now.after(LIFETIME))
        .bind(new.accountable)
    )?;
    Ok(())
}

#[derive(sqlx::FromRow)]
struct InvitationRow {
    id: InvitationId,
    email: String,
    role: String,
    role_id: Option<RoleId>,
    state: String,
    invited_by: Option<UserId>,
    created_at: Timestamp,
    expires_at: Timestamp,
}

impl InvitationRow {
    fn into_api(self, now: Timestamp) -> Invitation {
        let late = self.state == "pending" && self.expires_at <= now;
        Invitation {
            id: self.id,
            email: self.email,
            role: self.role,
            role_id: self.role_id,
            state: if late { InvitationOutcome::Expired.as_str().into() } else { self.state },
            invited_by: self.invited_by,
            created_at: self.created_at,
            expires_at: self.expires_at,
        }
    }
}

/// The team's invitations, after `after`; only those in a state, if one is given.
pub async fn list(
    tx: &mut TeamTx,
    state: Option<&str>,
    age: AgeOrder,
    after: Option<InvitationId>,
    rows: i64,
    now: Timestamp,
) -> Result<Vec<Invitation>, sqlx::Error> {
    let team = tx.team();
    let rows: Vec<InvitationRow> = sql!(
        &mut **tx,
        fetch_all,
        query_as(by_age!(
            age,
            "i.id",
            "SELECT i.id, i.email, coalesce(i.role, r.name) AS role, i.role_id, i.state, i.invited_by,
                    i.created_at, i.expires_at
             FROM invitations i LEFT JOIN roles r ON r.team_id = i.team_id AND r.id = i.role_id
             WHERE i.team_id = $1 AND ($5 IS NULL OR $5 = CASE
                   WHEN i.state = 'pending' AND i.expires_at <= $4 THEN 'expired' ELSE i.state END)"
        ))
        .bind(team)
        .bind(after)
        .bind(rows)
        .bind(now)
        .bind(state)
    )?;
    Ok(rows.into_iter().map(|row| row.into_api(now)).collect())
}

/// An invitation of the team.
pub async fn get(tx: &mut TeamTx, id: InvitationId, now: Timestamp) -> Result<Option<Invitation>, sqlx::Error> {
    let team = tx.team();
    let row: Option<InvitationRow> = sql!(
        &mut **tx,
        fetch_optional,
        query_as(
            "SELECT i.id, i.email, coalesce(i.role, r.name) AS role, i.role_id, i.state, i.invited_by,
                    i.created_at, i.expires_at
             FROM invitations i LEFT JOIN roles r ON r.team_id = i.team_id AND r.id = i.role_id
             WHERE i.team_id = $1 AND i.id = $2"
        )
        .bind(team)
        .bind(id)
    )?;
    Ok(row.map(|row| row.into_api(now)))
}

/// How many invitations of the team wait.
pub async fn count_pending(tx: &mut TeamTx, now: Timestamp) -> Result<i64, sqlx::Error> {
    let team = tx.team();
    sql!(
        &mut **tx,
        fetch_one,
        query_scalar("SELECT count(*) FROM invitations WHERE team_id = $1 AND state = 'pending' AND expires_at > $2")
            .bind(team)
            .bind(now)
    )
}

/// How many invitations the team sent since a moment, whatever became of them.
pub async fn count_created_since(tx: &mut TeamTx, since: Timestamp) -> Result<i64, sqlx::Error> {
    let team = tx.team();
    sql!(
        &mut **tx,
        fetch_one,
        query_scalar("SELECT count(*) FROM invitations WHERE team_id = $1 AND created_at > $2").bind(team).bind(since)
    )
}

/// Whether an invitation of the team waits for an address.
pub async fn has_pending_for(tx: &mut TeamTx, email_folded: &str, now: Timestamp) -> Result<bool, sqlx::Error> {
    let team = tx.team();
    sql!(
        &mut **tx,
        fetch_one,
        query_scalar(
            "SELECT EXISTS (SELECT 1 FROM invitations WHERE team_id = $1 AND email_folded = $2
                            AND state = 'pending' AND expires_at > $3)"
        )
        .bind(team)
        .bind(email_folded)
        .bind(now)
    )
}

/// Whether an invitation of any team that is there waits for an address.
pub async fn any_team_has_pending_for(tx: &mut Tx, email_folded: &str, now: Timestamp) -> Result<bool, sqlx::Error> {
    sql!(
        tx,
        fetch_one,
        query_scalar(
            "SELECT EXISTS (SELECT 1 FROM invitations i JOIN teams t ON t.id = i.team_id AND t.deleted_at IS NULL
                            WHERE i.email_folded = $1 AND i.state = 'pending' AND i.expires_at > $2)"
        )
        .bind(email_folded)
        .bind(now)
    )
}

/// Notes of the team's invitation to an address that it was not answered in time, if it was not.
pub async fn expire(tx: &mut TeamTx, email_folded: &str, now: Timestamp) -> Result<(), sqlx::Error> {
    let team = tx.team();
    sql!(
        &mut **tx,
        execute,
        query(
            "UPDATE invitations SET state = $3, settled_at = $4
             WHERE team_id = $1 AND email_folded = $2 AND state = 'pending' AND expires_at <= $4"
        )
        .bind(team)
        .bind(email_folded)
        .bind(InvitationOutcome::Expired.as_str())
        .bind(now)
    )?;
    Ok(())
}

/// Settles an invitation; false when it does not wait any more.
pub async fn settle(
    tx: &mut TeamTx,
    id: InvitationId,
    settled: InvitationOutcome,
    now: Timestamp,
) -> Result<bool, sqlx::Error> {
    let team = tx.team();
    let done = sql!(
        &mut **tx,
        execute,
        query(
            "UPDATE invitations SET state = $3, settled_at = $4
             WHERE team_id = $1 AND id = $2 AND state = 'pending' AND expires_at > $4"
        )
        .bind(team)
        .bind(id)
        .bind(settled.as_str())
        .bind(now)
    )?;
    Ok(done.rows_affected() == 1)
}

/// How many e-mails with invitations an address got since a moment, from all teams. On Postgres
/// holds the address until the transaction ends, so that they are counted one after the other: the
/// last lock in the order of [`TeamTx::lock_run`].
pub async fn count_emails_since(tx: &mut Tx, email_folded: &str, since: Timestamp) -> Result<i64, sqlx::Error> {
    lock_key(tx, email_folded.as_bytes()).await?;
    sql!(
        tx,
        fetch_one,
        query_scalar("SELECT count(*) FROM invitations WHERE email_folded = $1 AND created_at > $2 AND mailed")
            .bind(email_folded)
            .bind(since)
    )
}

/// How many invitations a person answers for that were made since a moment, in all teams. On Postgres holds the
/// person, as [`count_emails_since`] does an address, and before that.
pub async fn count_by_inviter_since(tx: &mut Tx, person: UserId, since: Timestamp) -> Result<i64, sqlx::Error> {
    lock_key(tx, person.uuid().as_bytes()).await?;
    sql!(
        tx,
        fetch_one,
        query_scalar("SELECT count(*) FROM invitations WHERE accountable_id = $1 AND created_at > $2")
            .bind(person)
            .bind(since)
    )
}

/// Lets one transaction after the other count by a key. On SQLite there is one writer anyway.
async fn lock_key(tx: &mut Tx, key: &[u8]) -> Result<(), sqlx::Error> {
    if let Tx::Postgres(..) = tx {
        let mut first = [0; 8];
        first.copy_from_slice(&Sha256::digest(key)[..8]);
        sql!(&mut *tx, execute, query("SELECT pg_advisory_xact_lock($1)").bind(i64::from_be_bytes(first)))?;
    }
    Ok(())
}

/// Whether an invitation still waits, into a team that is there.
pub async fn is_pending(tx: &mut Tx, id: InvitationId, now: Timestamp) -> Result<bool, sqlx::Error> {
    sql!(
        tx,
        fetch_one,
        query_scalar(
            "SELECT EXISTS (SELECT 1 FROM invitations i JOIN teams t ON t.id = i.team_id AND t.deleted_at IS NULL
                            WHERE i.id = $1 AND i.state = 'pending' AND i.expires_at > $2)"
        )
        .bind(id)
        .bind(now)
    )
}

#[derive(sqlx::FromRow)]
struct ReceivedInvitationRow {
    id: InvitationId,
    team_id: TeamId,
    team_name: String,
    role: String,
    invited_by: Option<String>,
    created_at: Timestamp,
    expires_at: Timestamp,
}

/// The pending invitations for a person, after `after`.
pub async fn list_for_user(
    tx: &mut Tx,
    user: UserId,
    now: Timestamp,
    age: AgeOrder,
    after: Option<InvitationId>,
    rows: i64,
) -> Result<Vec<MyInvitation>, sqlx::Error> {
    let rows: Vec<ReceivedInvitationRow> = sql!(
        tx,
        fetch_all,
        query_as(by_age!(
            age,
            "i.id",
            "SELECT i.id, i.team_id, t.name AS team_name, coalesce(i.role, r.name) AS role, o.name AS invited_by,
                    i.created_at, i.expires_at
             FROM users u
             JOIN invitations i ON i.email_folded = u.email_folded AND i.state = 'pending' AND i.expires_at > $4
             JOIN teams t ON t.id = i.team_id AND t.deleted_at IS NULL
             LEFT JOIN roles r ON r.team_id = i.team_id AND r.id = i.role_id
             LEFT JOIN users o ON o.id = i.invited_by AND o.deleted_at IS NULL
             WHERE u.id = $1 AND u.deleted_at IS NULL AND u.email_verified_at IS NOT NULL"
        ))
        .bind(user)
        .bind(after)
        .bind(rows)
        .bind(now)
    )?;
    Ok(rows
        .into_iter()
        .map(|row| MyInvitation {
            id: row.id,
            team_id: row.team_id,
            team_name: row.team_name,
            role: row.role,
            invited_by: row.invited_by,
            created_at: row.created_at,
            expires_at: row.expires_at,
        })
        .collect())
}

/// An invitation that waits for the person who asks.
#[derive(Debug, Clone, sqlx::FromRow)]
pub struct PendingInvitation {
    /// The invitation's id.
    pub id: InvitationId,
    /// The team it is into.
    pub team_id: TeamId,
    /// The role that comes with it: its name, or its id when it is one of the team's own.
    pub role: Option<String>,
    /// The id of the team's own role.
    pub role_id: Option<RoleId>,
    /// Who sent it.
    pub invited_by: Option<UserId>,
    /// The person who answers for it, where that was noted.
    pub accountable_id: Option<UserId>,
}

/// An invitation that waits for a person, by its id or by the token from its e-mail. One that is
/// settled, too old, into a deleted team or for another address is not found.
pub async fn find_pending(
    tx: &mut Tx,
    user: UserId,
    id: Option<InvitationId>,
    token_hash: Option<&[u8]>,
    now: Timestamp,
) -> Result<Option<PendingInvitation>, sqlx::Error> {
    sql!(
        tx,
        fetch_optional,
        query_as(
            "SELECT i.id, i.team_id, i.role, i.role_id, i.invited_by, i.accountable_id
             FROM users u
             JOIN invitations i ON i.email_folded = u.email_folded AND i.state = 'pending' AND i.expires_at > $2
             JOIN teams t ON t.id = i.team_id AND t.deleted_at IS NULL
             WHERE u.id = $1 AND u.deleted_at IS NULL AND u.email_verified_at IS NOT NULL
               AND (i.id = $3 OR i.token_hash = $4)"
        )
        .bind(user)
        .bind(now)
        .bind(id)
        .bind(token_hash)
    )
}
