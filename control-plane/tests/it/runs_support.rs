//! An installation on loopback, and a person with a pipeline. What goes with it is in `runs_executor`.

use std::{
    net::SocketAddr,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use reqwest::{Method, StatusCode};
use restroy_control_plane::{
    api,
    auth::{Registration, token::TokenKeys},
    executor_api,
    ports::{CompileReport, CompilerUnavailable, ScriptCompiler},
    runs::{
        self,
        executors::{MAX_SLOTS, Terms},
    },
    secrets::{KeyRing, MasterKey},
    state::{AppDeps, AppState, Settings},
};
use restroy_run_queue::queue::{Handler, Message, Queue, QueueError};
use restroy_sdk::time::{Ambient, Clock, System, Timestamp};
use serde_json::{Value, json};
use tokio::sync::{Mutex, mpsc};

use crate::database::{TestDb, messages};

pub(crate) use crate::runs_executor::*;

/// How long anything that must come may take.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);
const PASSWORD: &str = "correct horse battery";

/// A clock that stands still unless it is moved.
pub(crate) struct ManualClock(AtomicI64);

impl ManualClock {
    pub(crate) fn advance(&self, span: Duration) {
        self.0.fetch_add(i64::try_from(span.as_micros()).unwrap(), Ordering::SeqCst);
    }

    pub(crate) fn set_back(&self, span: Duration) {
        self.0.fetch_sub(i64::try_from(span.as_micros()).unwrap(), Ordering::SeqCst);
    }
}

impl Clock for ManualClock {
    fn now(&self) -> Timestamp {
        Timestamp(self.0.load(Ordering::SeqCst))
    }
}

/// Every script compiles.
struct AnyScript;

#[async_trait]
impl ScriptCompiler for AnyScript {
    async fn check_file(&self, _: &str, _: &str, _: u64) -> Result<CompileReport, CompilerUnavailable> {
        Ok(CompileReport::default())
    }

    async fn check_expression(&self, _: &str, _: u64) -> Result<CompileReport, CompilerUnavailable> {
        Ok(CompileReport::default())
    }
}

/// A queue whose messages the test takes out itself.
struct TestQueue(mpsc::UnboundedSender<Message>);

#[async_trait]
impl Queue for TestQueue {
    async fn push(&self, message: Message) -> Result<(), QueueError> {
        self.0.send(message).map_err(|error| QueueError(error.to_string()))
    }

    async fn consume(&self, _: usize, _: Handler, stop: Pin<Box<dyn Future<Output = ()> + Send>>) {
        stop.await;
    }
}

/// A control-plane working on loopback.
pub(crate) struct Installation {
    pub(crate) state: AppState,
    pub(crate) clock: Arc<ManualClock>,
    pub(crate) api: SocketAddr,
    pub(crate) run_api: SocketAddr,
    pub(crate) http: reqwest::Client,
    messages: Mutex<mpsc::UnboundedReceiver<Message>>,
    #[allow(dead_code, reason = "one mode of the tests asks for it")]
    pub(crate) database: TestDb,
}

impl Installation {
    pub(crate) async fn start() -> Arc<Self> {
        Self::with(|_| {}).await
    }

    /// An installation set up in another way.
    pub(crate) async fn with(change: impl FnOnce(&mut Settings)) -> Arc<Self> {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let (db, database) = TestDb::open().await;
        let clock = Arc::new(ManualClock(AtomicI64::new(1_767_225_600_000_000)));
        let ambient = Ambient::new(Arc::clone(&clock) as Arc<dyn Clock>, Arc::new(System));
        let (sender, receiver) = mpsc::unbounded_channel();
        let (_, wake) = messages(&ambient);
        let key = MasterKey::parse(&MasterKey::generate(&ambient, "test")).unwrap();
        let mut settings = Settings {
            dev: true,
            registration: Registration::Open,
            sign_ins_per_minute: 1_000,
            requests_per_minute: 1_000_000,
            requests_at_once: 1_000,
            stream_recheck: Duration::from_millis(20),
            ..Settings::default()
        };
        change(&mut settings);
        let state = AppState::new(AppDeps {
            db,
            queue: Arc::new(TestQueue(sender)),
            wake,
            compiler: Arc::new(AnyScript),
            keys: KeyRing::new(vec![key]).unwrap(),
            tokens: TokenKeys::new(&Box::<[u8]>::from(ambient.random::<32>()).into()).unwrap(),
            settings,
            ambient,
        });
        let api = serve(api::router(state.clone())).await;
        let run_api = serve(executor_api::router(state.clone())).await;
        let http = reqwest::Client::builder().no_proxy().build().unwrap();
        Arc::new(Self { state, clock, api, run_api, http, messages: Mutex::new(receiver), database })
    }

    /// The next task that was pushed to the queue.
    pub(crate) async fn message(&self) -> String {
        let next = async { self.messages.lock().await.recv().await };
        tokio::time::timeout(PATIENCE, next).await.expect("a task is pushed").unwrap().task_id.to_string()
    }

    /// The tasks that were pushed so far and not taken.
    pub(crate) async fn messages(&self) -> Vec<String> {
        let mut messages = self.messages.lock().await;
        std::iter::from_fn(|| messages.try_recv().ok()).map(|message| message.task_id.to_string()).collect()
    }

    /// Admits what may be admitted, and gives the first of it.
    pub(crate) async fn admitted(&self) -> String {
        runs::dispatch::admit(&self.state).await.unwrap();
        self.message().await
    }

    /// Does to the database what no request can.
    pub(crate) async fn sql(&self, statement: &str) {
        let mut tx = self.state.db.system_write().await.unwrap();
        restroy_control_plane::sql!(&mut tx, execute, sqlx::query(sqlx::AssertSqlSafe(statement.to_owned()))).unwrap();
        tx.commit().await.unwrap();
    }

    /// The number that a statement gives.
    pub(crate) async fn count(&self, statement: &'static str) -> i64 {
        let mut tx = self.state.db.system_read().await.unwrap();
        restroy_control_plane::sql!(&mut tx, fetch_one, sqlx::query_scalar(statement)).unwrap()
    }

    pub(crate) async fn executor(&self) -> Executor {
        self.executor_of(MAX_SLOTS).await
    }

    /// An executor that may hold so many tasks at once.
    pub(crate) async fn executor_of(&self, slots: u32) -> Executor {
        let terms = Terms { slots, ..Terms::default() };
        let (_, token) = runs::executors::create(&self.state, "test", &terms).await.unwrap();
        Executor { http: self.http.clone(), base: format!("http://{}/run/v1", self.run_api), token }
    }

    /// A person with a team of their own.
    pub(crate) async fn person(&self, name: &str) -> Person {
        let anyone = Person { http: self.http.clone(), base: format!("http://{}", self.api), token: String::new() };
        let register = json!({ "email": format!("{name}@example.com"), "password": PASSWORD, "name": name });
        anyone.expect(StatusCode::ACCEPTED, Method::POST, "/v1/auth/register", Some(register)).await;
        anyone.login(name).await
    }

    /// A person, and a pipeline with one script step `a`, unless a document is given.
    pub(crate) async fn pipeline(&self, document: Option<Value>) -> (Person, Place) {
        let ann = self.person("ann").await;
        let place = ann.place(document).await;
        (ann, place)
    }

    /// A run that an executor has just claimed.
    pub(crate) async fn claimed(self: &Arc<Self>, document: Option<Value>) -> Scene {
        let (ann, place) = self.pipeline(document).await;
        let run = ann.run(&place, json!({})).await;
        let executor = self.executor().await;
        let task = self.admitted().await;
        let held = executor.claim(&task).await.expect("the task is claimed");
        Scene { ann, place, run, executor, task, held }
    }
}

/// A run in the hands of an executor.
pub(crate) struct Scene {
    pub(crate) ann: Person,
    pub(crate) place: Place,
    pub(crate) run: String,
    pub(crate) executor: Executor,
    pub(crate) task: String,
    pub(crate) held: Held,
}

pub(crate) async fn serve(router: axum::Router) -> SocketAddr {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let service = router.into_make_service_with_connect_info::<SocketAddr>();
    tokio::spawn(async move { axum::serve(listener, service).await.unwrap() });
    address
}

pub(crate) fn text(value: &Value) -> String {
    value.as_str().unwrap_or_else(|| panic!("a text, not {value}")).to_owned()
}

/// Where runs are started.
pub(crate) struct Place {
    pub(crate) team: String,
    pub(crate) board: String,
    pub(crate) pipeline: String,
}

/// A person who calls the API.
#[derive(Debug, Clone)]
pub(crate) struct Person {
    pub(crate) http: reqwest::Client,
    pub(crate) base: String,
    pub(crate) token: String,
}

impl Person {
    /// The same person, or another, with a new login.
    pub(crate) async fn login(&self, name: &str) -> Self {
        let login = json!({ "email": format!("{name}@example.com"), "password": PASSWORD });
        let tokens = self.expect(StatusCode::OK, Method::POST, "/v1/auth/login", Some(login)).await;
        Self { token: text(&tokens["access_token"]), ..self.clone() }
    }

    pub(crate) fn request(&self, method: Method, path: &str) -> reqwest::RequestBuilder {
        self.http.request(method, format!("{}{path}", self.base)).bearer_auth(&self.token)
    }

    pub(crate) async fn call(&self, method: Method, path: &str, body: Option<Value>) -> (StatusCode, Value) {
        let mut request = self.request(method, path);
        if let Some(body) = body {
            request = request.json(&body);
        }
        answer(request).await
    }

    pub(crate) async fn expect(&self, status: StatusCode, method: Method, path: &str, body: Option<Value>) -> Value {
        let (got, answer) = self.call(method, path, body).await;
        assert_eq!(got, status, "{path}: {answer}");
        answer
    }

    pub(crate) async fn get(&self, path: &str) -> Value {
        self.expect(StatusCode::OK, Method::GET, path, None).await
    }

    pub(crate) async fn place(&self, document: Option<Value>) -> Place {
        let created = StatusCode::CREATED;
        let team = self.expect(created, Method::POST, "/v1/teams", Some(json!({ "name": "Team" }))).await;
        let team = text(&team["id"]);
        let path = format!("/v1/teams/{team}/boards");
        let board = text(&self.expect(created, Method::POST, &path, Some(json!({ "name": "Board" }))).await["id"]);
        let pipeline = self.pipeline_on(&board, "Pipeline").await;
        let everything = json!({ "kv": true, "email": true, "files": true, "http": ["https://x"] });
        let document = document.unwrap_or_else(|| steps(json!({ "a": { "script": "a.lua", "allow": everything } })));
        self.publish(&pipeline, document).await;
        Place { team, board, pipeline }
    }

    pub(crate) async fn pipeline_on(&self, board: &str, name: &str) -> String {
        let path = format!("/v1/boards/{board}/pipelines");
        text(&self.expect(StatusCode::CREATED, Method::POST, &path, Some(json!({ "name": name }))).await["id"])
    }

    pub(crate) async fn publish(&self, pipeline: &str, document: Value) {
        let files: serde_json::Map<String, Value> = document["steps"]
            .as_object()
            .unwrap()
            .values()
            .map(|step| (text(&step["script"]), json!("return 1")))
            .collect();
        let body = json!({ "definition": document, "files": files, "publish": true });
        let path = format!("/v1/pipelines/{pipeline}/definition");
        let (status, answer) = self.call(Method::PUT, &path, Some(body)).await;
        assert!(status.is_success(), "{answer}");
    }

    /// Starts a run; gives its id.
    pub(crate) async fn run(&self, place: &Place, params: Value) -> String {
        let path = format!("/v1/pipelines/{}/runs", place.pipeline);
        let run = self.expect(StatusCode::ACCEPTED, Method::POST, &path, Some(json!({ "params": params }))).await;
        text(&run["id"])
    }

    /// All events of a run.
    pub(crate) async fn events(&self, run: &str) -> Vec<Value> {
        let (mut after, mut events) = (0, Vec::new());
        loop {
            let page = self.get(&format!("/v1/runs/{run}/events?after={after}&limit=1000")).await;
            events.extend(page["items"].as_array().unwrap().iter().cloned());
            match page["next_cursor"].as_str() {
                Some(next) => after = next.parse().unwrap(),
                None => return events,
            }
        }
    }

    /// The kinds of a run's events, once it is known that they are numbered without gaps.
    pub(crate) async fn kinds(&self, run: &str) -> Vec<String> {
        let events = self.events(run).await;
        assert_gapless(&events);
        events.iter().map(|event| text(&event["type"])).collect()
    }

    pub(crate) async fn status(&self, run: &str) -> String {
        text(&self.get(&format!("/v1/runs/{run}")).await["status"])
    }
}

/// A document of some steps.
pub(crate) fn steps(steps: impl serde::Serialize) -> Value {
    json!({ "restroy": 1, "steps": json!(steps) })
}

pub(crate) fn assert_gapless(events: &[Value]) {
    for (seq, event) in (1..).zip(events) {
        assert_eq!(event["seq"], json!(seq), "{event}");
    }
}

pub(crate) async fn answer(request: reqwest::RequestBuilder) -> (StatusCode, Value) {
    let response = request.send().await.unwrap();
    let status = response.status();
    let body = response.bytes().await.unwrap();
    let value = if body.is_empty() { Value::Null } else { serde_json::from_slice(&body).unwrap() };
    (status, value)
}
