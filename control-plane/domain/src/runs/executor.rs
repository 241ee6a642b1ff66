//! An executor as it speaks to the run API: who it is, whether it may take more, and what it says about itself.

use std::collections::{HashMap, HashSet};

use restroy_run_queue::run_api::{Heartbeat, HeldTask, ReleaseReason, Signal};
use restroy_sdk::{
    ids::{ExecutorId, Id as _, TaskId},
    time::Timestamp,
};
use sqlx::{FromRow, query, query_as, query_scalar};

use super::{announce::Announcements, lane::Lane};
use crate::{
    DomainError, DomainResult,
    auth::token::hash,
    sql,
    state::DomainState,
    store::{Db, Tx},
};

/// The longest id of an engine, in bytes.
const MAX_ENGINE_ID: usize = 128;

/// SHA-256 of the client certificate (its DER form) that a connection to the run API was opened with. An extension
/// of its requests, which only the listener sets.
#[derive(Debug, Clone, Copy)]
pub struct ClientCertificate(pub [u8; 32]);

/// The executor that a request of the run API comes from.
#[derive(Debug, Clone)]
pub struct Executor {
    /// The executor.
    pub id: ExecutorId,
    /// How many tasks its operator lets it hold at once.
    pub slot_limit: i64,
    /// When its credential expires.
    pub expires_at: Option<Timestamp>,
    /// What the tokens of its tasks name it by; see [`Lane`].
    pub(crate) lane: Lane,
}

/// An executor by its credential.
#[derive(FromRow)]
struct ExecutorRow {
    id: ExecutorId,
    slot_limit: i64,
    expires_at: Option<Timestamp>,
    certificate: Option<Vec<u8>>,
}

impl Executor {
    /// The executor of a credential that is in force; `shown` is the client certificate that came with the connection.
    pub async fn authenticate(
        state: &DomainState,
        credential: &str,
        shown: Option<&ClientCertificate>,
    ) -> DomainResult<Self> {
        let hash = hash(credential);
        let mut tx = state.db.system_read().await?;
        let found: Option<ExecutorRow> = sql!(
            &mut tx,
            fetch_optional,
            query_as(
                "SELECT id, slot_limit, expires_at, certificate FROM executors
                 WHERE token_hash = $1 AND revoked_at IS NULL"
            )
            .bind(&hash)
        )?;
        drop(tx);
        let Some(ExecutorRow { id, slot_limit, expires_at, certificate }) = found else {
            return Err(unauthorized(
                "The executor's credential is not known or was revoked; make another with `restroy admin`.",
            ));
        };
        if expires_at.is_some_and(|expires_at| expires_at <= state.ambient.now()) {
            return Err(unauthorized(
                "The executor's credential has expired; make another, or let it last longer with `restroy admin executor set`.",
            ));
        }
        if let Some(bound_to) = certificate
            && shown.is_none_or(|shown| shown.0.as_slice() != bound_to)
        {
            return Err(unauthorized(
                "The executor's credential is bound to a client certificate that did not come with this connection; see \
                 RESTROY_RUN_API_CLIENT_CERT.",
            ));
        }
        Ok(Self { id, slot_limit, expires_at, lane: Lane::from_credential(&hash) })
    }
}

/// Refuses a claim of an executor that holds as many tasks as it may, this one not counted; 429 `slots_exhausted`.
pub(crate) async fn has_slot(tx: &mut Tx, executor: &Executor, task: TaskId) -> DomainResult<()> {
    let held: i64 = sql!(
        &mut *tx,
        fetch_one,
        query_scalar("SELECT COUNT(*) FROM tasks WHERE owner = $1 AND state = 'leased' AND id <> $2")
            .bind(executor.id)
            .bind(task)
    )?;
    if held < executor.slot_limit {
        return Ok(());
    }
    let detail = format!(
        "The executor holds {held} tasks, and its operator lets it hold {} at once (`restroy admin executor set`).",
        executor.slot_limit
    );
    Err(DomainError::NoSlot(detail.into()))
}

/// The same within the claim's transaction, while no other claim of the executor is between its count and its
/// end: their sum keeps within the limit too.
pub(crate) async fn take_slot(tx: &mut Tx, executor: &Executor, task: TaskId) -> DomainResult<()> {
    // On SQLite there is one writer anyway.
    if let Tx::Postgres(..) = tx {
        sql!(&mut *tx, execute, query("SELECT 1 FROM executors WHERE id = $1 FOR NO KEY UPDATE").bind(executor.id))?;
    }
    has_slot(tx, executor, task).await
}

fn unauthorized(detail: &'static str) -> DomainError {
    DomainError::Unauthenticated(detail.into())
}

/// Whether an executor may work.
pub async fn is_valid(state: &DomainState, id: ExecutorId) -> DomainResult<bool> {
    let mut tx = state.db.system_read().await?;
    Ok(sql!(
        &mut tx,
        fetch_one,
        query_scalar(
            "SELECT EXISTS (SELECT 1 FROM executors
             WHERE id = $1 AND revoked_at IS NULL AND (expires_at IS NULL OR expires_at > $2))"
        )
        .bind(id)
        .bind(state.ambient.now())
    )?)
}

/// Refuses what does not name an engine.
pub(crate) fn check_engine(engine_id: &str) -> DomainResult<()> {
    if engine_id.len() <= MAX_ENGINE_ID && engine_id.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Ok(());
    }
    let detail = format!("at most {MAX_ENGINE_ID} printable ASCII characters, no spaces");
    Err(DomainError::invalid_field("/engine_id", detail))
}

/// Records that an executor is there, and what it says about itself.
pub async fn record_heartbeat(state: &DomainState, executor: &Executor, beat: &Heartbeat) -> DomainResult<()> {
    check_engine(&beat.engine_id)?;
    let slots = i64::from(beat.slots).min(executor.slot_limit);
    let mut tx = state.db.system_write().await?;
    sql!(
        &mut tx,
        execute,
        query("UPDATE executors SET slots = $2, engine_id = $3, protocol = $4, heartbeat_at = $5 WHERE id = $1")
            .bind(executor.id)
            .bind(slots)
            .bind(&beat.engine_id)
            .bind(i64::from(beat.protocol))
            .bind(state.ambient.now())
    )?;
    Ok(tx.commit().await?)
}

/// Which of the tasks that an executor names are not its own any more.
pub async fn released_tasks(db: &Db, executor: ExecutorId, held: &[HeldTask]) -> DomainResult<Vec<Signal>> {
    let asked: HashSet<TaskId> = held.iter().map(|task| task.task_id).collect();
    let rows: Vec<(TaskId, i64, String, Option<ExecutorId>)> = match &mut db.system_read().await? {
        Tx::Sqlite(tx, _) => {
            let mut rows = Vec::with_capacity(asked.len());
            for id in asked {
                let row = query_as("SELECT id, fence, state, owner FROM tasks WHERE id = $1").bind(id);
                rows.extend(row.fetch_optional(&mut **tx).await?);
            }
            rows
        }
        Tx::Postgres(tx, _) => {
            query_as("SELECT id, fence, state, owner FROM tasks WHERE id = ANY($1)")
                .bind(asked.iter().map(|id| id.uuid()).collect::<Vec<_>>())
                .fetch_all(&mut **tx)
                .await?
        }
    };
    let known: HashMap<TaskId, _> =
        rows.into_iter().map(|(id, fence, state, owner)| (id, (fence, state, owner))).collect();
    let gone = held.iter().filter_map(|task| {
        let reason = match known.get(&task.task_id) {
            // A task that is not there went with its run.
            None => ReleaseReason::Ended,
            Some((_, state, _)) if state == "done" => ReleaseReason::Ended,
            Some((fence, state, owner)) if state == "leased" && *fence == task.fence && *owner == Some(executor) => {
                return None;
            }
            Some(_) => ReleaseReason::Taken,
        };
        Some(Signal::Released { task: *task, reason })
    });
    Ok(gone.collect())
}

/// Records that an executor has stopped working on a task whose run was ended: others may start in its place.
pub async fn confirm_stopped(state: &DomainState, executor: ExecutorId, task: TaskId) -> DomainResult<()> {
    let mut tx = state.db.system_write().await?;
    let done = sql!(
        &mut tx,
        execute,
        query(
            "UPDATE tasks SET draining_until = NULL
             WHERE id = $1 AND owner = $2 AND state = 'done' AND draining_until IS NOT NULL"
        )
        .bind(task)
        .bind(executor)
    )?;
    let mut announcements = Announcements::default();
    if done.rows_affected() > 0 {
        announcements.admit();
    }
    announcements.commit(tx, state).await
}
