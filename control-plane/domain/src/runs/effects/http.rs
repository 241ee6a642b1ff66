//! Answers to the HTTP requests of scripts, in the journal: an attempt that is executed again gets the answer that
//! its first execution got, and the server sees one request.
//!
//! Bounded thrice: an answer has at most [`MAX_HTTP_ANSWER`] bytes, answers take at most half of a run's journal, and
//! none is stored once the team's storage is used up. A request whose answer was not stored is sent again, under the
//! same `Idempotency-Key`.

use restroy_run_queue::run_api::{HttpAnswer, MAX_HTTP_ANSWER};
use restroy_sdk::ids::RunId;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use sqlx::query_scalar;

use super::{CallOutcome, CallingAttempt, journal, refusal};
use crate::{
    runs::limits::MAX_JOURNAL_BYTES,
    sql,
    state::DomainState,
    store::{TeamTx, storage},
};

/// The name of an answered request in the journal.
pub(super) const METHOD: &str = "http_answered";
/// The longest digest of a request, in bytes.
const MAX_DIGEST: usize = 128;

/// What the journal has of a request.
#[derive(Debug, Serialize, Deserialize)]
struct Entry {
    request: String,
    answer: Option<HttpAnswer>,
}

/// What is to be recorded of an answered request.
pub(super) async fn journal_entry(
    tx: &mut TeamTx,
    run: RunId,
    request: &str,
    answer: Option<HttpAnswer>,
) -> CallOutcome {
    if request.len() > MAX_DIGEST {
        return Err(refusal("http_bad_answer", format!("The digest of a request has at most {MAX_DIGEST} bytes.")));
    }
    if answer.as_ref().is_some_and(|answer| !answer.fits()) {
        let message = format!("A stored answer has at most {MAX_HTTP_ANSWER} bytes of headers and body.");
        return Err(refusal("http_bad_answer", message));
    }
    let answer = if answer.is_some() && has_space(tx, run).await? { answer } else { None };
    Ok(serde_json::to_value(Entry { request: request.to_owned(), answer })?)
}

/// Whether the journal of the run and the team's storage have space for one answer more.
async fn has_space(tx: &mut TeamTx, run: RunId) -> Result<bool, sqlx::Error> {
    let team = tx.team();
    let bytes: i64 = sql!(
        &mut **tx,
        fetch_one,
        query_scalar("SELECT journal_bytes FROM runs WHERE team_id = $1 AND id = $2").bind(team).bind(run)
    )?;
    Ok(bytes < MAX_JOURNAL_BYTES / 2 && storage::above_limit(tx).await?.is_none())
}

/// The stored answer to a request, or null.
pub(super) async fn recall(
    tx: &mut TeamTx,
    state: &DomainState,
    run: RunId,
    caller: &CallingAttempt,
    request: &str,
) -> CallOutcome {
    let Some(stored) = journal::find(tx, state, run, METHOD, caller).await? else { return Ok(Value::Null) };
    let entry: Entry = serde_json::from_value(stored)?;
    // Scripts choose keys: the same one for another request does not get this answer.
    let answer = entry.answer.filter(|_| entry.request == request);
    Ok(serde_json::to_value(answer)?)
}
