//! A run API in memory: one run, one task, with fences, batches taken once, a journal and a
//! key-value store; and knobs to make it misbehave.

mod routes;

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    net::SocketAddr,
    sync::{Arc, Mutex, MutexGuard},
};

use axum::{
    Router,
    extract::DefaultBodyLimit,
    http::HeaderMap,
    response::Response,
    routing::{post, put},
};
use restroy_run_queue::run_api::{
    Call, CallAnswer, CallError, CallKind, HeldTask, Plan, ReleaseReason, Signal, StepSettings, StepState,
};
use restroy_sdk::{
    document::Document,
    event::{EventKind, StepRef},
    ids::{BoardId, PipelineId, RunId, TaskId, TeamId},
    limit::LimitValues,
    problem::ProblemCode,
    status::StepStatus,
    time::Timestamp,
};
use serde_json::{Value, json, value::RawValue};
use tokio::sync::{Semaphore, broadcast, watch};
use uuid::Uuid;

/// How the run API misbehaves.
pub(crate) struct Knobs {
    /// So many requests of the given kinds (`events`, `calls`, `renew`, `claim`) get a 503 first; so many
    /// claims a 401 (`credential`).
    pub(crate) unavailable: HashMap<&'static str, usize>,
    /// So many batches are taken, but their answers are lost.
    pub(crate) lost_answers: usize,
    /// A control-plane that is older than outputs that are fetched: they are in the plan.
    pub(crate) sends_outputs: bool,
    /// Batches that speak of a step of this name are refused.
    pub(crate) refuse: Option<&'static str>,
    /// How long a lease lasts, in milliseconds.
    pub(crate) lease_ms: u64,
    /// Each batch takes a permit of this; none: they are taken at once.
    pub(crate) batches: Option<Arc<Semaphore>>,
    /// Each `kv.get` of this key takes a permit of this.
    pub(crate) gate: (&'static str, Arc<Semaphore>),
    /// After this batch of the first fence, the lease is lost.
    pub(crate) lose_after: Option<i64>,
    /// Whether it knows neither signals nor waiting tasks, as older ones do.
    pub(crate) is_old: bool,
    /// Whether the pauses before attempts are over for who claims.
    pub(crate) waits_are_over: bool,
}

impl Default for Knobs {
    fn default() -> Self {
        Self {
            unavailable: HashMap::new(),
            lost_answers: 0,
            sends_outputs: false,
            refuse: None,
            lease_ms: 30_000,
            batches: None,
            gate: ("gate", Arc::new(Semaphore::new(0))),
            lose_after: None,
            is_old: false,
            waits_are_over: false,
        }
    }
}

struct Inner {
    plan: Plan,
    knobs: Knobs,
    fence: i64,
    taken: HashSet<(i64, i64)>,
    batches: usize,
    renewals: usize,
    released: usize,
    fetched: Vec<(String, u32)>,
    events: Vec<EventKind>,
    calls: Vec<Call>,
    kv: BTreeMap<String, Value>,
    journal: HashMap<String, Value>,
    artifacts: BTreeMap<String, (String, Vec<u8>)>,
    refused: usize,
    over: bool,
    /// The run was ended by somebody.
    ended: bool,
    /// Confirmations that an executor has stopped.
    stopped: usize,
    suspensions: Vec<Vec<StepRef>>,
}

/// The run API.
#[derive(Clone)]
pub(crate) struct Api {
    address: SocketAddr,
    inner: Arc<Mutex<Inner>>,
    changed: watch::Sender<u64>,
    signals: broadcast::Sender<Signal>,
}

impl Api {
    /// A run API with one run of this document.
    pub(crate) async fn start(document: Value, files: &[(&str, &str)]) -> Self {
        let document: Document = serde_json::from_value(document).unwrap();
        let plan = Plan {
            task_id: TaskId(Uuid::from_u128(1)),
            run_id: RunId(Uuid::from_u128(2)),
            team_id: TeamId(Uuid::from_u128(3)),
            board_id: BoardId(Uuid::from_u128(4)),
            pipeline_id: PipelineId(Uuid::from_u128(5)),
            pipeline_name: "Test".to_owned(),
            version: 1,
            started_at: Timestamp(0),
            steps: document
                .steps
                .iter()
                .map(|(name, step)| {
                    let config = step.config.clone().into_iter().collect();
                    (name.clone(), StepSettings { config, ..StepSettings::default() })
                })
                .collect(),
            document,
            files: files.iter().map(|(path, text)| ((*path).to_owned(), (*text).to_owned())).collect(),
            library: BTreeMap::new(),
            params: RawValue::from_string("{}".to_owned()).unwrap(),
            seed: "07".repeat(32),
            done: Vec::new(),
            outputs_apart: false,
            limits: LimitValues::default(),
        };
        let inner = Inner {
            plan,
            knobs: Knobs::default(),
            fence: 0,
            taken: HashSet::new(),
            batches: 0,
            renewals: 0,
            released: 0,
            fetched: Vec::new(),
            events: Vec::new(),
            calls: Vec::new(),
            kv: BTreeMap::new(),
            journal: HashMap::new(),
            artifacts: BTreeMap::new(),
            refused: 0,
            over: false,
            ended: false,
            stopped: 0,
            suspensions: Vec::new(),
        };
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (inner, signals) = (Arc::new(Mutex::new(inner)), broadcast::Sender::new(16));
        let api = Self { address, inner, changed: watch::Sender::new(0), signals };
        let app = Router::new()
            .route("/run/v1/executors/heartbeat", post(routes::heartbeat))
            .route("/run/v1/executors/signals", post(routes::signals))
            .route("/run/v1/tasks/{id}/suspend", post(routes::suspend))
            .route("/run/v1/tasks/{id}/stopped", post(routes::stopped))
            .route("/run/v1/tasks/{id}/claim", post(routes::claim))
            .route("/run/v1/tasks/{id}/events", post(routes::events))
            .route("/run/v1/tasks/{id}/renew", post(routes::renew))
            .route("/run/v1/tasks/{id}/outputs", post(routes::outputs))
            .route("/run/v1/tasks/{id}/release", post(routes::release))
            .route("/run/v1/tasks/{id}/calls", post(routes::calls))
            .route("/run/v1/tasks/{id}/artifacts", put(routes::artifacts))
            .layer(DefaultBodyLimit::max(32 * 1024 * 1024))
            .with_state(api.clone());
        tokio::spawn(async move { axum::serve(listener, app).await });
        api
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap()
    }

    /// Changes the plan before it is claimed.
    pub(crate) fn plan(&self, change: impl FnOnce(&mut Plan)) {
        change(&mut self.inner().plan);
    }

    /// Turns knobs.
    pub(crate) fn knobs(&self, turn: impl FnOnce(&mut Knobs)) {
        turn(&mut self.inner().knobs);
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    pub(crate) fn task_id(&self) -> TaskId {
        self.inner().plan.task_id
    }

    pub(crate) fn events(&self) -> Vec<EventKind> {
        self.inner().events.clone()
    }

    pub(crate) fn calls(&self) -> Vec<Call> {
        self.inner().calls.clone()
    }

    pub(crate) fn batches(&self) -> usize {
        self.inner().batches
    }

    pub(crate) fn renewals(&self) -> usize {
        self.inner().renewals
    }

    /// The outputs that were fetched, by step and item.
    pub(crate) fn fetched(&self) -> Vec<(String, u32)> {
        self.inner().fetched.clone()
    }

    /// How often the task was given back.
    pub(crate) fn released(&self) -> usize {
        self.inner().released
    }

    pub(crate) fn kv(&self, key: &str) -> Option<Value> {
        self.inner().kv.get(key).cloned()
    }

    pub(crate) fn artifact(&self, name: &str) -> Option<(String, Vec<u8>)> {
        self.inner().artifacts.get(name).cloned()
    }

    /// How many writes of old fences were refused.
    pub(crate) fn refused(&self) -> usize {
        self.inner().refused
    }

    /// Takes the lease away from whoever has it. What was running is to be executed again.
    pub(crate) fn lose_lease(&self) {
        self.inner().fence += 1;
        self.tell();
    }

    /// Ends the run, as a person does that cancels it; says so to the executor that listens.
    pub(crate) fn end(&self) {
        let task = {
            let mut inner = self.inner();
            (inner.over, inner.ended) = (true, true);
            HeldTask { task_id: inner.plan.task_id, fence: inner.fence }
        };
        let _ = self.signals.send(Signal::Released { task, reason: ReleaseReason::Ended });
        self.tell();
    }

    /// How many executors listen.
    pub(crate) fn listening(&self) -> usize {
        self.signals.receiver_count()
    }

    /// How often an executor has confirmed that it stopped.
    pub(crate) fn stopped(&self) -> usize {
        self.inner().stopped
    }

    /// The attempts for which the run was suspended, each time that it was.
    pub(crate) fn suspensions(&self) -> Vec<Vec<StepRef>> {
        self.inner().suspensions.clone()
    }

    fn tell(&self) {
        self.changed.send_modify(|changes| *changes += 1);
    }

    /// Waits until something is so.
    pub(crate) async fn until(&self, what: &str, is_so: impl Fn(&Self) -> bool) {
        let mut changes = self.changed.subscribe();
        super::within(what, async {
            while !is_so(self) {
                changes.changed().await.unwrap();
            }
        })
        .await;
    }

    /// Waits for the run's end.
    pub(crate) async fn finished(&self) {
        self.until("the run ends", |api| api.inner().over).await;
    }

    /// Whether this request is one that gets a 503.
    fn is_unavailable(&self, kind: &'static str) -> bool {
        let mut inner = self.inner();
        match inner.knobs.unavailable.get_mut(kind) {
            Some(left) if *left > 0 => {
                *left -= 1;
                true
            }
            _ => false,
        }
    }

    /// Whether the token is of the fence that holds.
    fn check(&self, headers: &HeaderMap) -> Result<i64, Response> {
        let token = headers["authorization"].to_str().unwrap().strip_prefix("Bearer token-").unwrap();
        let fence: i64 = token.parse().unwrap();
        let mut inner = self.inner();
        if inner.over || fence != inner.fence {
            inner.refused += 1;
            drop(inner);
            self.tell();
            let ended = self.inner().ended;
            return Err(routes::problem(if ended { ProblemCode::RunEnded } else { ProblemCode::LeaseLost }));
        }
        Ok(fence)
    }
}

impl Inner {
    /// Law 3: an effect comes only after the ends of all that its step builds on.
    fn check_effect(&self, step: &StepRef) {
        let mut waiting: Vec<&str> = self.plan.document.steps[&step.step].needs.iter().map(String::as_str).collect();
        while let Some(need) = waiting.pop() {
            let committed = self.events.iter().any(
                |event| matches!(event, EventKind::StepFinished { step, .. } if step.step == need && step.index.is_none()),
            );
            assert!(committed, "an effect of {step:?} comes before the end of `{need}`");
            waiting.extend(self.plan.document.steps[need].needs.iter().map(String::as_str));
        }
    }

    fn answer(&mut self, call: &Call) -> CallAnswer {
        if matches!(call.call, CallKind::KvGet { .. } | CallKind::KvList { .. } | CallKind::HttpRecall { .. }) {
            return CallAnswer::Ok(self.read(call));
        }
        self.check_effect(&call.step);
        if let Some(stored) = self.journal.get(&call.key) {
            return CallAnswer::Ok(stored.clone());
        }
        match self.write(call) {
            Ok(answer) => {
                self.journal.insert(call.key.clone(), answer.clone());
                CallAnswer::Ok(answer)
            }
            Err(code) => {
                CallAnswer::Refused(CallError { code: code.to_owned(), message: code.to_owned(), retryable: false })
            }
        }
    }

    fn read(&self, call: &Call) -> Value {
        match &call.call {
            CallKind::KvGet { key } => {
                self.kv.get(key).map_or(Value::Null, |value| json!({"value": value, "version": 1}))
            }
            CallKind::KvList { prefix, after, limit } => {
                let items = self.kv.iter().filter(|(key, _)| {
                    key.starts_with(prefix.as_str()) && after.as_ref().is_none_or(|after| *key > after)
                });
                let items: Vec<_> =
                    items.take(*limit as usize).map(|(key, value)| json!({"key": key, "value": value})).collect();
                json!({"items": items})
            }
            CallKind::HttpRecall { request } => match self.journal.get(&call.key) {
                Some(stored) if stored["request"] == json!(request) => stored["answer"].clone(),
                _ => Value::Null,
            },
            other => panic!("not a read: {other:?}"),
        }
    }

    fn write(&mut self, call: &Call) -> Result<Value, &'static str> {
        Ok(match &call.call {
            CallKind::KvSet { key, value, .. } => {
                self.kv.insert(key.clone(), value.clone());
                json!({"version": 1})
            }
            CallKind::KvDelete { key } => json!({"deleted": self.kv.remove(key).is_some()}),
            CallKind::KvIncr { key, by, .. } => {
                let before = self.kv.get(key).map_or(Some(0), Value::as_i64).ok_or("kv_not_an_integer")?;
                self.kv.insert(key.clone(), json!(before + by));
                json!({"value": before + by, "version": 1})
            }
            CallKind::KvCas { key, expected, value, .. } => {
                let swapped = self.kv.get(key) == expected.as_ref();
                match value {
                    Some(value) if swapped => self.kv.insert(key.clone(), value.clone()),
                    None if swapped => self.kv.remove(key),
                    _ => None,
                };
                json!({"swapped": swapped})
            }
            CallKind::EmailSend { .. } => json!({"message_id": format!("<{}@test>", &call.key[..8])}),
            CallKind::HttpAnswered { request, answer } => json!({"request": request, "answer": answer}),
            CallKind::KvGet { .. } | CallKind::KvList { .. } | CallKind::HttpRecall { .. } => panic!("not a write"),
        })
    }
}

/// What a plan says of what is committed: attempts in the order in which they began.
fn committed(events: &[EventKind]) -> Vec<StepState> {
    let mut states: Vec<StepState> = Vec::new();
    for event in events {
        let (step, status) = match event {
            EventKind::StepStarted { step, .. } => (step, StepStatus::Running),
            EventKind::StepRetrying { step, .. } => (step, StepStatus::Failed),
            EventKind::StepWaiting { step, .. } => (step, StepStatus::Waiting),
            EventKind::StepFinished { step, status, .. } => (step, *status),
            _ => continue,
        };
        let at = states.iter().position(|state| state.step == *step).unwrap_or_else(|| {
            let step = step.clone();
            let (items, output, error, retried, due_in_ms) = (None, None, None, false, None);
            states.push(StepState { step, status, items, output, error, retried, due_in_ms });
            states.len() - 1
        });
        let state = &mut states[at];
        state.status = status;
        match event {
            EventKind::StepStarted { items, .. } => state.items = items.or(state.items),
            EventKind::StepRetrying { error, delay_ms, .. } => {
                state.retried = true;
                state.error = Some(error.clone());
                state.due_in_ms = Some(*delay_ms);
            }
            EventKind::StepWaiting { delay_ms, .. } => state.due_in_ms = *delay_ms,
            EventKind::StepFinished { output, error, .. } => {
                state.output = output.as_ref().map(|output| serde_json::value::to_raw_value(output).unwrap());
                state.error.clone_from(error);
            }
            _ => {}
        }
    }
    states
}
