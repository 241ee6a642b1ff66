//! Executors and their credentials: opaque, kept as hashes, revocable.

use axum::{
    extract::FromRequestParts,
    http::{header, request::Parts},
};
use restroy_sdk::{ids::ExecutorId, problem::ProblemCode};
use sqlx::{query, query_scalar};

use crate::{
    auth::token::{Opaque, hash},
    error::{ApiError, ApiResult},
    sql,
    state::AppState,
};

/// Makes an executor and its credential, which is shown this once. The name is for people.
pub async fn create(state: &AppState, name: &str) -> ApiResult<(ExecutorId, String)> {
    let token = Opaque::new(&state.ambient);
    let id: ExecutorId = state.ambient.id();
    let mut tx = state.db.system_write().await?;
    sql!(
        &mut tx,
        execute,
        query("INSERT INTO executors (id, name, token_hash, created_at) VALUES ($1, $2, $3, $4)")
            .bind(id)
            .bind(name)
            .bind(token.hash())
            .bind(state.ambient.now())
    )?;
    tx.commit().await?;
    Ok((id, token.into_text()))
}

/// Takes an executor's credential away. What it has leased it keeps until the lease ends.
pub async fn revoke(state: &AppState, id: ExecutorId) -> ApiResult<()> {
    let mut tx = state.db.system_write().await?;
    let changed = sql!(
        &mut tx,
        execute,
        query("UPDATE executors SET revoked_at = $2 WHERE id = $1 AND revoked_at IS NULL")
            .bind(id)
            .bind(state.ambient.now())
    )?;
    if changed.rows_affected() == 0 {
        return Err(ApiError::not_found());
    }
    Ok(tx.commit().await?)
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
        bearer(parts).map(|token| Self(token.to_owned()))
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
