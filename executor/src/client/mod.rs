//! The client of the run API: what an executor asks, and how anything is sent there. What it asks about a task
//! that it has is in [`task`].

mod task;
mod tls;

use std::{fmt::Write as _, time::Duration};

use bytes::Bytes;
use reqwest::{Method, StatusCode, header};
use restroy_run_queue::run_api::{
    Claim, Claimed, Heartbeat, HeartbeatAnswer, HeldTask, Listen, PROTOCOL, Released, Signal,
};
use restroy_sdk::{
    ids::TaskId,
    problem::{Problem, ProblemCode},
};
use serde::{Serialize, de::DeserializeOwned};
use tokio::time::Instant;
use url::Url;
use uuid::Uuid;

use crate::{
    config::{ExecutorConfig, ExecutorError},
    metrics::{self, Metrics},
};

pub(crate) use task::{BatchRejected, CallReply, LeaseLost, TaskApi};

/// How long one exchange may take, the plan's transfer included.
const EXCHANGE: Duration = Duration::from_secs(15);
/// How long a claim may take: it makes the most round trips to the database, which may be far away.
const CLAIM: Duration = Duration::from_secs(45);
/// How long an idle connection is kept: the run API closes it after 30 seconds.
const IDLE: Duration = Duration::from_secs(20);
/// How long a connection for signals is kept before another takes its place.
const LISTENING: Duration = Duration::from_hours(1);
/// The longest line of a signal.
const SIGNAL_BYTES: usize = 64 * 1024;
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
    /// It answers that it cannot at the moment. Another try may help.
    #[error("the run API does not answer: {0}")]
    Transient(String),
    /// The answer is no.
    #[error("the run API refused: {0}")]
    Refused(Box<Problem>),
    /// The answer makes no sense.
    #[error("the run API's answer cannot be read: {0}")]
    Unreadable(String),
}

impl ApiError {
    /// Whether it is this executor that cannot work, whatever it is asked to do: another may.
    pub(crate) fn is_executor_fault(&self) -> bool {
        match self {
            Self::Unreachable(_) => true,
            Self::Refused(problem) => {
                matches!(problem.status, 401 | 403) || problem.code == ProblemCode::SlotsExhausted
            }
            Self::Transient(_) | Self::Unreadable(_) => false,
        }
    }
}

/// The run API, as one executor sees it.
#[derive(Debug)]
pub(crate) struct RunApi {
    http: reqwest::Client,
    /// For what scripts ask: a connection is served by the threads that opened it, and those of scripts
    /// must not hold up a report or a renewal.
    http_of_scripts: reqwest::Client,
    base: Url,
    credential: String,
    engine_id: String,
    pub(crate) metrics: Metrics,
}

impl RunApi {
    pub(crate) fn new(config: &ExecutorConfig, engine_id: &str, metrics: Metrics) -> Result<Self, ExecutorError> {
        let (address, credential) = (config.run_api_url.as_str(), config.credential.clone());
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
        let client = || {
            tls::builder(config.run_api_ca.as_deref(), config.run_api_client.as_ref())?
                .timeout(EXCHANGE)
                .pool_idle_timeout(IDLE)
                .tcp_nodelay(true)
                .build()
                .map_err(|error| ExecutorError::Http(error.to_string()))
        };
        let (http, http_of_scripts) = (client()?, client()?);
        Ok(Self { http, http_of_scripts, base, credential, engine_id: engine_id.to_owned(), metrics })
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

    /// Listens for what becomes of the tasks that are held, and of those that are claimed from now on.
    pub(crate) async fn signals(&self, held: Vec<HeldTask>) -> Result<SignalStream, ApiError> {
        let body = json(&Listen { protocol: PROTOCOL, held })?;
        let request = self
            .request(&self.http, Method::POST, "run/v1/executors/signals", &self.credential)?
            .timeout(LISTENING)
            .header(header::CONTENT_TYPE, "application/json")
            .body(body);
        let response = tokio::time::timeout(EXCHANGE, request.send())
            .await
            .map_err(|_| ApiError::Unreachable("no answer in time".to_owned()))?
            .map_err(|error| ApiError::Unreachable(with_causes(&error.without_url())))?;
        if response.status().is_success() {
            return Ok(SignalStream { response, read: Vec::new() });
        }
        match answered::<Released>(response).await {
            Err(error) => Err(error),
            Ok(Released {}) => Err(ApiError::Unreadable(
                "its response is neither acceptance nor \
                rejection"
                    .to_owned(),
            )),
        }
    }

    /// Confirms that nothing is done any more for a task whose run was ended by others.
    pub(crate) async fn stopped(&self, task_id: TaskId) -> Result<(), ApiError> {
        let path = format!("run/v1/tasks/{task_id}/stopped");
        self.post(&path, &self.credential, Bytes::from_static(b"{}")).await.map(|Released {}| ())
    }

    /// Claims a task; none when it is not there to be claimed. `claim_id` is this claim's own: sent again,
    /// it is granted again.
    pub(crate) async fn claim(&self, task_id: TaskId, claim_id: Uuid) -> Result<Option<(Claimed, Instant)>, ApiError> {
        let claimed = self.try_claim(task_id, claim_id).await;
        self.metrics.claim(match &claimed {
            Ok(Some(_)) => metrics::ClaimOutcome::Taken,
            Ok(None) => metrics::ClaimOutcome::NotThere,
            Err(_) => metrics::ClaimOutcome::Failed,
        });
        claimed
    }

    async fn try_claim(&self, task_id: TaskId, claim_id: Uuid) -> Result<Option<(Claimed, Instant)>, ApiError> {
        let body = json(&Claim {
            protocol: PROTOCOL,
            engine_id: self.engine_id.clone(),
            claim_id: Some(claim_id),
            confirms: true,
            fetches_outputs: true,
        })?;
        let path = format!("run/v1/tasks/{task_id}/claim");
        let mut pause = FIRST_PAUSE;
        let mut tries = 1;
        loop {
            let asked = Instant::now();
            let request = self
                .request(&self.http, Method::POST, &path, &self.credential)?
                .header(header::CONTENT_TYPE, "application/json")
                .timeout(CLAIM)
                .body(body.clone());
            match send(request).await {
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
        let request = self
            .request(&self.http, Method::POST, path, token)?
            .header(header::CONTENT_TYPE, "application/json")
            .body(body);
        send(request).await
    }

    fn request(
        &self,
        client: &reqwest::Client,
        method: Method,
        path: &str,
        token: &str,
    ) -> Result<reqwest::RequestBuilder, ApiError> {
        let url = self.base.join(path).map_err(|error| ApiError::Unreadable(error.to_string()))?;
        Ok(client.request(method, url).bearer_auth(token))
    }
}

fn json(body: &impl Serialize) -> Result<Bytes, ApiError> {
    serde_json::to_vec(body).map(Bytes::from).map_err(|error| ApiError::Unreadable(error.to_string()))
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

/// The signals, as they come.
#[derive(Debug)]
pub(crate) struct SignalStream {
    response: reqwest::Response,
    /// What was read and is not handed on yet.
    read: Vec<u8>,
}

impl SignalStream {
    /// The next one; none at the end. Losing the future loses nothing that was read.
    pub(crate) async fn next(&mut self) -> Result<Option<Signal>, ApiError> {
        loop {
            if let Some(end) = self.read.iter().position(|byte| *byte == b'\n') {
                let line: Vec<u8> = self.read.drain(..=end).collect();
                let signal = serde_json::from_slice(&line).map_err(|error| ApiError::Unreadable(error.to_string()))?;
                return Ok(Some(signal));
            }
            if self.read.len() > SIGNAL_BYTES {
                return Err(ApiError::Unreadable(format!("a signal is longer than {SIGNAL_BYTES} bytes")));
            }
            let unreachable = |error: reqwest::Error| ApiError::Unreachable(with_causes(&error.without_url()));
            match self.response.chunk().await.map_err(unreachable)? {
                Some(chunk) => self.read.extend_from_slice(&chunk),
                None => return Ok(None),
            }
        }
    }
}

async fn send<T: DeserializeOwned>(request: reqwest::RequestBuilder) -> Result<T, ApiError> {
    let unreachable = |error: reqwest::Error| ApiError::Unreachable(with_causes(&error.without_url()));
    answered(request.send().await.map_err(unreachable)?).await
}

async fn answered<T: DeserializeOwned>(mut response: reqwest::Response) -> Result<T, ApiError> {
    let unreachable = |error: reqwest::Error| ApiError::Unreachable(with_causes(&error.without_url()));
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
    let problem: Option<Problem> = serde_json::from_slice(&body).ok();
    // No slot is free until a task ends: asking again at once is in vain.
    let exhausted = problem.as_ref().is_some_and(|problem| problem.code == ProblemCode::SlotsExhausted);
    let transient = matches!(status, StatusCode::TOO_MANY_REQUESTS | StatusCode::REQUEST_TIMEOUT) && !exhausted;
    if status.is_server_error() || transient {
        return Err(ApiError::Transient(format!("it answers {status}")));
    }
    let problem = problem.unwrap_or_else(|| Problem {
        kind: "about:blank".to_owned(),
        title: status.canonical_reason().unwrap_or("refused").to_owned(),
        status: status.as_u16(),
        detail: None,
        code: ProblemCode::Unknown,
        errors: Vec::new(),
        limit: None,
        challenge: None,
        request_id: None,
    });
    Err(ApiError::Refused(Box::new(problem)))
}
