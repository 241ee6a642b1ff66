//! Stream tickets: a browser cannot send a header with a WebSocket, so it sends a ticket in the
//! query: good once, for 30 seconds, for one path and user.

use std::time::Duration;

use restroy_sdk::{
    ids::{SessionId, UserId},
    time::Timestamp,
};
use sqlx::{query, query_as};

use super::{
    Caller,
    caller::unauthorized,
    token::{Opaque, hash},
};
use crate::{error::ApiResult, sql, state::AppState};

/// The life of a ticket.
const LIFE: Duration = Duration::from_secs(30);

/// Makes a ticket for a path.
pub async fn issue(state: &AppState, caller: Caller, path: &str) -> ApiResult<(String, Timestamp)> {
    let ticket = Opaque::new(&state.ambient);
    let now = state.ambient.now();
    let expires = now.after(LIFE);
    let mut tx = state.db.write().await?;
    sql!(
        &mut tx,
        execute,
        query(
            "INSERT INTO one_time_tokens (hash, purpose, user_id, subject, created_at, expires_at)
             VALUES ($1, 'stream', $2, $3, $4, $5)"
        )
        .bind(ticket.hash())
        .bind(caller.user_id)
        .bind(subject(caller.session_id, path))
        .bind(now)
        .bind(expires)
    )?;
    tx.commit().await?;
    Ok((ticket.into_text(), expires))
}

/// Takes a ticket in: whoever it was made for, if it is for this path, unused and in time. The
/// caller's session is checked as with a token.
pub async fn redeem(state: &AppState, ticket: &str, path: &str) -> ApiResult<Caller> {
    let refused = || unauthorized("The ticket is not valid, or no longer; ask for another.");
    let now = state.ambient.now();
    let mut tx = state.db.write().await?;
    let used: Option<(UserId, String)> = sql!(
        &mut tx,
        fetch_optional,
        query_as(
            "UPDATE one_time_tokens SET used_at = $2
             WHERE hash = $1 AND purpose = 'stream' AND used_at IS NULL AND expires_at > $2
             RETURNING user_id, subject"
        )
        .bind(hash(ticket))
        .bind(now)
    )?;
    // A ticket shown on the wrong path is spent all the same.
    tx.commit().await?;
    let (user_id, bound) = used.ok_or_else(refused)?;
    let (session, bound) = bound.split_once(' ').ok_or_else(refused)?;
    if bound != path {
        return Err(refused());
    }
    let session_id: SessionId = session.parse().map_err(|_| refused())?;
    Caller { user_id, session_id }.still_good(state).await
}

fn subject(session: SessionId, path: &str) -> String {
    format!("{session} {path}")
}
