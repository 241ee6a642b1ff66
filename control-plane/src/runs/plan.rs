//! What an executor gets with a task: all that it needs, read in the claim's transaction.

use std::collections::BTreeMap;

use restroy_run_queue::run_api::{Plan, StepState};
use restroy_sdk::{
    document::Document,
    ids::{ExecutorId, TaskId},
    status::StepStatus,
    time::Timestamp,
};
use serde_json::{json, value::RawValue};
use sqlx::{query, query_as};

use super::{
    rows::{RunRow, StepRow},
    steps,
};
use crate::{
    error::ApiResult,
    sql,
    state::AppState,
    store::{
        TeamTx, audit,
        configuration::{self, Pinned, SecretRead},
        quota, team_keys,
    },
};

/// How many secrets an entry of the audit log tells of.
const READS_PER_ENTRY: usize = 100;

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
    state: &AppState,
    (task, executor, fence): (TaskId, ExecutorId, i64),
    run: RunRow,
    fixed: Fixed,
    now: Timestamp,
) -> ApiResult<Plan> {
    let keys = team_keys::of_team(tx, &state.keys).await?;
    let pinned = Pinned {
        version: run.version_id,
        board: run.board_id,
        revision: run.config_revision,
        board_revision: run.board_config_revision,
        team_revision: run.team_config_revision,
    };
    let (settings, reads) = configuration::for_run(tx, &keys, pinned, &fixed.document).await?;
    for read in &reads {
        record(tx, &run, fence, read, now).await?;
    }
    tell(tx, state, &run, (executor, fence), &reads).await?;
    let done = steps::committed(tx, run.id).await?.iter().map(step_state).collect::<ApiResult<Vec<_>>>()?;
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
        limits: quota::of_steps(tx).await?,
    })
}

/// Tells the audit log which secrets an executor got for a run, on whose behalf.
async fn tell(
    tx: &mut TeamTx,
    state: &AppState,
    run: &RunRow,
    (executor, fence): (ExecutorId, i64),
    reads: &[SecretRead],
) -> ApiResult<()> {
    for reads in reads.chunks(READS_PER_ENTRY) {
        let secrets: Vec<_> = reads
            .iter()
            .map(|read| {
                json!({
                    "key": read.key,
                    "level": read.level.as_str(),
                    "revision": read.revision,
                    "script_id": read.script_id,
                })
            })
            .collect();
        let entry = audit::Entry::new("secret.read", "run", run.id).details(json!({
            "pipeline_id": run.pipeline_id,
            "executor_id": executor,
            "fence": fence,
            "secrets": secrets,
        }));
        audit::for_run(tx, &state.ambient, run.started_by, entry).await?;
    }
    Ok(())
}

async fn record(tx: &mut TeamTx, run: &RunRow, fence: i64, read: &SecretRead, now: Timestamp) -> ApiResult<()> {
    let team = tx.team();
    sql!(
        &mut **tx,
        execute,
        query(
            "INSERT INTO secret_reads (team_id, run_id, fence, script_id, key, level, revision, read_at)
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8)"
        )
        .bind(team)
        .bind(run.id)
        .bind(fence)
        .bind(read.script_id)
        .bind(&read.key)
        .bind(read.level.as_str())
        .bind(read.revision)
        .bind(now)
    )?;
    Ok(())
}

fn step_state(row: &StepRow) -> ApiResult<StepState> {
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
