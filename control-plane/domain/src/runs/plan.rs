//! What an executor gets with a task: all that it needs, read in the claim's transaction.

use std::collections::BTreeMap;

use restroy_run_queue::run_api::{Plan, StepState};
use restroy_sdk::{
    document::Document,
    event::StepError,
    ids::{ExecutorId, TaskId},
    status::StepStatus,
    time::Timestamp,
};
use serde::Deserialize;
use serde_json::{json, value::RawValue};
use sqlx::{query, query_as};

use super::{
    rows::{RunRow, step_ref},
    steps::{self, CommittedRow},
};
use crate::{
    DomainResult, sql,
    state::DomainState,
    store::{
        TeamTx, audit,
        configuration::{self, RunPins, SecretRead},
        quota, team_keys,
    },
};

/// How many secrets an entry of the audit log describes.
const READS_PER_ENTRY: usize = 100;

/// What never changes about a run: read before the claim, so that the claim holds the writer for
/// as short as can be.
#[derive(Debug)]
pub(crate) struct RunConstants {
    pub(crate) document: Document,
    pub(crate) files: BTreeMap<String, String>,
    library: BTreeMap<String, String>,
    params: String,
    seed: Vec<u8>,
}

/// Reads what never changes.
pub(crate) async fn run_constants(tx: &mut TeamTx, run: &RunRow) -> DomainResult<RunConstants> {
    let team = tx.team();
    let (document, files) = crate::store::versions::load(tx, run.version_id).await?;
    let library = crate::store::library::sources_of_version(tx, run.version_id).await?;
    let (params, seed): (String, Vec<u8>) = sql!(
        &mut **tx,
        fetch_one,
        query_as("SELECT params, seed FROM runs WHERE team_id = $1 AND id = $2").bind(team).bind(run.id)
    )?;
    Ok(RunConstants { document, files, library, params, seed })
}

/// The plan of a task that was just claimed under `fence`. Secrets are read at their newest, and
/// which version of each is recorded.
pub(crate) async fn plan(
    tx: &mut TeamTx,
    state: &DomainState,
    (task, executor, fence): (TaskId, ExecutorId, i64),
    run: RunRow,
    fixed: RunConstants,
    (now, outputs_apart): (Timestamp, bool),
) -> DomainResult<Plan> {
    let keys = team_keys::load_for_team(tx, &state.keys).await?;
    let pinned = RunPins {
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
    audit_secret_reads(tx, state, &run, (executor, fence), &reads).await?;
    let mut done = Vec::new();
    let mut last = None;
    loop {
        let mut rows = steps::committed_attempts(tx, run.id, last.as_ref(), !outputs_apart).await?;
        for row in &mut rows {
            done.push(step_state(row, now)?);
        }
        match rows.pop() {
            Some(row) => last = Some(row),
            None => break,
        }
    }
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
        outputs_apart,
        limits: quota::all_values(tx).await?,
    })
}

/// Records in the audit log which secrets an executor got for a run, on whose behalf.
async fn audit_secret_reads(
    tx: &mut TeamTx,
    state: &DomainState,
    run: &RunRow,
    (executor, fence): (ExecutorId, i64),
    reads: &[SecretRead],
) -> DomainResult<()> {
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
        audit::record_for_run(tx, &state.ambient, run.started_by, entry).await?;
    }
    Ok(())
}

async fn record(tx: &mut TeamTx, run: &RunRow, fence: i64, read: &SecretRead, now: Timestamp) -> DomainResult<()> {
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

fn step_state(row: &mut CommittedRow, now: Timestamp) -> DomainResult<StepState> {
    // What had begun and is pending again was lost: the executor starts it under the same number.
    let status = if row.status == StepStatus::Pending { StepStatus::Running } else { row.status };
    Ok(StepState {
        step: step_ref(&row.step, row.idx, row.attempt),
        status,
        items: row.items.and_then(|items| u32::try_from(items).ok()),
        output: row.output.take().map(RawValue::from_string).transpose()?,
        error: row.error.take().map(|error| shortened_error(&error)).transpose()?,
        retried: row.retried,
        due_in_ms: row.due_at.map(|due| {
            // Rounded up: nothing is due too early.
            u64::try_from(due.since(now).as_micros().div_ceil(1_000)).unwrap_or(u64::MAX)
        }),
    })
}

/// How much of an error's message an executor gets.
const MESSAGE_BYTES: usize = 1024;

/// What an executor needs of an error that was committed: its code, and that of a failed call, decide about effects;
/// the message names the reason in what builds on it.
fn shortened_error(error: &str) -> DomainResult<StepError> {
    #[derive(Deserialize)]
    struct Stored<'a> {
        code: String,
        message: String,
        #[serde(default, borrow)]
        details: Option<&'a RawValue>,
    }
    #[derive(Deserialize)]
    struct Details {
        code: String,
    }
    let Stored { code, mut message, details } = serde_json::from_str(error)?;
    message.truncate(message.floor_char_boundary(MESSAGE_BYTES));
    // Details are whatever the script raised: most have no code.
    let details = details.and_then(|details| serde_json::from_str::<Details>(details.get()).ok());
    let details = details.map(|details| json!({ "code": details.code }));
    Ok(StepError { details, ..StepError::new(&code, message) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_is_shortened_to_what_decides() {
        let error = json!({
            "code": "script_error",
            "message": format!("{}é", "x".repeat(1023)),
            "details": {"code": "http_timeout", "body": "x".repeat(60_000)},
            "traceback": "a.lua:1: in main chunk",
        });
        let short = shortened_error(&error.to_string()).unwrap();
        assert_eq!((short.code.as_str(), short.message.len()), ("script_error", 1023));
        assert_eq!(short.details, Some(json!({"code": "http_timeout"})));
        assert_eq!(short.traceback, None);
        for details in [json!(null), json!([1]), json!({"code": 7}), json!("text")] {
            let error = json!({"code": "a", "message": "b", "details": details});
            assert_eq!(super::shortened_error(&error.to_string()).unwrap().details, None);
        }
    }
}
