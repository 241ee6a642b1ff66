//! The run API for one task.
//!
//! Transient failures are tried again for as long as the lease may still be held: a report that comes late is worth
//! more than an attempt executed twice. A 409 says that the lease is gone; from then on nothing is sent, and
//! [`TaskApi::lost`] informs everybody working on the task.

use std::{
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use reqwest::{Method, StatusCode, header};
use restroy_run_queue::run_api::{
    BatchAnswer, Call, CallAnswer, Lease, OutputsPage, OutputsRequest, ReleaseReason, Released, Suspend,
};
use restroy_sdk::{
    event::StepRef,
    ids::TaskId,
    problem::{Problem, ProblemCode},
};
use serde::{Serialize, de::DeserializeOwned};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::{ApiError, EXCHANGE, FIRST_PAUSE, LONGEST_PAUSE, RunApi, json, send};
use crate::{egress::Egress, signals::ReleaseCell};

/// How long the first request may take of a process that stood still until its lease had ended: the answer says
/// whether the task is still its own.
const LATE_PATIENCE: Duration = Duration::from_secs(1);

/// The lease is gone: nothing of this task may be done or reported any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the task's lease was lost")]
pub(crate) struct LeaseLost;

/// The run API for one task under one fence.
#[derive(Debug)]
pub(crate) struct TaskApi {
    api: Arc<RunApi>,
    task_id: TaskId,
    token: String,
    /// Until when the lease is held for sure; counted from the sending of what renewed it.
    held_until: Mutex<Instant>,
    lease_ms: AtomicU64,
    /// Counts the renewals.
    renewals: AtomicU64,
    /// What the task's scripts may still send.
    pub(crate) egress: Egress,
    /// Triggered once the lease is gone.
    pub(crate) lost: CancellationToken,
    release: ReleaseCell,
}

/// Why a batch was not taken.
#[derive(Debug)]
pub(crate) enum BatchRejected {
    /// The lease is gone.
    Lost,
    /// The control-plane finds error with it, and would again.
    Refused(Box<Problem>),
}

/// What becomes of a call.
#[derive(Debug)]
pub(crate) enum CallReply {
    /// An answer, of whichever kind.
    Answered(CallAnswer),
    /// The run API does not take the call.
    Refused(Box<Problem>),
}

impl TaskApi {
    pub(crate) fn new(
        api: Arc<RunApi>,
        task_id: TaskId,
        token: String,
        lease_ms: u64,
        claimed_at: Instant,
        egress_left: Option<u64>,
        release: ReleaseCell,
    ) -> Self {
        Self {
            api,
            task_id,
            token,
            held_until: Mutex::new(claimed_at + Duration::from_millis(lease_ms)),
            lease_ms: AtomicU64::new(lease_ms),
            renewals: AtomicU64::new(0),
            egress: Egress::new(egress_left),
            lost: release.token.clone(),
            release,
        }
    }

    pub(crate) fn engine_id(&self) -> &str {
        self.api.engine_id()
    }

    /// How long a lease lasts.
    pub(crate) fn lease(&self) -> Duration {
        Duration::from_millis(self.lease_ms.load(Ordering::Relaxed))
    }

    /// Why the lease is gone, if that is known.
    pub(crate) fn release_reason(&self) -> Option<ReleaseReason> {
        self.release.reason()
    }

    /// Whether an answer of the run API has confirmed the lease within `span`.
    pub(crate) fn was_renewed_within(&self, span: Duration) -> bool {
        let held_until = *self.held_until.lock().unwrap_or_else(PoisonError::into_inner);
        held_until.saturating_duration_since(Instant::now()) + span > self.lease()
    }

    /// Whether the lease may have ended, as far as is known here.
    pub(crate) fn is_overdue(&self) -> bool {
        Instant::now() >= *self.held_until.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Lets the task go whose lease has ended without progress.
    pub(crate) fn expire(&self) {
        self.give_up("its lease ended without progress");
    }

    /// How often the lease was renewed so far.
    pub(crate) fn renewals(&self) -> u64 {
        self.renewals.load(Ordering::Relaxed)
    }

    /// Fetches outputs of steps that ended under an earlier lease.
    pub(crate) async fn outputs(&self, request: &OutputsRequest) -> Result<OutputsPage, LeaseLost> {
        let Ok(body) = json(request) else { return Err(self.give_up("a request has no JSON form")) };
        match self.exchange(Exchange::post("outputs", body)).await {
            Ok(page) => Ok(page),
            Err(ExchangeError::Lost) => Err(LeaseLost),
            Err(ExchangeError::Refused(problem)) => Err(self.give_up(&problem.to_string())),
        }
    }

    /// Reports. A repost of the same batch is the same bytes: the control-plane takes it once.
    pub(crate) async fn events(&self, batch: &(impl Serialize + Sync)) -> Result<BatchAnswer, BatchRejected> {
        let Ok(body) = json(batch) else {
            self.give_up("a batch has no JSON form");
            return Err(BatchRejected::Lost);
        };
        let begun = Instant::now();
        let answer: BatchAnswer = match self.exchange(Exchange::post("events", body)).await {
            Ok(answer) => {
                self.api.metrics.report(begun.elapsed());
                answer
            }
            Err(ExchangeError::Lost) => return Err(BatchRejected::Lost),
            Err(ExchangeError::Refused(problem)) if is_permanent(&problem) => {
                self.give_up(&problem.to_string());
                return Err(BatchRejected::Lost);
            }
            Err(ExchangeError::Refused(problem)) => return Err(BatchRejected::Refused(problem)),
        };
        self.lease_ms.store(answer.lease_ms, Ordering::Relaxed);
        self.egress.set_left(answer.egress_left);
        Ok(answer)
    }

    /// Keeps the lease.
    pub(crate) async fn renew(&self) -> Result<(), LeaseLost> {
        match self.exchange::<Lease>(Exchange::post("renew", Bytes::from_static(b"{}"))).await {
            Ok(lease) => {
                self.lease_ms.store(lease.lease_ms, Ordering::Relaxed);
                Ok(())
            }
            Err(ExchangeError::Lost) => Err(LeaseLost),
            Err(ExchangeError::Refused(problem)) => Err(self.give_up(&problem.to_string())),
        }
    }

    /// Asks whether the task is still held, on behalf of a script; keeps the lease as well.
    pub(crate) async fn confirm_held(&self) -> Result<(), LeaseLost> {
        let request = Exchange::post("renew", Bytes::from_static(b"{}")).for_script();
        match self.exchange::<Lease>(request).await {
            Ok(_) => Ok(()),
            Err(ExchangeError::Lost) => Err(LeaseLost),
            Err(ExchangeError::Refused(problem)) => Err(self.give_up(&problem.to_string())),
        }
    }

    /// Gives the task back: another executor may claim it at once. Nothing may be reported any more.
    pub(crate) async fn release(&self) -> Result<(), LeaseLost> {
        match self.exchange::<Released>(Exchange::post("release", Bytes::from_static(b"{}"))).await {
            Ok(Released {}) => {
                self.lost.cancel();
                Ok(())
            }
            Err(ExchangeError::Lost) => Err(LeaseLost),
            Err(ExchangeError::Refused(problem)) => Err(self.give_up(&problem.to_string())),
        }
    }

    /// Gives the task back until the first of these attempts is due. False when the control-plane does not take
    /// it, and the task stays here.
    pub(crate) async fn suspend(&self, waiting: Vec<StepRef>) -> Result<bool, LeaseLost> {
        let Ok(body) = json(&Suspend { waiting }) else { return Ok(false) };
        match self.exchange::<Released>(Exchange::post("suspend", body)).await {
            Ok(Released {}) => {
                self.lost.cancel();
                Ok(true)
            }
            Err(ExchangeError::Lost) => Err(LeaseLost),
            Err(ExchangeError::Refused(problem)) => {
                tracing::debug!(task_id = %self.task_id, %problem, "the run is not suspended");
                Ok(false)
            }
        }
    }

    /// Has a host call carried out.
    pub(crate) async fn call(&self, call: &Call) -> Result<CallReply, LeaseLost> {
        let Ok(body) = json(call) else { return Err(self.give_up("a call has no JSON form")) };
        self.answer(self.exchange(Exchange::post("calls", body).for_script()).await)
    }

    /// Keeps an artifact.
    pub(crate) async fn artifact(
        &self,
        step: &StepRef,
        call_number: u32,
        key: &str,
        name: &str,
        content_type: &str,
        content: Bytes,
    ) -> Result<CallReply, LeaseLost> {
        let index = step.index.map(|index| index.to_string());
        let (attempt, call_number) = (step.attempt.to_string(), call_number.to_string());
        let query = [
            ("step", Some(step.step.as_str())),
            ("index", index.as_deref()),
            ("attempt", Some(&attempt)),
            ("call_number", Some(&call_number)),
            ("key", Some(key)),
            ("name", Some(name)),
        ];
        let path = format!("artifacts?{}", form(&query));
        let request = Exchange { method: Method::PUT, content_type, ..Exchange::post(&path, content) };
        self.answer(self.exchange(request.for_script()).await)
    }

    fn answer(&self, end: Result<CallAnswer, ExchangeError>) -> Result<CallReply, LeaseLost> {
        match end {
            Ok(answer) => Ok(CallReply::Answered(answer)),
            Err(ExchangeError::Lost) => Err(LeaseLost),
            Err(ExchangeError::Refused(problem)) if is_permanent(&problem) => Err(self.give_up(&problem.to_string())),
            // What is wrong with a call is for its script to hear.
            Err(ExchangeError::Refused(problem)) => Ok(CallReply::Refused(problem)),
        }
    }

    /// Sends until there is an answer or the lease is surely lost.
    async fn exchange<T: DeserializeOwned>(&self, request: Exchange<'_>) -> Result<T, ExchangeError> {
        let Exchange { lane, method, path, content_type, body } = request;
        let client = match lane {
            Lane::Task => &self.api.http,
            Lane::Script => &self.api.http_of_scripts,
        };
        let path = format!("run/v1/tasks/{}/{path}", self.task_id);
        let mut pause = FIRST_PAUSE;
        loop {
            if self.lost.is_cancelled() {
                return Err(ExchangeError::Lost);
            }
            let sent = Instant::now();
            let held_until = *self.held_until.lock().unwrap_or_else(PoisonError::into_inner);
            let request = self.api.request(client, method.clone(), &path, &self.token).map(|request| {
                // Past the lease's end no answer is of any use.
                let left = held_until.saturating_duration_since(sent);
                let patience = if left.is_zero() { LATE_PATIENCE } else { left.clamp(FIRST_PAUSE, EXCHANGE) };
                request.timeout(patience).header(header::CONTENT_TYPE, content_type).body(body.clone())
            });
            let outcome = match request {
                Ok(request) => send(request).await,
                Err(error) => Err(error),
            };
            let reason = match outcome {
                Ok(answer) => {
                    self.renewed(sent);
                    return Ok(answer);
                }
                Err(ApiError::Refused(problem)) if problem.status == StatusCode::CONFLICT.as_u16() => {
                    self.release.set(match problem.code {
                        ProblemCode::RunEnded => ReleaseReason::Ended,
                        _ => ReleaseReason::Taken,
                    });
                    return Err(ExchangeError::Lost);
                }
                Err(ApiError::Refused(problem)) => return Err(ExchangeError::Refused(problem)),
                Err(ApiError::Unreachable(reason) | ApiError::Transient(reason) | ApiError::Unreadable(reason)) => {
                    reason
                }
            };
            if Instant::now() + pause >= held_until {
                self.give_up(&reason);
                return Err(ExchangeError::Lost);
            }
            tracing::warn!(task_id = %self.task_id, reason, "the run API is tried again");
            self.api.metrics.run_api_retry();
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }

    fn renewed(&self, sent: Instant) {
        let until = sent + self.lease();
        let mut held_until = self.held_until.lock().unwrap_or_else(PoisonError::into_inner);
        *held_until = (*held_until).max(until);
        self.renewals.fetch_add(1, Ordering::Relaxed);
    }

    /// Lets go of the task: whoever claims it next carries on from what is committed.
    fn give_up(&self, reason: &str) -> LeaseLost {
        tracing::error!(task_id = %self.task_id, reason, "the task is given up");
        self.lost.cancel();
        LeaseLost
    }
}

/// Which connections a request goes over.
#[derive(Clone, Copy)]
enum Lane {
    /// Those of leases and reports.
    Task,
    /// Those of scripts, which cannot hold the others up.
    Script,
}

/// A request about the task. Sent again, it is the same bytes.
struct Exchange<'a> {
    lane: Lane,
    method: Method,
    /// Below the task's own path.
    path: &'a str,
    content_type: &'a str,
    body: Bytes,
}

impl<'a> Exchange<'a> {
    /// JSON, over the connections of leases and reports.
    fn post(path: &'a str, body: Bytes) -> Self {
        Self { lane: Lane::Task, method: Method::POST, path, content_type: "application/json", body }
    }

    fn for_script(self) -> Self {
        Self { lane: Lane::Script, ..self }
    }
}

enum ExchangeError {
    Lost,
    Refused(Box<Problem>),
}

/// Whether nothing of the task can be done any more: its token is not good, or it is not there.
fn is_permanent(problem: &Problem) -> bool {
    matches!(problem.status, 401 | 403 | 404)
}

fn form(fields: &[(&str, Option<&str>)]) -> String {
    let fields = fields.iter().filter_map(|(name, value)| Some((*name, (*value)?)));
    url::form_urlencoded::Serializer::new(String::new()).extend_pairs(fields).finish()
}
