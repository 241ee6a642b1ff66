//! E-mail on its way out.

use restroy_sdk::{
    api::team::OutboxMessage,
    ids::{MessageId, RunId},
    time::{Ambient, Timestamp},
};
use sqlx::{query, query_as};

use super::{StoreError, TeamTx, Tx};
use crate::sql;

/// Puts an e-mail of the installation itself into the outbox.
pub async fn insert_own(
    tx: &mut Tx,
    ambient: &Ambient,
    status: &str,
    to: &str,
    subject: &str,
    text: &str,
) -> Result<(), StoreError> {
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
    Ok(())
}

#[derive(sqlx::FromRow)]
struct Row {
    id: MessageId,
    run_id: Option<RunId>,
    recipients: String,
    reply_to: Option<String>,
    subject: String,
    body_text: String,
    body_html: Option<String>,
    status: String,
    created_at: Timestamp,
}

/// The team's e-mails, the newest first, before `before`.
pub async fn list(tx: &mut TeamTx, before: Option<MessageId>, rows: i64) -> Result<Vec<OutboxMessage>, StoreError> {
    let team = tx.team();
    let rows: Vec<Row> = sql!(
        &mut **tx,
        fetch_all,
        query_as(
            "SELECT id, run_id, recipients, reply_to, subject, body_text, body_html, status, created_at
             FROM outbox WHERE team_id = $1 AND ($2 IS NULL OR id < $2) ORDER BY id DESC LIMIT $3"
        )
        .bind(team)
        .bind(before)
        .bind(rows)
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
                created_at: row.created_at,
            })
        })
        .collect()
}
