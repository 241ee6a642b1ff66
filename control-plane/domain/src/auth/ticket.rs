//! Stream tickets: a browser cannot send a header with a WebSocket, so it sends a ticket in the
//! query: good once, for 30 seconds, for one path and user.

use std::{net::IpAddr, time::Duration};

use restroy_sdk::{ids::SessionId, time::Timestamp};

use super::{
    Caller,
    caller::unauthorized,
    token::{OpaqueToken, hash},
};
use crate::{
    DomainError, DomainResult,
    state::DomainState,
    store::{
        one_time::{self, Purpose},
        users,
    },
};

/// The life of a ticket.
const LIFE: Duration = Duration::from_secs(30);
/// How many tickets an account gets within the life of one.
const MAX_MADE: i64 = 100;

/// Makes a ticket for a path.
pub async fn issue(state: &DomainState, caller: Caller, path: &str) -> DomainResult<(String, Timestamp)> {
    let ticket = OpaqueToken::new(&state.ambient);
    let now = state.ambient.now();
    let expires = now.after(LIFE);
    let mut tx = state.db.system_write().await?;
    users::lock(&mut tx, caller.user_id).await?;
    if one_time::count_created_since(&mut tx, Purpose::Stream, caller.user_id, now.before(LIFE)).await? >= MAX_MADE {
        let detail = format!("At most {MAX_MADE} tickets in {} seconds. Try again shortly.", LIFE.as_secs());
        return Err(DomainError::TooManyAttempts { detail: detail.into(), wait: None });
    }
    let subject = subject(caller.require_session()?, path);
    one_time::insert(&mut tx, Purpose::Stream, &ticket.hash(), caller.user_id, &subject, now, expires).await?;
    tx.commit().await?;
    Ok((ticket.into_text(), expires))
}

/// Takes a ticket in: whoever it was made for, if it is for this path, unused and in time. The
/// caller's session is checked as with a token.
pub async fn redeem(state: &DomainState, ticket: &str, path: &str, address: Option<IpAddr>) -> DomainResult<Caller> {
    let refused = || unauthorized("The ticket is invalid or expired. Request another.");
    let now = state.ambient.now();
    let hash = hash(ticket);
    if !one_time::is_known(&mut state.db.system_read().await?, Purpose::Stream, &hash).await? {
        return Err(refused());
    }
    let mut tx = state.db.system_write().await?;
    let (user_id, bound) = one_time::spend(&mut tx, Purpose::Stream, &hash, now).await?.ok_or_else(refused)?;
    let session = bound.split_once(' ').filter(|(_, bound)| *bound == path);
    let session: Option<SessionId> = session.and_then(|(session, _)| session.parse().ok());
    let caller = match session {
        Some(session) => Caller::from_session(user_id, session, address).revalidate_in(&mut tx, now).await,
        None => Err(refused()),
    };
    // A ticket shown on the wrong path is spent all the same. What the database could not answer is
    // asked again with the same ticket.
    if !matches!(&caller, Err(error) if error.is_temporary()) {
        tx.commit().await?;
    }
    caller
}

fn subject(session: SessionId, path: &str) -> String {
    format!("{session} {path}")
}
