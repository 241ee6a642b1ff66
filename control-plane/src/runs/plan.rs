//! What an executor gets with a task: all that it needs, read in the claim's transaction.

use std::collections::BTreeMap;

use restroy_run_queue::run_api::{Plan, StepState};
use restroy_sdk::{document::Document, ids::TaskId, status::StepStatus, time::Timestamp};
use serde_json::value::RawValue;
use sqlx::{query, query_as};

use super::{
    rows::{RunRow, StepRow},
    steps,
};
use crate::{
    error::ApiResult,
    secrets::KeyRing,
    sql,
    store::{TeamTx, configuration, configuration::SecretRead, teams},
};

/// What never changes about a run: read before the claim, so that the claim holds the writer for
/// as short as can be.
#[derive(Debug)]
pub(crate) struct Fixed {
    pub(crate) document: Document,
    pub(crate) files: BTreeMap<String, String>,
    library: BTreeMap<String, String>,
    params: String,
    seed: Vec<u8>,
}

/// Reads what never changes.
pub(crate) async fn fixed(tx: &mut TeamTx, run: &RunRow) -> ApiResult<Fixed> {
    let team = tx.team();
    let (document, files) = crate::store::versions::load(tx, run.version_id).await?;
    let library = crate::store::library::of_version(tx, run.version_id).await?;
    let (params, seed): (String, Vec<u8>) = sql!(
        &mut **tx,
        fetch_one,
        query_as("SELECT params, seed FROM runs WHERE team_id = $1 AND id = $2").bind(team).bind(run.id)
    )?;
    Ok(Fixed { document, files, library, params, seed })
}

/// The plan of a task that was just claimed under `fence`. Secrets are read at their newest, and
/// which version of each is recorded.
pub(crate) async fn plan(
    tx: &mut TeamTx,
    keys: &KeyRing,
    task: TaskId,
    fence: i64,
    run: RunRow,
    fixed: Fixed,
    now: Timestamp,
) -> ApiResult<Plan> {
    let key = teams::key(tx, keys).await?;
    let (settings, reads) =
        configuration::for_run(tx, &key, run.version_id, run.config_revision, &fixed.document).await?;
    for read in &reads {
        record(tx, &run, fence, read, now).await?;
    }
    let done = steps::committed(tx, run.id).await?.iter().map(state).collect::<ApiResult<Vec<_>>>()?;
    Ok(Plan {
        task_id: task,
        run_id: run.id,
        team_id: run.team_id,
        board_id: run.board_id,
        pipeline_id: run.pipeline_id,
        pipeline_name: run.pipeline_name,
        version: run.version,
        started_at: run.started_at.unwrap_or(now),
        document: fixed.document,
        files: fixed.files,
        library: fixed.library,
        steps: settings,
        params: RawValue::from_string(fixed.params)?,
        seed: hex::encode(fixed.seed),
        done,
    })
}

async fn record(tx: &mut TeamTx, run: &RunRow, fence: i64, read: &SecretRead, now: Timestamp) -> ApiResult<()> {
    let team = tx.team();
    sql!(
        &mut **tx,
        execute,
        query(
            "INSERT INTO secret_reads (team_id, run_id, fence, script_id, key, revision, read_at)
             VALUES ($1, $2, $3, $4, $5, $6, $7)"
        )
        .bind(team)
        .bind(run.id)
        .bind(fence)
        .bind(read.script_id)
        .bind(&read.key)
        .bind(read.revision)
        .bind(now)
    )?;
    Ok(())
}

fn state(row: &StepRow) -> ApiResult<StepState> {
    // What had begun and is pending again was lost: the executor starts it under the same number.
    let status = if row.status == StepStatus::Pending { StepStatus::Running } else { row.status };
    Ok(StepState {
        step: row.step_ref(),
        status,
        items: row.items.and_then(|items| u32::try_from(items).ok()),
        output: row.output()?,
        error: row.error()?,
        retried: row.retried,
        retry_at: row.retry_at,
    })
}
