//! The journal: what a script did to the world, by idempotency key, and the answer it got, sealed
//! with the team's key. Bounded per run; gone with the run.

use restroy_sdk::{ids::RunId, time::Timestamp};
use serde_json::Value;
use sqlx::{query, query_as, query_scalar};

use super::{CallFailure, CallingAttempt, refusal};
use crate::{
    DomainError, DomainResult,
    runs::limits::{MAX_JOURNAL_BYTES, MAX_JOURNAL_CALLS},
    secrets::SealContext,
    sql,
    state::DomainState,
    store::{TeamTx, storage, team_keys},
};

/// The answer that was stored under a key, if the key came before. The same key for another kind of
/// call is the script's mistake (it can set its own), and is refused as such.
pub(super) async fn find(
    tx: &mut TeamTx,
    state: &DomainState,
    run: RunId,
    method: &str,
    caller: &CallingAttempt,
) -> DomainResult<Option<Value>> {
    let team = tx.team();
    let stored: Option<String> = sql!(
        &mut **tx,
        fetch_optional,
        query_scalar("SELECT method FROM host_calls WHERE team_id = $1 AND run_id = $2 AND key = $3")
            .bind(team)
            .bind(run)
            .bind(&caller.key)
    )?;
    let Some(first) = stored else { return Ok(None) };
    if first != method {
        let detail = format!("The idempotency key was used in this run for `{first}`; it cannot stand for `{method}`.");
        return Err(DomainError::KeyReused(detail.into()));
    }
    let keys = team_keys::load_for_team(tx, &state.keys).await?;
    let (sealed, number): (Vec<u8>, i64) = sql!(
        &mut **tx,
        fetch_one,
        query_as("SELECT answer, data_key_no FROM host_calls WHERE team_id = $1 AND run_id = $2 AND key = $3")
            .bind(team)
            .bind(run)
            .bind(&caller.key)
    )?;
    let plain = keys.open(SealContext::HostCall { run, key: &caller.key }, number, &sealed)?;
    Ok(Some(serde_json::from_slice(&plain)?))
}

/// Refuses when the run's journal is full.
pub(super) async fn ensure_below_limit(tx: &mut TeamTx, run: RunId) -> Result<(), CallFailure> {
    let team = tx.team();
    let (calls, bytes): (i64, i64) = sql!(
        &mut **tx,
        fetch_one,
        query_as("SELECT journal_calls, journal_bytes FROM runs WHERE team_id = $1 AND id = $2").bind(team).bind(run)
    )?;
    if calls >= MAX_JOURNAL_CALLS || bytes >= MAX_JOURNAL_BYTES {
        let message = format!(
            "A run makes at most {MAX_JOURNAL_CALLS} calls that have effects, with {MAX_JOURNAL_BYTES} bytes of answers."
        );
        return Err(refusal("journal_limit", message));
    }
    Ok(())
}

/// Records an effect and its answer.
pub(super) async fn record(
    tx: &mut TeamTx,
    state: &DomainState,
    run: RunId,
    now: Timestamp,
    method: &str,
    caller: &CallingAttempt,
    answer: &Value,
) -> DomainResult<()> {
    let team = tx.team();
    let keys = team_keys::load_for_team(tx, &state.keys).await?;
    let sealed =
        keys.seal(&state.ambient, SealContext::HostCall { run, key: &caller.key }, answer.to_string().as_bytes())?;
    let bytes = i64::try_from(sealed.len()).unwrap_or(i64::MAX);
    sql!(
        &mut **tx,
        execute,
        query(
            "INSERT INTO host_calls (run_id, key, team_id, step, idx, attempt, call_number, method, answer,
                                     data_key_no, created_at)
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)"
        )
        .bind(run)
        .bind(&caller.key)
        .bind(team)
        .bind(&caller.step.step)
        .bind(i64::from(caller.step.index.unwrap_or(0)))
        .bind(i64::from(caller.step.attempt))
        .bind(i64::try_from(caller.call_number).unwrap_or(i64::MAX))
        .bind(method)
        .bind(sealed)
        .bind(keys.number())
        .bind(now)
    )?;
    sql!(
        &mut **tx,
        execute,
        query(
            "UPDATE runs SET journal_calls = journal_calls + 1, journal_bytes = journal_bytes + $3,
                             stored_bytes = stored_bytes + $3 + $4
             WHERE team_id = $1 AND id = $2"
        )
        .bind(team)
        .bind(run)
        .bind(bytes)
        .bind(storage::ROW)
    )?;
    Ok(())
}
