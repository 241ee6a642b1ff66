//! E-mail on its way out.
//!
//! A row that is `queued` is due at `next_attempt_at`. Taking it counts an attempt and moves that
//! moment on, which is a lease: nobody else takes it before, and what its holder records later is
//! taken only if the count is still the same.

use restroy_sdk::{
    api::team::OutboxMessage,
    ids::{InvitationId, MessageId, RunId, TeamId},
    time::{Ambient, Timestamp},
};
use sqlx::{query, query_as, query_scalar};

use super::{
    StoreError, TeamTx, Tx,
    boards::{Viewer, seen},
    sort::AgeOrder,
};
use crate::sql;

/// Puts an e-mail of the installation itself into the outbox; its id.
pub async fn insert_own(
    tx: &mut Tx,
    ambient: &Ambient,
    status: &str,
    to: &str,
    subject: &str,
    text: &str,
) -> Result<MessageId, StoreError> {
    let id: MessageId = ambient.id();
    let recipients = serde_json::to_string(&[to])?;
    sql!(
        tx,
        execute,
        query(
            "INSERT INTO outbox (id, message_id, recipients, subject, body_text, status, created_at)
             VALUES ($1, $2, $3, $4, $5, $6, $7)"
        )
        .bind(id)
        .bind(format!("<{id}@restroy>"))
        .bind(recipients)
        .bind(subject)
        .bind(text)
        .bind(status)
        .bind(ambient.now())
    )?;
    Ok(id)
}

/// Notes the invitation that an e-mail is about.
pub async fn set_invitation(tx: &mut Tx, id: MessageId, invitation: InvitationId) -> Result<(), sqlx::Error> {
    sql!(tx, execute, query("UPDATE outbox SET invitation_id = $2 WHERE id = $1").bind(id).bind(invitation))?;
    Ok(())
}

#[derive(sqlx::FromRow)]
struct OutboxRow {
    id: MessageId,
    run_id: Option<RunId>,
    recipients: String,
    reply_to: Option<String>,
    subject: String,
    body_text: String,
    body_html: Option<String>,
    status: String,
    error: Option<String>,
    created_at: Timestamp,
}

/// The team's e-mails by age, after `after`; those of runs that the viewer sees, and of a status, if one is
/// given.
pub async fn list(
    tx: &mut TeamTx,
    viewer: Viewer,
    age: AgeOrder,
    after: Option<MessageId>,
    status: Option<&str>,
    rows: i64,
) -> Result<Vec<OutboxMessage>, StoreError> {
    macro_rules! select {
        ($end:literal) => {
            concat!(
                "SELECT id, run_id, recipients, reply_to, subject, body_text, body_html, status, error, created_at
                 FROM outbox WHERE team_id = $1 AND ($3 IS NULL OR status = $3)
                 AND (run_id IS NULL OR EXISTS (
                      SELECT 1 FROM runs n JOIN pipelines p ON p.team_id = $1 AND p.id = n.pipeline_id
                      JOIN boards b ON b.team_id = $1 AND b.id = p.board_id
                      WHERE n.team_id = $1 AND n.id = outbox.run_id AND ",
                seen!("run.read", "$5", "$6", "$7"),
                ")) AND ($2 IS NULL OR id ",
                $end,
                " LIMIT $4"
            )
        };
    }
    let team = tx.team();
    let statement = match age {
        AgeOrder::Oldest => select!("> $2) ORDER BY id"),
        AgeOrder::Newest => select!("< $2) ORDER BY id DESC"),
    };
    let rows: Vec<OutboxRow> = sql!(
        &mut **tx,
        fetch_all,
        query_as(statement)
            .bind(team)
            .bind(after)
            .bind(status)
            .bind(rows)
            .bind(viewer.in_team)
            .bind(viewer.administers)
            .bind(viewer.user)
    )?;
    rows.into_iter()
        .map(|row| {
            Ok(OutboxMessage {
                id: row.id,
                run_id: row.run_id,
                to: serde_json::from_str(&row.recipients)?,
                reply_to: row.reply_to,
                subject: row.subject,
                text: row.body_text,
                html: row.body_html,
                status: row.status,
                error: row.error,
                created_at: row.created_at,
            })
        })
        .collect()
}

/// An e-mail that was taken to be sent.
#[derive(Debug, Clone, sqlx::FromRow)]
pub struct DueEmail {
    /// The e-mail's id.
    pub id: MessageId,
    /// This attempt's number, from 1.
    pub attempts: i64,
    /// The header `Message-ID`, the same in every attempt.
    pub message_id: String,
    /// The addresses, a JSON array.
    pub recipients: String,
    /// The header `Reply-To`, if there is one.
    pub reply_to: Option<String>,
    /// The header `Subject`.
    pub subject: String,
    /// The body as plain text.
    pub body_text: String,
    /// The body as HTML, if there is one.
    pub body_html: Option<String>,
    /// When it was queued.
    pub created_at: Timestamp,
    /// What it is about, if it is an invitation.
    pub invitation_id: Option<InvitationId>,
    team_id: Option<TeamId>,
    team_name: Option<String>,
    pipeline_name: Option<String>,
}

/// Who of the installation's teams an e-mail is of.
#[derive(Debug, Clone)]
pub struct EmailOrigin {
    /// The team.
    pub team_id: TeamId,
    /// The team's name, as its people chose it.
    pub team: String,
    /// The name of the pipeline whose script sent it.
    pub pipeline: Option<String>,
}

impl DueEmail {
    /// Whose it is; none: the installation's own.
    pub fn origin(&self) -> Option<EmailOrigin> {
        Some(EmailOrigin {
            team_id: self.team_id?,
            team: self.team_name.clone().unwrap_or_default(),
            pipeline: self.pipeline_name.clone(),
        })
    }
}

/// What became of an attempt to send.
#[derive(Debug, Clone)]
pub enum SendOutcome {
    /// The mail server has it.
    Sent,
    /// It is tried again.
    Again {
        /// The earliest time of the next attempt.
        at: Timestamp,
        /// Why it was not sent.
        reason: String,
    },
    /// It is given up.
    Failed {
        /// What went wrong, for people.
        reason: String,
    },
    /// It was taken and not tried: anybody may, from now on.
    Back {
        /// The time of the attempt.
        at: Timestamp,
    },
}

/// Whether there is something to send.
pub async fn has_due(tx: &mut Tx, now: Timestamp) -> Result<bool, sqlx::Error> {
    let due: Option<i64> = sql!(
        tx,
        fetch_optional,
        query_scalar("SELECT CAST(1 AS BIGINT) FROM outbox WHERE status = 'queued' AND next_attempt_at <= $1 LIMIT 1")
            .bind(now)
    )?;
    Ok(due.is_some())
}

/// Takes what is due, the longest due first, and holds it until `until`. The condition stands twice:
/// who waited for another's row lock finds by the second that the row is taken.
pub async fn take_due(tx: &mut Tx, now: Timestamp, until: Timestamp, most: i64) -> Result<Vec<DueEmail>, sqlx::Error> {
    macro_rules! take {
        ($within:literal, $end:literal) => {
            concat!(
                "UPDATE outbox SET attempts = attempts + 1, next_attempt_at = $2
                 WHERE status = 'queued' AND next_attempt_at <= $1 AND id ",
                $within,
                "SELECT id FROM outbox WHERE status = 'queued' AND next_attempt_at <= $1
                     ORDER BY next_attempt_at, id LIMIT $3 ",
                $end,
                " RETURNING id, attempts, message_id, recipients, reply_to, subject, body_text, body_html, created_at,
                     invitation_id, team_id, (SELECT t.name FROM teams t WHERE t.id = outbox.team_id) AS team_name,
                     (SELECT r.pipeline_name FROM runs r WHERE r.team_id = outbox.team_id AND r.id = outbox.run_id)
                     AS pipeline_name"
            )
        };
    }
    let statement = tx.pick(take!("IN (", ")"), take!("= ANY(ARRAY(", "FOR NO KEY UPDATE SKIP LOCKED))"));
    sql!(tx, fetch_all, query_as(statement).bind(now).bind(until).bind(most))
}

/// Records what became of an attempt, unless the e-mail was taken again meanwhile. The text of an
/// e-mail of the installation itself is not kept: there may be a token in it.
pub async fn settle(tx: &mut Tx, due: &DueEmail, settled: &SendOutcome) -> Result<(), sqlx::Error> {
    let (status, at, reason) = match settled {
        SendOutcome::Sent => ("sent", None, None),
        SendOutcome::Again { at, reason } => ("queued", Some(*at), Some(reason)),
        SendOutcome::Failed { reason } => ("failed", None, Some(reason)),
        SendOutcome::Back { at } => ("queued", Some(*at), None),
    };
    sql!(
        tx,
        execute,
        query(
            "UPDATE outbox SET status = $3, next_attempt_at = COALESCE($4, next_attempt_at), error = $5,
                    body_text = CASE WHEN team_id IS NULL AND $3 <> 'queued' THEN '' ELSE body_text END
             WHERE id = $1 AND attempts = $2 AND status = 'queued'"
        )
        .bind(due.id)
        .bind(due.attempts)
        .bind(status)
        .bind(at)
        .bind(reason)
    )?;
    Ok(())
}
