//! Executors and their credentials: opaque, kept as hashes, revocable.

use axum::{
    extract::FromRequestParts,
    http::{header, request::Parts},
};
use restroy_sdk::{
    ids::{ExecutorId, Id},
    problem::ProblemCode,
    time::{Ambient, Timestamp},
};
use serde::Serialize;
use serde_json::json;
use sqlx::{FromRow, query, query_as, query_scalar};

use super::lease;
use crate::{
    api::http::SentBy,
    auth::token::{Opaque, hash},
    error::{ApiError, ApiResult},
    sql,
    state::AppState,
    store::{Db, audit},
};

/// An executor as operators see it.
#[derive(Debug, Clone, Serialize, FromRow)]
pub struct Known {
    /// Its id.
    pub id: ExecutorId,
    /// Its name, for people; not unique.
    pub name: String,
    /// How many tasks it takes at once; 0 before its first heartbeat and while it drains.
    pub slots: i64,
    /// What its sandboxes are; empty before its first heartbeat.
    pub engine_id: String,
    /// The version of the run API that it speaks.
    pub protocol: i64,
    /// When it was heard last.
    pub heartbeat_at: Option<Timestamp>,
    /// Since when it may work.
    pub created_at: Timestamp,
    /// Since when it may not any more.
    pub revoked_at: Option<Timestamp>,
}

/// Makes an executor and its credential, which is shown this once. The name is for people.
pub async fn create(state: &AppState, name: &str) -> ApiResult<(ExecutorId, String)> {
    add(&state.db, &state.ambient, name).await
}

/// The same without the rest of a control-plane.
pub async fn add(db: &Db, ambient: &Ambient, name: &str) -> ApiResult<(ExecutorId, String)> {
    let token = Opaque::new(ambient);
    let id = register(db, ambient, name, &token.hash()).await?;
    // 256 random bits that were there before are no accident.
    let id = id.ok_or_else(|| ApiError::new(ProblemCode::Internal))?;
    Ok((id, token.into_text()))
}

/// Makes known an executor whose credential was made elsewhere, by its [`hash`]; none when that
/// credential is known already, or was and is revoked.
pub async fn register(db: &Db, ambient: &Ambient, name: &str, hash: &[u8]) -> ApiResult<Option<ExecutorId>> {
    let id: ExecutorId = ambient.id();
    let mut tx = db.system_write().await?;
    let made = sql!(
        &mut tx,
        execute,
        query(
            "INSERT INTO executors (id, name, token_hash, created_at) VALUES ($1, $2, $3, $4)
             ON CONFLICT (token_hash) DO NOTHING"
        )
        .bind(id)
        .bind(name)
        .bind(hash)
        .bind(ambient.now())
    )?;
    let made = made.rows_affected() > 0;
    if made {
        let entry = audit::Entry::new("executor.create", "executor", id).after(json!({ "name": name }));
        audit::of_installation(&mut tx, ambient, entry).await?;
    }
    tx.commit().await?;
    Ok(made.then_some(id))
}

/// Takes an executor's credential away. What it has leased it keeps until the lease ends. 404 when
/// there is no such executor, or it is revoked.
pub async fn revoke(state: &AppState, id: ExecutorId) -> ApiResult<()> {
    withdraw(&state.db, &state.ambient, id).await
}

/// The same without the rest of a control-plane.
pub async fn withdraw(db: &Db, ambient: &Ambient, id: ExecutorId) -> ApiResult<()> {
    let mut tx = db.system_write().await?;
    let name: Option<String> = sql!(
        &mut tx,
        fetch_optional,
        query_scalar("UPDATE executors SET revoked_at = $2 WHERE id = $1 AND revoked_at IS NULL RETURNING name")
            .bind(id)
            .bind(ambient.now())
    )?;
    let name = name.ok_or_else(ApiError::not_found)?;
    let entry = audit::Entry::new("executor.revoke", "executor", id).before(json!({ "name": name }));
    audit::of_installation(&mut tx, ambient, entry).await?;
    Ok(tx.commit().await?)
}

/// The executors, the oldest first; at most `limit`.
pub async fn list(db: &Db, limit: u32) -> ApiResult<Vec<Known>> {
    let mut tx = db.system_read().await?;
    Ok(sql!(
        &mut tx,
        fetch_all,
        query_as(
            "SELECT id, name, slots, engine_id, protocol, heartbeat_at, created_at, revoked_at
             FROM executors ORDER BY created_at, id LIMIT $1"
        )
        .bind(i64::from(limit))
    )?)
}

/// The executor that a request of the run API comes from; 401 without a credential in force.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Executor(pub(crate) ExecutorId);

impl FromRequestParts<AppState> for Executor {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &AppState) -> ApiResult<Self> {
        let token = bearer(parts)?;
        let mut tx = state.db.system_read().await?;
        let id: Option<ExecutorId> = sql!(
            &mut tx,
            fetch_optional,
            query_scalar("SELECT id FROM executors WHERE token_hash = $1 AND revoked_at IS NULL").bind(hash(token))
        )?;
        id.map(Self).ok_or_else(|| {
            ApiError::with(
                ProblemCode::Unauthorized,
                "The executor's credential is not known or was revoked; make another with `restroy admin`.",
            )
        })
    }
}

/// The token of a task, as it came; checked in the transaction of the write it goes with.
#[derive(Debug, Clone)]
pub(crate) struct TaskToken(pub(crate) String);

impl FromRequestParts<AppState> for TaskToken {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _: &AppState) -> ApiResult<Self> {
        let token = Self(bearer(parts)?.to_owned());
        if let Some(team) = lease::team_of(&token.0) {
            parts.extensions.insert(SentBy(team.uuid()));
        }
        Ok(token)
    }
}

fn bearer(parts: &Parts) -> ApiResult<&str> {
    parts
        .headers
        .get(header::AUTHORIZATION)
        .and_then(|value| value.to_str().ok())
        .and_then(|value| value.split_once(' '))
        .filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer"))
        .map(|(_, token)| token.trim())
        .ok_or_else(|| ApiError::with(ProblemCode::Unauthorized, "Send `Authorization: Bearer`."))
}
