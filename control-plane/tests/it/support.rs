//! A control-plane on a loopback port with a database of its own, and people who use it.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use reqwest::{Client, Method, StatusCode, header::HeaderMap};
use restroy_control_plane::{
    api,
    auth::{Registration, Role, token::TokenKeys},
    ports::{CompileReport, CompilerUnavailable, ScriptCompiler},
    secrets::{KeyRing, MasterKey},
    sql,
    state::{AppDeps, AppState, Settings},
    store::{stranger_mails::StrangerMails, teams},
};
use restroy_sdk::{
    ids::{TeamId, UserId},
    problem::FieldError,
    time::{Ambient, Clock, System, Timestamp},
};
use secrecy::SecretBox;
use serde_json::{Value, json};
use tokio::{net::TcpListener, task::JoinHandle};

use crate::{
    database::{TestDb, messages},
    documented,
};

/// The password of every person here.
pub(crate) const PASSWORD: &str = "correct horse battery";
/// The key that access tokens are signed with.
pub(crate) const SIGNING_KEY: &[u8] = b"a key for tests, of more than thirty-two bytes";
/// A source with this in it does not compile.
pub(crate) const BAD_SOURCE: &str = "SYNTAX ERROR";
/// The compiler panics at a source with this in it.
pub(crate) const PANIC: &str = "PANIC";
/// An expression with this in it does not compile.
pub(crate) const BAD_EXPRESSION: &str = "==>";

/// The system's clock, and what a test adds to it.
#[derive(Default)]
pub(crate) struct TestClock(AtomicI64);

impl TestClock {
    /// Lets time pass at once.
    pub(crate) fn advance(&self, span: Duration) {
        let micros = i64::try_from(span.as_micros()).unwrap();
        self.0.fetch_add(micros, Ordering::SeqCst);
    }
}

impl Clock for TestClock {
    fn now(&self) -> Timestamp {
        Timestamp(System.now().micros() + self.0.load(Ordering::SeqCst))
    }
}

/// Takes every source and expression but those with a marker. The real one is the sandbox's.
struct MarkerCompiler;

#[async_trait]
impl ScriptCompiler for MarkerCompiler {
    async fn check_file(&self, _: &str, source: &str, _: u64) -> Result<CompileReport, CompilerUnavailable> {
        assert!(!source.contains(PANIC), "a source asked for it");
        let fault = source.find(BAD_SOURCE).map(|at| {
            let line = u32::try_from(source[..at].matches('\n').count()).unwrap() + 1;
            FieldError { line: Some(line), column: Some(1), ..FieldError::new("", "syntax error") }
        });
        Ok(CompileReport { fault, fuel: 1_000 })
    }

    async fn check_expression(&self, expression: &str, _: u64) -> Result<CompileReport, CompilerUnavailable> {
        let bad = expression.contains(BAD_EXPRESSION);
        Ok(CompileReport { fault: bad.then(|| FieldError::new("", "syntax error")), fuel: 1_000 })
    }
}

/// A control-plane.
pub(crate) struct World {
    pub(crate) state: AppState,
    pub(crate) clock: Arc<TestClock>,
    pub(crate) url: String,
    pub(crate) client: Client,
    /// The master key, as it is configured.
    pub(crate) master: String,
    server: JoinHandle<()>,
    #[allow(dead_code, reason = "held for its end; only tests of production ask")]
    pub(crate) database: TestDb,
}

impl Drop for World {
    fn drop(&mut self) {
        self.server.abort();
    }
}

impl World {
    /// A developer's own installation.
    pub(crate) async fn new() -> Self {
        Self::with(|settings| settings.dev = true).await
    }

    /// An installation set up in another way. Attempts to sign in are not limited unless `change`
    /// says so.
    pub(crate) async fn with(change: impl FnOnce(&mut Settings)) -> Self {
        let _ = rustls::crypto::ring::default_provider().install_default(); // another test may have been first
        let (db, database) = TestDb::open().await;
        let clock = Arc::new(TestClock::default());
        let ambient = Ambient::new(clock.clone(), Arc::new(System));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let mut settings = Settings {
            public_url: url.clone(),
            registration: Registration::Open,
            stranger_mails: StrangerMails { per_network: 10_000, per_installation: 10_000 },
            sign_ins_per_minute: 10_000,
            requests_per_minute: 1_000_000,
            requests_at_once: 1_000,
            ..Settings::default()
        };
        change(&mut settings);
        let master = MasterKey::generate(&ambient, "k1").to_string();
        let (queue, wake) = messages(&ambient);
        let state = AppState::new(AppDeps {
            db,
            ambient,
            queue,
            wake,
            compiler: Arc::new(MarkerCompiler),
            keys: KeyRing::new(vec![MasterKey::parse(&master).unwrap()]).unwrap(),
            tokens: TokenKeys::new(&SecretBox::from(SIGNING_KEY.to_vec())).unwrap(),
            settings,
        });
        let service = api::router(state.clone()).into_make_service_with_connect_info::<SocketAddr>();
        let server = tokio::spawn(async move { axum::serve(listener, service).await.unwrap() });
        Self { state, clock, url, client: Client::new(), master, server, database }
    }

    /// Sends a request.
    pub(crate) async fn send(&self, request: Request<'_>) -> Reply {
        let mut builder = self.client.request(request.method.clone(), format!("{}{}", self.url, request.path));
        if let Some(token) = request.token {
            builder = builder.bearer_auth(token);
        }
        for (name, value) in request.headers {
            builder = builder.header(name, value);
        }
        if let Some(body) = request.body {
            builder = builder.json(&body);
        }
        let response = builder.send().await.unwrap();
        let (status, headers) = (response.status(), response.headers().clone());
        let text = response.text().await.unwrap();
        let body = serde_json::from_str(&text).unwrap_or(Value::Null);
        let reply = Reply { status, headers, text, body };
        documented::check(&request.method, request.path, &reply);
        reply
    }

    /// A request without credentials.
    pub(crate) async fn anonymous(&self, method: Method, path: &str, body: Option<Value>) -> Reply {
        self.send(Request { body, ..Request::new(method, path) }).await
    }

    /// Registers and signs in a person (of a developer's installation).
    pub(crate) async fn person(&self, name: &str) -> Person<'_> {
        let email = format!("{name}@example.com");
        let account = json!({ "email": email, "password": PASSWORD, "name": name });
        self.anonymous(Method::POST, "/v1/auth/register", Some(account)).await.expect(202);
        self.sign_in(&email).await
    }

    /// Signs in.
    pub(crate) async fn sign_in(&self, email: &str) -> Person<'_> {
        let login = json!({ "email": email, "password": PASSWORD });
        let tokens = self.anonymous(Method::POST, "/v1/auth/login", Some(login)).await.expect(200).body;
        let text = |field: &str| tokens[field].as_str().unwrap().to_owned();
        let (token, refresh) = (text("access_token"), text("refresh_token"));
        let mut person = Person { world: self, id: String::new(), token, refresh };
        person.id = person.get("/v1/me").await.expect(200).id();
        person
    }

    /// How many rows a table has.
    pub(crate) async fn count(&self, table: &str) -> i64 {
        let mut tx = self.state.db.system_read().await.unwrap();
        let text = sqlx::AssertSqlSafe(format!("SELECT count(*) FROM {table}"));
        sql!(&mut tx, fetch_one, sqlx::query_scalar(text)).unwrap()
    }
}

/// What is sent.
pub(crate) struct Request<'a> {
    pub(crate) method: Method,
    pub(crate) path: &'a str,
    pub(crate) token: Option<&'a str>,
    pub(crate) headers: Vec<(&'static str, String)>,
    pub(crate) body: Option<Value>,
}

impl<'a> Request<'a> {
    pub(crate) fn new(method: Method, path: &'a str) -> Self {
        Self { method, path, token: None, headers: Vec::new(), body: None }
    }
}

/// What came back.
#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) text: String,
    /// Null when it is no JSON.
    pub(crate) body: Value,
}

impl Reply {
    /// Fails the test unless the status is this.
    #[track_caller]
    pub(crate) fn expect(self, status: u16) -> Self {
        assert_eq!(self.status.as_u16(), status, "{}", self.text);
        self
    }

    /// Fails the test unless it is a whole problem document of that code and the status that goes
    /// with it.
    #[track_caller]
    pub(crate) fn problem(self, code: &str) -> Self {
        assert_eq!(self.body["code"], code, "{} {}", self.status, self.text);
        assert_eq!(self.headers["content-type"], "application/problem+json");
        assert_eq!(self.body["status"], self.status.as_u16());
        assert_eq!(self.body["request_id"].as_str(), self.headers["x-request-id"].to_str().ok());
        assert!(self.body["type"].is_string() && self.body["title"].is_string(), "{}", self.text);
        self
    }

    /// `id` of the body.
    #[track_caller]
    pub(crate) fn id(&self) -> String {
        self.body["id"].as_str().unwrap_or_else(|| panic!("no id: {}", self.text)).to_owned()
    }

    /// The pointers of a problem's `errors`.
    pub(crate) fn pointers(&self) -> Vec<&str> {
        let errors = self.body["errors"].as_array();
        errors.into_iter().flatten().filter_map(|fault| fault["pointer"].as_str()).collect()
    }

    /// The `items` of a page.
    #[track_caller]
    pub(crate) fn items(&self) -> &[Value] {
        self.body["items"].as_array().unwrap_or_else(|| panic!("no page: {}", self.text))
    }
}

/// Somebody who is signed in.
pub(crate) struct Person<'a> {
    pub(crate) world: &'a World,
    pub(crate) id: String,
    pub(crate) token: String,
    pub(crate) refresh: String,
}

impl Person<'_> {
    pub(crate) async fn call(&self, method: Method, path: &str, body: Option<Value>) -> Reply {
        self.world.send(Request { token: Some(&self.token), body, ..Request::new(method, path) }).await
    }

    pub(crate) async fn get(&self, path: &str) -> Reply {
        self.call(Method::GET, path, None).await
    }

    pub(crate) async fn post(&self, path: &str, body: Value) -> Reply {
        self.call(Method::POST, path, Some(body)).await
    }

    pub(crate) async fn put(&self, path: &str, body: Value) -> Reply {
        self.call(Method::PUT, path, Some(body)).await
    }

    pub(crate) async fn patch(&self, path: &str, body: Value) -> Reply {
        self.call(Method::PATCH, path, Some(body)).await
    }

    pub(crate) async fn delete(&self, path: &str) -> Reply {
        self.call(Method::DELETE, path, None).await
    }

    /// A request with headers of its own.
    pub(crate) async fn with(
        &self,
        method: Method,
        path: &str,
        headers: &[(&'static str, &str)],
        body: Option<Value>,
    ) -> Reply {
        let headers = headers.iter().map(|(name, value)| (*name, (*value).to_owned())).collect();
        self.world.send(Request { token: Some(&self.token), headers, body, ..Request::new(method, path) }).await
    }

    /// A team of the person's; its id.
    pub(crate) async fn team(&self, name: &str) -> String {
        self.post("/v1/teams", json!({ "name": name })).await.expect(201).id()
    }

    /// A board; its id.
    pub(crate) async fn board(&self, team: &str, name: &str) -> String {
        self.post(&format!("/v1/teams/{team}/boards"), json!({ "name": name })).await.expect(201).id()
    }

    /// A pipeline without a definition; its id.
    pub(crate) async fn pipeline(&self, board: &str, name: &str) -> String {
        self.post(&format!("/v1/boards/{board}/pipelines"), json!({ "name": name })).await.expect(201).id()
    }

    /// Puts and publishes a definition.
    pub(crate) async fn publish(&self, pipeline: &str, definition: Value, files: Value) -> Reply {
        let body = json!({ "definition": definition, "files": files, "publish": true });
        self.put(&format!("/v1/pipelines/{pipeline}/definition"), body).await
    }

    /// The id of the pipeline's script at a path.
    pub(crate) async fn script(&self, pipeline: &str, path: &str) -> String {
        let page = self.get(&format!("/v1/pipelines/{pipeline}/scripts")).await.expect(200);
        let found = page.items().iter().find(|script| script["path"] == path);
        found.and_then(|script| script["id"].as_str()).unwrap_or_else(|| panic!("no {path}: {}", page.text)).to_owned()
    }

    /// Takes the person into a team, past the API.
    pub(crate) async fn join(&self, team: &str, role: Role) {
        let mut tx = self.world.state.db.system_write().await.unwrap();
        let (team, user): (TeamId, UserId) = (team.parse().unwrap(), self.id.parse().unwrap());
        teams::add_member(&mut tx, team, user, role, self.world.state.ambient.now()).await.unwrap();
        tx.commit().await.unwrap();
    }
}

/// A team with a board and a published pipeline of one script.
pub(crate) struct Home {
    pub(crate) team: String,
    pub(crate) board: String,
    pub(crate) pipeline: String,
    pub(crate) script: String,
}

impl Home {
    /// Makes one.
    pub(crate) async fn of(owner: &Person<'_>) -> Self {
        let team = owner.team("Home").await;
        let board = owner.board(&team, "Board").await;
        let pipeline = owner.pipeline(&board, "Pipeline").await;
        owner.publish(&pipeline, one_step(), one_file()).await.expect(200);
        let script = owner.script(&pipeline, "scripts/a.lua").await;
        Self { team, board, pipeline, script }
    }
}

/// A document of one step, which does nothing to the world.
pub(crate) fn one_step() -> Value {
    json!({ "restroy": 1, "steps": { "a": { "script": "scripts/a.lua" } } })
}

/// The file that goes with [`one_step`].
pub(crate) fn one_file() -> Value {
    json!({ "scripts/a.lua": "return 1" })
}
