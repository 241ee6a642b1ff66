//! What scripts do to the world through the control-plane: each effect commits together with the
//! row of the [`journal`] that holds its answer. A repeat of its key gets the stored answer, and
//! nothing is done.
//!
//! A refusal is not an effect: it is not journaled, and the script may try again.

mod artifact;
mod email;
mod http;
mod journal;
pub mod kv;

use restroy_run_queue::run_api::{Call, CallAnswer, CallError, CallKind};
use restroy_sdk::{event::StepRef, ids::TaskId};
use serde_json::Value;

use super::{
    lease::{self, LeaseWrite},
    steps,
};
use crate::{
    DomainError, DomainResult,
    caches::EffectCapability,
    state::DomainState,
    store::{TeamTx, storage},
};

/// The most an idempotency key may take, in bytes: scripts can set their own.
const MAX_KEY: usize = 255;

/// Who calls, and under which key.
#[derive(Debug, Clone)]
pub struct CallingAttempt {
    /// The attempt.
    pub step: StepRef,
    /// The number of the call within it.
    pub call_number: u64,
    /// What the call is known by, should it come again.
    pub key: String,
}

/// What a call ends with: done, refused (which the script can catch), or an error of our own.
type CallOutcome = Result<Value, CallFailure>;

/// Why a call was not done.
pub enum CallFailure {
    /// The script gets an error.
    Refused(CallError),
    /// The call was not carried out, and may come again.
    Fault(DomainError),
}

impl CallFailure {
    /// The error for a person who asked for the same.
    pub fn into_error(self) -> DomainError {
        let refused = match self {
            Self::Fault(error) => return error,
            Self::Refused(refused) => refused,
        };
        match refused.code.as_str() {
            "kv_store_full" | "quota_exceeded" => DomainError::limit_reached(refused.message),
            "kv_value_limit" => DomainError::TooLarge { detail: refused.message.into(), limit: None },
            code => {
                let pointer = if code == "kv_bad_ttl" { "/ttl_ms" } else { "" };
                DomainError::invalid_field(pointer, refused.message)
            }
        }
    }
}

impl<E: Into<DomainError>> From<E> for CallFailure {
    fn from(error: E) -> Self {
        Self::Fault(error.into())
    }
}

/// Refuses when the team, with what this transaction wrote, stores more than it may.
async fn check_storage(tx: &mut TeamTx) -> Result<(), CallFailure> {
    match storage::above_limit(tx).await? {
        Some(stored) => Err(refusal("quota_exceeded", stored.message())),
        None => Ok(()),
    }
}

fn refusal(code: &str, message: impl Into<String>) -> CallFailure {
    CallFailure::Refused(CallError { code: code.into(), message: message.into(), retryable: false })
}

/// Carries a call out, once for each key.
pub async fn call(state: &DomainState, task: TaskId, token: &str, call: Call) -> DomainResult<CallAnswer> {
    let Call { step, call_number, key, call } = call;
    let caller = CallingAttempt { step, call_number, key };
    match call {
        // Reading is not an effect: no journal, no transaction that writes but for the lease.
        CallKind::KvGet { key } => execute_read(state, task, token, &caller, ReadCall::Get { key }).await,
        CallKind::KvList { prefix, after, limit } => {
            execute_read(state, task, token, &caller, ReadCall::List { prefix, after, limit }).await
        }
        CallKind::HttpRecall { request } => {
            execute_read(state, task, token, &caller, ReadCall::HttpAnswer { request }).await
        }
        effect => execute_effect(state, task, token, &caller, Effect::Call(effect)).await,
    }
}

/// Keeps a file of a run, once for each key.
pub async fn keep_artifact(
    state: &DomainState,
    task: TaskId,
    token: &str,
    caller: CallingAttempt,
    name: &str,
    content: &[u8],
) -> DomainResult<CallAnswer> {
    execute_effect(state, task, token, &caller, Effect::Artifact { name, content }).await
}

enum ReadCall {
    Get { key: String },
    List { prefix: String, after: Option<String>, limit: u32 },
    HttpAnswer { request: String },
}

impl ReadCall {
    /// What a step declares to do it.
    fn capability(&self) -> EffectCapability {
        match self {
            Self::Get { .. } | Self::List { .. } => EffectCapability::Kv,
            Self::HttpAnswer { .. } => EffectCapability::Http,
        }
    }
}

enum Effect<'a> {
    Call(CallKind),
    Artifact { name: &'a str, content: &'a [u8] },
}

/// The name of `email.send` in the journal.
const EMAIL: &str = "email_send";

impl Effect<'_> {
    /// How its transaction begins. The e-mails of a team are counted over all its runs.
    fn durability(&self) -> LeaseWrite {
        match self {
            Self::Call(CallKind::EmailSend { .. }) => LeaseWrite::FsyncExclusive,
            _ => LeaseWrite::Fsync,
        }
    }

    /// What a step declares to do it.
    fn capability(&self) -> EffectCapability {
        match self {
            Self::Artifact { .. } => EffectCapability::Files,
            Self::Call(call) => EffectCapability::for_call(call),
        }
    }

    /// Its name in the journal.
    fn method(&self) -> &'static str {
        match self {
            Self::Artifact { .. } => "artifact",
            Self::Call(call) => match call {
                CallKind::KvGet { .. } => "kv_get",
                CallKind::KvList { .. } => "kv_list",
                CallKind::KvSet { .. } => "kv_set",
                CallKind::KvDelete { .. } => "kv_delete",
                CallKind::KvIncr { .. } => "kv_incr",
                CallKind::KvCas { .. } => "kv_cas",
                CallKind::EmailSend { .. } => EMAIL,
                CallKind::HttpAnswered { .. } | CallKind::HttpRecall { .. } => http::METHOD,
            },
        }
    }
}

async fn execute_read(
    state: &DomainState,
    task: TaskId,
    token: &str,
    caller: &CallingAttempt,
    read: ReadCall,
) -> DomainResult<CallAnswer> {
    let (mut tx, leased) = lease::leased_task(&state.db, LeaseWrite::Commit, task, token).await?;
    ensure_attempt_is_open(&mut tx, leased.run_id, caller).await?;
    let now = state.ambient.now();
    let done = match check_declared(state, &mut tx, &leased, caller, read.capability()).await {
        Err(stop) => Err(stop),
        Ok(()) => match read {
            ReadCall::Get { key } => kv::get(&mut tx, leased.board_id, now, &key).await,
            ReadCall::List { prefix, after, limit } => {
                kv::list(&mut tx, leased.board_id, now, &prefix, after.as_deref(), limit).await
            }
            ReadCall::HttpAnswer { request } => http::recall(&mut tx, state, leased.run_id, caller, &request).await,
        },
    };
    let answer = into_answer(done)?;
    lease::renew(state, &mut tx, &leased, now, leased.last_batch).await?;
    tx.commit().await?;
    Ok(answer)
}

async fn execute_effect(
    state: &DomainState,
    task: TaskId,
    token: &str,
    caller: &CallingAttempt,
    effect: Effect<'_>,
) -> DomainResult<CallAnswer> {
    let of_owner = match (&effect, lease::team_of(token)) {
        (Effect::Call(CallKind::EmailSend { .. }), Some(team)) => Some(email::owner_allowance(state, team).await?),
        _ => None,
    };
    let (mut tx, leased) = lease::leased_task(&state.db, effect.durability(), task, token).await?;
    ensure_attempt_is_open(&mut tx, leased.run_id, caller).await?;
    let now = state.ambient.now();
    let method = effect.method();
    if let Some(answer) = journal::find(&mut tx, state, leased.run_id, method, caller).await? {
        lease::renew(state, &mut tx, &leased, now, leased.last_batch).await?;
        tx.commit().await?;
        return Ok(CallAnswer::Ok(reply(method, answer)));
    }
    let done = match journal::ensure_below_limit(&mut tx, leased.run_id).await {
        Ok(()) => perform(state, &mut tx, &leased, now, (caller, of_owner), effect).await,
        Err(stop) => Err(stop),
    };
    match into_answer(done)? {
        CallAnswer::Ok(answer) => {
            journal::record(&mut tx, state, leased.run_id, now, method, caller, &answer).await?;
            lease::renew(state, &mut tx, &leased, now, leased.last_batch).await?;
            tx.commit().await?;
            if method == EMAIL {
                state.mail_queued();
            }
            Ok(CallAnswer::Ok(reply(method, answer)))
        }
        refused @ CallAnswer::Refused(_) => {
            // What was begun for it is undone; the executor is running on, so its lease is renewed.
            drop(tx);
            let (mut tx, leased) = lease::leased_task(&state.db, LeaseWrite::Commit, task, token).await?;
            lease::renew(state, &mut tx, &leased, now, leased.last_batch).await?;
            tx.commit().await?;
            Ok(refused)
        }
    }
}

async fn perform(
    state: &DomainState,
    tx: &mut TeamTx,
    leased: &lease::LeasedTask,
    now: restroy_sdk::time::Timestamp,
    (caller, of_owner): (&CallingAttempt, Option<email::OwnerAllowance>),
    effect: Effect<'_>,
) -> CallOutcome {
    check_declared(state, tx, leased, caller, effect.capability()).await?;
    let board = leased.board_id;
    match effect {
        Effect::Artifact { name, content } => {
            artifact::keep(state, tx, leased.run_id, now, &caller.step.step, name, content).await
        }
        Effect::Call(call) => match call {
            CallKind::KvGet { key } => kv::get(tx, board, now, &key).await,
            CallKind::KvList { prefix, after, limit } => {
                kv::list(tx, board, now, &prefix, after.as_deref(), limit).await
            }
            CallKind::KvSet { key, value, ttl_ms } => kv::set(tx, board, now, &key, &value, ttl_ms).await,
            CallKind::KvDelete { key } => kv::delete(tx, board, now, &key).await,
            CallKind::KvIncr { key, by, ttl_ms } => kv::incr(tx, board, now, &key, by, ttl_ms).await,
            CallKind::KvCas { key, expected, value, ttl_ms } => {
                kv::compare_and_set(tx, board, now, &key, expected.as_ref(), value.as_ref(), ttl_ms).await
            }
            CallKind::EmailSend { to, subject, text, html, reply_to } => {
                let mail = email::OutgoingEmail { to, subject, text, html, reply_to };
                email::send(state, tx, leased.run_id, now, &caller.key, &mail, of_owner).await
            }
            CallKind::HttpAnswered { request, answer } => {
                http::journal_entry(tx, leased.run_id, &request, answer).await
            }
            CallKind::HttpRecall { request } => http::recall(tx, state, leased.run_id, caller, &request).await,
        },
    }
}

/// What the executor is answered for a journaled call: it has the answers of HTTP requests already.
fn reply(method: &str, journaled: Value) -> Value {
    if method == http::METHOD { Value::Null } else { journaled }
}

fn into_answer(done: CallOutcome) -> DomainResult<CallAnswer> {
    match done {
        Ok(value) => Ok(CallAnswer::Ok(value)),
        Err(CallFailure::Refused(error)) => Ok(CallAnswer::Refused(error)),
        Err(CallFailure::Fault(error)) => Err(error),
    }
}

/// A step does what its version declared.
async fn check_declared(
    state: &DomainState,
    tx: &mut TeamTx,
    leased: &lease::LeasedTask,
    caller: &CallingAttempt,
    capability: EffectCapability,
) -> Result<(), CallFailure> {
    if state.allowed.declares(tx, leased.version_id, &caller.step.step, capability).await? {
        return Ok(());
    }
    let name = capability.as_str();
    Err(refusal("not_granted", format!("this script is not allowed to use {name}: its step has no `allow.{name}`")))
}

/// Only an attempt that may still be running calls, and only under a key that can be kept.
async fn ensure_attempt_is_open(
    tx: &mut TeamTx,
    run: restroy_sdk::ids::RunId,
    caller: &CallingAttempt,
) -> DomainResult<()> {
    if caller.key.is_empty() || caller.key.len() > MAX_KEY || caller.key.chars().any(char::is_control) {
        let detail = format!("An idempotency key has 1 to {MAX_KEY} bytes and no control characters.");
        return Err(DomainError::invalid_field("/key", detail));
    }
    if caller.step.step.contains('\0') {
        return Err(DomainError::invalid_field("/step/step", "a step's name has no character U+0000"));
    }
    if !steps::is_attempt_open(tx, run, &caller.step).await? {
        let detail = format!(
            "The run has no running attempt {} of `{}`: it cannot make calls.",
            caller.step.attempt, caller.step.step
        );
        return Err(DomainError::invalid_field("/step", detail));
    }
    Ok(())
}
