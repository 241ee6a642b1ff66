//! The client of the run API.
//!
//! Transient failures are tried again for as long as the lease may still be held: a report that
//! comes late is worth more than an attempt executed twice. A 409 says that the lease is gone; from
//! then on nothing is sent, and [`TaskApi::lost`] tells everybody at work on the task.

use std::{
    fmt::Write as _,
    path::Path,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use reqwest::{Method, StatusCode, header};
use restroy_run_queue::run_api::{
    Batch, BatchAnswer, Call, CallAnswer, Claim, Claimed, Heartbeat, HeartbeatAnswer, Lease, PROTOCOL, Released,
};
use restroy_sdk::{event::StepRef, ids::TaskId, problem::Problem};
use rustls::pki_types::{CertificateDer, pem::PemObject as _};
use serde::{Serialize, de::DeserializeOwned};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use url::Url;
use uuid::Uuid;

use crate::{
    config::ExecutorError,
    egress::Egress,
    metrics::{self, Metrics},
};

/// How long one exchange may take, the plan's transfer included.
const EXCHANGE: Duration = Duration::from_secs(15);
/// The largest answer that is read: a plan with a document and outputs.
const ANSWER_BYTES: usize = 256 * 1024 * 1024;
const FIRST_PAUSE: Duration = Duration::from_millis(20);
const LONGEST_PAUSE: Duration = Duration::from_secs(2);
/// How often a claim is tried. The task stays admitted, so giving up costs a little time only.
const CLAIM_TRIES: u32 = 4;

/// Why a request had no success.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ApiError {
    /// It cannot be reached, or broke off. Another try may help.
    #[error("the run API cannot be reached: {0}")]
    Unreachable(String),
    /// It answers that it cannot just now. Another try may help.
    #[error("the run API does not answer: {0}")]
    Transient(String),
    /// The answer is no.
    #[error("the run API refused: {0}")]
    Refused(Box<Problem>),
    /// The answer makes no sense.
    #[error("the run API's answer cannot be read: {0}")]
    Unreadable(String),
}

/// The lease is gone: nothing of this task may be done or reported any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the task's lease was lost")]
pub(crate) struct Lost;

/// The run API, as one executor sees it.
#[derive(Debug)]
pub(crate) struct RunApi {
    http: reqwest::Client,
    base: Url,
    credential: String,
    engine_id: String,
    pub(crate) metrics: Metrics,
}

impl RunApi {
    pub(crate) fn new(
        address: &str,
        credential: &str,
        engine_id: &str,
        authority: Option<&Path>,
        metrics: Metrics,
    ) -> Result<Self, ExecutorError> {
        let wrong = || ExecutorError::Address(address.to_owned());
        let mut base = Url::parse(address).map_err(|_| wrong())?;
        let loopback = match base.host().ok_or_else(wrong)? {
            url::Host::Domain(name) => name == "localhost",
            url::Host::Ipv4(ip) => ip.is_loopback(),
            url::Host::Ipv6(ip) => ip.is_loopback(),
        };
        match base.scheme() {
            "https" => {}
            "http" if loopback => {}
            "http" => return Err(ExecutorError::Plaintext(address.to_owned())),
            _ => return Err(wrong()),
        }
        if !base.path().ends_with('/') {
            base.set_path(&format!("{}/", base.path()));
        }
        let builder = match authority {
            Some(path) => crate::capability::http::client_builder_trusting(
                authorities(path).map_err(|error| ExecutorError::Authority { path: path.to_owned(), error })?,
            ),
            None => crate::capability::http::client_builder(),
        };
        let http = builder
            .map_err(ExecutorError::Http)?
            .timeout(EXCHANGE)
            .tcp_nodelay(true)
            .build()
            .map_err(|error| ExecutorError::Http(error.to_string()))?;
        Ok(Self { http, base, credential: credential.to_owned(), engine_id: engine_id.to_owned(), metrics })
    }

    pub(crate) fn engine_id(&self) -> &str {
        &self.engine_id
    }

    /// Says that this executor is there.
    pub(crate) async fn heartbeat(&self, slots: u32) -> Result<HeartbeatAnswer, ApiError> {
        let beat = Heartbeat { protocol: PROTOCOL, engine_id: self.engine_id.clone(), slots };
        let answer = self.post("run/v1/executors/heartbeat", &self.credential, json(&beat)?).await;
        self.metrics.heartbeat(answer.is_ok());
        answer
    }

    /// Claims a task; none when it is not there to be claimed. `claim_id` is this claim's own: sent again,
    /// it is granted again.
    pub(crate) async fn claim(&self, task_id: TaskId, claim_id: Uuid) -> Result<Option<(Claimed, Instant)>, ApiError> {
        let claimed = self.try_claim(task_id, claim_id).await;
        self.metrics.claim(match &claimed {
            Ok(Some(_)) => metrics::Claimed::Taken,
            Ok(None) => metrics::Claimed::NotThere,
            Err(_) => metrics::Claimed::Failed,
        });
        claimed
    }

    async fn try_claim(&self, task_id: TaskId, claim_id: Uuid) -> Result<Option<(Claimed, Instant)>, ApiError> {
        let body = json(&Claim { protocol: PROTOCOL, engine_id: self.engine_id.clone(), claim_id: Some(claim_id) })?;
        let path = format!("run/v1/tasks/{task_id}/claim");
        let mut pause = FIRST_PAUSE;
        let mut tries = 1;
        loop {
            let asked = Instant::now();
            match self.post(&path, &self.credential, body.clone()).await {
                Ok(claimed) => return Ok(Some((claimed, asked))),
                Err(ApiError::Refused(problem)) if problem.status == StatusCode::CONFLICT.as_u16() => return Ok(None),
                Err(ApiError::Unreachable(reason) | ApiError::Transient(reason)) if tries < CLAIM_TRIES => {
                    tracing::debug!(%task_id, reason, "the claim is tried again");
                }
                Err(error) => return Err(error),
            }
            tokio::time::sleep(pause).await;
            tries += 1;
            pause = (pause * 4).min(LONGEST_PAUSE);
        }
    }

    async fn post<T: DeserializeOwned>(&self, path: &str, token: &str, body: Bytes) -> Result<T, ApiError> {
        let request =
            self.request(Method::POST, path, token)?.header(header::CONTENT_TYPE, "application/json").body(body);
        send(request).await
    }

    fn request(&self, method: Method, path: &str, token: &str) -> Result<reqwest::RequestBuilder, ApiError> {
        let url = self.base.join(path).map_err(|error| ApiError::Unreadable(error.to_string()))?;
        Ok(self.http.request(method, url).bearer_auth(token))
    }
}

/// Whether nothing of the task can be done any more: its token is not good, or it is not there.
fn is_for_good(problem: &Problem) -> bool {
    matches!(problem.status, 401 | 403 | 404)
}

/// The certificates in a file.
fn authorities(path: &Path) -> Result<rustls::RootCertStore, String> {
    let mut roots = rustls::RootCertStore::empty();
    for certificate in CertificateDer::pem_file_iter(path).map_err(|error| error.to_string())? {
        let certificate = certificate.map_err(|error| format!("it is no PEM: {error}"))?;
        roots.add(certificate).map_err(|error| error.to_string())?;
    }
    if roots.is_empty() { Err("it holds no certificate as PEM".to_owned()) } else { Ok(roots) }
}

fn json(body: &impl Serialize) -> Result<Bytes, ApiError> {
    serde_json::to_vec(body).map(Bytes::from).map_err(|error| ApiError::Unreadable(error.to_string()))
}

fn form(fields: &[(&str, Option<&str>)]) -> String {
    let fields = fields.iter().filter_map(|(name, value)| Some((*name, (*value)?)));
    url::form_urlencoded::Serializer::new(String::new()).extend_pairs(fields).finish()
}

/// An error with what it came from: "error sending request" alone helps nobody.
fn with_causes(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let _ = write!(text, ": {error}");
        cause = error.source();
    }
    text
}

async fn send<T: DeserializeOwned>(request: reqwest::RequestBuilder) -> Result<T, ApiError> {
    let unreachable = |error: reqwest::Error| ApiError::Unreachable(with_causes(&error.without_url()));
    let mut response = request.send().await.map_err(unreachable)?;
    let status = response.status();
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(unreachable)? {
        if body.len() + chunk.len() > ANSWER_BYTES {
            return Err(ApiError::Unreadable(format!("it is longer than {ANSWER_BYTES} bytes")));
        }
        body.extend_from_slice(&chunk);
    }
    if status.is_success() {
        return serde_json::from_slice(&body).map_err(|error| ApiError::Unreadable(error.to_string()));
    }
    if status.is_server_error() || matches!(status, StatusCode::TOO_MANY_REQUESTS | StatusCode::REQUEST_TIMEOUT) {
        return Err(ApiError::Transient(format!("it answers {status}")));
    }
    let problem = serde_json::from_slice(&body).unwrap_or_else(|_| Problem {
        kind: "about:blank".to_owned(),
        title: status.canonical_reason().unwrap_or("refused").to_owned(),
        status: status.as_u16(),
        detail: None,
        code: restroy_sdk::problem::ProblemCode::Unknown,
        errors: Vec::new(),
        limit: None,
        challenge: None,
        request_id: None,
    });
    Err(ApiError::Refused(Box::new(problem)))
}

/// The run API for one task under one fence.
#[derive(Debug)]
pub(crate) struct TaskApi {
    api: std::sync::Arc<RunApi>,
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
}

impl ApiError {
    /// Whether it is this executor that cannot work, whatever it is asked to do: another may.
    pub(crate) fn is_ours(&self) -> bool {
        match self {
            Self::Unreachable(_) => true,
            Self::Refused(problem) => matches!(problem.status, 401 | 403),
            Self::Transient(_) | Self::Unreadable(_) => false,
        }
    }
}

/// Why a batch was not taken.
#[derive(Debug)]
pub(crate) enum NotTaken {
    /// The lease is gone.
    Lost,
    /// The control-plane finds fault with it, and would again.
    Refused(Box<Problem>),
}

/// What becomes of a call.
#[derive(Debug)]
pub(crate) enum CallEnd {
    /// An answer, of whichever kind.
    Answered(CallAnswer),
    /// The run API does not take the call.
    Refused(Box<Problem>),
}

impl TaskApi {
    pub(crate) fn new(
        api: std::sync::Arc<RunApi>,
        task_id: TaskId,
        token: String,
        lease_ms: u64,
        claimed_at: Instant,
        egress_left: Option<u64>,
    ) -> Self {
        Self {
            api,
            task_id,
            token,
            held_until: Mutex::new(claimed_at + Duration::from_millis(lease_ms)),
            lease_ms: AtomicU64::new(lease_ms),
            renewals: AtomicU64::new(0),
            egress: Egress::new(egress_left),
            lost: CancellationToken::new(),
        }
    }

    pub(crate) fn engine_id(&self) -> &str {
        self.api.engine_id()
    }

    /// How long a lease lasts.
    pub(crate) fn lease(&self) -> Duration {
        Duration::from_millis(self.lease_ms.load(Ordering::Relaxed))
    }

    /// How often the lease was renewed so far.
    pub(crate) fn renewals(&self) -> u64 {
        self.renewals.load(Ordering::Relaxed)
    }

    /// Reports. A repost of the same batch is the same bytes: the control-plane takes it once.
    pub(crate) async fn events(&self, batch: &Batch) -> Result<BatchAnswer, NotTaken> {
        let Ok(body) = json(batch) else {
            self.give_up("a batch has no JSON form");
            return Err(NotTaken::Lost);
        };
        let begun = Instant::now();
        let answer: BatchAnswer = match self.exchange(Method::POST, "events", "application/json", body).await {
            Ok(answer) => {
                self.api.metrics.report(begun.elapsed());
                answer
            }
            Err(Trouble::Lost) => return Err(NotTaken::Lost),
            Err(Trouble::Refused(problem)) if is_for_good(&problem) => {
                self.give_up(&problem.to_string());
                return Err(NotTaken::Lost);
            }
            Err(Trouble::Refused(problem)) => return Err(NotTaken::Refused(problem)),
        };
        self.lease_ms.store(answer.lease_ms, Ordering::Relaxed);
        self.egress.told(answer.egress_left);
        Ok(answer)
    }

    /// Keeps the lease.
    pub(crate) async fn renew(&self) -> Result<(), Lost> {
        match self.exchange::<Lease>(Method::POST, "renew", "application/json", Bytes::from_static(b"{}")).await {
            Ok(lease) => {
                self.lease_ms.store(lease.lease_ms, Ordering::Relaxed);
                Ok(())
            }
            Err(Trouble::Lost) => Err(Lost),
            Err(Trouble::Refused(problem)) => Err(self.give_up(&problem.to_string())),
        }
    }

    /// Gives the task back: another executor may claim it at once. Nothing may be reported any more.
    pub(crate) async fn release(&self) -> Result<(), Lost> {
        match self.exchange::<Released>(Method::POST, "release", "application/json", Bytes::from_static(b"{}")).await {
            Ok(Released {}) => {
                self.lost.cancel();
                Ok(())
            }
            Err(Trouble::Lost) => Err(Lost),
            Err(Trouble::Refused(problem)) => Err(self.give_up(&problem.to_string())),
        }
    }

    /// Has a host call carried out.
    pub(crate) async fn call(&self, call: &Call) -> Result<CallEnd, Lost> {
        let Ok(body) = json(call) else { return Err(self.give_up("a call has no JSON form")) };
        self.answer(self.exchange(Method::POST, "calls", "application/json", body).await)
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
    ) -> Result<CallEnd, Lost> {
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
        self.answer(self.exchange(Method::PUT, &path, content_type, content).await)
    }

    fn answer(&self, end: Result<CallAnswer, Trouble>) -> Result<CallEnd, Lost> {
        match end {
            Ok(answer) => Ok(CallEnd::Answered(answer)),
            Err(Trouble::Lost) => Err(Lost),
            Err(Trouble::Refused(problem)) if is_for_good(&problem) => Err(self.give_up(&problem.to_string())),
            // What is wrong with a call is for its script to hear.
            Err(Trouble::Refused(problem)) => Ok(CallEnd::Refused(problem)),
        }
    }

    /// Sends until there is an answer or the lease is surely lost.
    async fn exchange<T: DeserializeOwned>(
        &self,
        method: Method,
        path: &str,
        content_type: &str,
        body: Bytes,
    ) -> Result<T, Trouble> {
        let path = format!("run/v1/tasks/{}/{path}", self.task_id);
        let mut pause = FIRST_PAUSE;
        loop {
            if self.lost.is_cancelled() {
                return Err(Trouble::Lost);
            }
            let sent = Instant::now();
            let held_until = *self.held_until.lock().unwrap_or_else(PoisonError::into_inner);
            let request = self.api.request(method.clone(), &path, &self.token).map(|request| {
                // Past the lease's end no answer is of any use.
                let patience = (held_until.saturating_duration_since(sent)).clamp(FIRST_PAUSE, EXCHANGE);
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
                    self.lost.cancel();
                    return Err(Trouble::Lost);
                }
                Err(ApiError::Refused(problem)) => return Err(Trouble::Refused(problem)),
                Err(ApiError::Unreachable(reason) | ApiError::Transient(reason) | ApiError::Unreadable(reason)) => {
                    reason
                }
            };
            if Instant::now() + pause >= held_until {
                self.give_up(&reason);
                return Err(Trouble::Lost);
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
    fn give_up(&self, reason: &str) -> Lost {
        tracing::error!(task_id = %self.task_id, reason, "the task is given up");
        self.lost.cancel();
        Lost
    }
}

enum Trouble {
    Lost,
    Refused(Box<Problem>),
}
