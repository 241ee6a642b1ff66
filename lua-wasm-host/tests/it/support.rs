//! An engine for tests, a small world behind the host interface, and short ways to run a script.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, LazyLock, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use lua_wasm_host::{
    ArtifactRequest, CallContext, CallError, CallRecord, CallResult, Clock, EffectGate, Email, Engine, EngineConfig,
    Entropy, ErrorCode, FileEntry, Files, Grants, HostContext, Http, HttpRequest, HttpResponse, Invocation, Isolation,
    Journal, Kv, KvEntry, Level, Limits, Mail, Outcome, ProcessConfig, Sink, Source, StepError, Usage, WriteAt,
};

/// 2026-03-01T12:30:45.678901Z
pub(crate) const NOW_MICROS: i64 = 1_772_368_245_678_901;

static ENGINE: LazyLock<Engine> = LazyLock::new(|| {
    let cache_dir = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("lua-wasm-host");
    Engine::new(EngineConfig { max_sandboxes: 16, cache_dir: Some(cache_dir), ..EngineConfig::default() }).unwrap()
});

/// The same with worker processes.
#[cfg(target_os = "linux")]
static WORKERS: LazyLock<Engine> = LazyLock::new(|| {
    let cache_dir = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("lua-wasm-host");
    let isolation = Isolation::Process(worker_config(&[]));
    Engine::new(EngineConfig { max_sandboxes: 16, cache_dir: Some(cache_dir), isolation }).unwrap()
});

#[cfg(target_os = "linux")]
pub(crate) fn worker_engine() -> &'static Engine {
    &WORKERS
}

/// The program that is a worker of these tests.
#[cfg(target_os = "linux")]
pub(crate) fn worker_config(args: &[&str]) -> ProcessConfig {
    ProcessConfig {
        program: env!("CARGO_BIN_EXE_lua-wasm-worker").into(),
        args: args.iter().map(Into::into).collect(),
        ..ProcessConfig::this_program()
    }
}

pub(crate) fn engine() -> &'static Engine {
    &ENGINE
}

/// Everything behind the host interface, in memory, with a memory of what happened.
#[derive(Default)]
pub(crate) struct World {
    pub(crate) lines: Mutex<Vec<(Level, String)>>,
    pub(crate) progress: Mutex<Vec<(f64, Option<String>)>>,
    pub(crate) kv: Mutex<BTreeMap<String, String>>,
    pub(crate) mails: Mutex<Vec<Email>>,
    pub(crate) files: Mutex<BTreeMap<String, Vec<u8>>>,
    pub(crate) artifacts: Mutex<Vec<ArtifactRequest>>,
    pub(crate) requests: Mutex<Vec<HttpRequest>>,
    pub(crate) gated: Mutex<Vec<CallContext>>,
    pub(crate) records: Mutex<Vec<CallRecord>>,
    /// How long the gate and each kv call take.
    pub(crate) delay: Duration,
    pub(crate) entropy: AtomicU8,
}

impl World {
    pub(crate) fn host_context(self: &Arc<Self>) -> HostContext {
        let mut host_context = HostContext::new(self.clone(), self.clone(), self.clone());
        host_context.grants =
            Grants { http: vec!["https://api.example.com".parse().unwrap()], kv: true, email: true, files: true };
        host_context.http = Some(self.clone());
        host_context.kv = Some(self.clone());
        host_context.mail = Some(self.clone());
        host_context.files = Some(self.clone());
        host_context.gate = Some(self.clone());
        host_context.journal = Some(self.clone());
        host_context
    }

    pub(crate) fn text(&self) -> Vec<String> {
        self.lines.lock().unwrap().iter().map(|(_, text)| text.clone()).collect()
    }
}

impl Clock for World {
    fn now_micros(&self) -> i64 {
        NOW_MICROS
    }
}

impl Entropy for World {
    fn fill(&self, buffer: &mut [u8]) {
        buffer.fill_with(|| self.entropy.fetch_add(1, Ordering::Relaxed));
    }
}

impl Sink for World {
    fn line(&self, level: Level, text: &str) -> Result<(), StepError> {
        self.lines.lock().unwrap().push((level, text.to_owned()));
        Ok(())
    }

    fn progress(&self, fraction: f64, message: Option<&str>) {
        self.progress.lock().unwrap().push((fraction, message.map(str::to_owned)));
    }
}

#[async_trait]
impl EffectGate for World {
    async fn ready(&self, call: &CallContext) -> CallResult<()> {
        tokio::time::sleep(self.delay).await;
        self.gated.lock().unwrap().push(call.clone());
        Ok(())
    }
}

impl Journal for World {
    fn record(&self, record: CallRecord) {
        self.records.lock().unwrap().push(record);
    }
}

/// Answers by path: `/json`, `/echo`, `/big/N`, `/hang`, `/refuse`, else 404.
#[async_trait]
impl Http for World {
    async fn send(&self, _: &CallContext, request: HttpRequest) -> CallResult<HttpResponse> {
        self.requests.lock().unwrap().push(request.clone());
        let path = request.url.path().to_owned();
        let (status, body) = match path.as_str() {
            "/json" => (200, br#"{"name":"Ada","tags":["x"]}"#.to_vec()),
            "/echo" => (201, request.body),
            "/hang" => std::future::pending().await,
            "/refuse" => return Err(CallError::retryable("http_connect", "connection refused").into()),
            path => match path.strip_prefix("/big/").and_then(|size| size.parse().ok()) {
                Some(size) => (200, vec![b'x'; size]),
                None => (404, Vec::new()),
            },
        };
        let headers = vec![("Content-Type".to_owned(), "application/json".to_owned())];
        Ok(HttpResponse { status, headers, body })
    }
}

#[async_trait]
impl Kv for World {
    async fn get(&self, _: &CallContext, key: &str) -> CallResult<Option<String>> {
        tokio::time::sleep(self.delay).await;
        Ok(self.kv.lock().unwrap().get(key).cloned())
    }

    async fn set(&self, _: &CallContext, key: &str, value: &str, _: Option<Duration>) -> CallResult<()> {
        self.kv.lock().unwrap().insert(key.to_owned(), value.to_owned());
        Ok(())
    }

    async fn delete(&self, _: &CallContext, key: &str) -> CallResult<bool> {
        Ok(self.kv.lock().unwrap().remove(key).is_some())
    }

    async fn incr(&self, _: &CallContext, key: &str, by: i64, _: Option<Duration>) -> CallResult<i64> {
        let mut kv = self.kv.lock().unwrap();
        let old = match kv.get(key) {
            None => 0,
            Some(value) => value.parse::<i64>().map_err(|_| CallError::new("kv_not_an_integer", "not an integer"))?,
        };
        kv.insert(key.to_owned(), (old + by).to_string());
        Ok(old + by)
    }

    async fn compare_and_set(
        &self,
        _: &CallContext,
        key: &str,
        expected: Option<&str>,
        value: Option<&str>,
        _: Option<Duration>,
    ) -> CallResult<bool> {
        let mut kv = self.kv.lock().unwrap();
        if kv.get(key).map(String::as_str) != expected {
            return Ok(false);
        }
        match value {
            Some(value) => kv.insert(key.to_owned(), value.to_owned()),
            None => kv.remove(key),
        };
        Ok(true)
    }

    async fn list(&self, _: &CallContext, prefix: &str, after: Option<&str>, limit: u32) -> CallResult<Vec<KvEntry>> {
        let kv = self.kv.lock().unwrap();
        Ok(kv
            .iter()
            .filter(|(key, _)| key.starts_with(prefix) && after.is_none_or(|after| key.as_str() > after))
            .take(limit as usize)
            .map(|(key, value)| KvEntry { key: key.clone(), value: value.clone() })
            .collect())
    }
}

#[async_trait]
impl Mail for World {
    async fn send(&self, call: &CallContext, email: Email) -> CallResult<String> {
        self.mails.lock().unwrap().push(email);
        Ok(format!("message-{}", call.number))
    }
}

#[async_trait]
impl Files for World {
    async fn size(&self, path: &str) -> CallResult<Option<u64>> {
        Ok(self.files.lock().unwrap().get(path).map(|bytes| bytes.len() as u64))
    }

    async fn read(&self, path: &str, offset: u64, max: u64) -> CallResult<Vec<u8>> {
        let files = self.files.lock().unwrap();
        let bytes = files.get(path).ok_or_else(|| CallError::new("file_not_found", path))?;
        let rest = bytes.get(usize::try_from(offset).unwrap()..).unwrap_or_default();
        Ok(rest[..rest.len().min(usize::try_from(max).unwrap())].to_vec())
    }

    async fn create(&self, path: &str) -> CallResult<()> {
        self.files.lock().unwrap().insert(path.to_owned(), Vec::new());
        Ok(())
    }

    async fn write(&self, path: &str, at: WriteAt, data: &[u8]) -> CallResult<u64> {
        let mut files = self.files.lock().unwrap();
        let bytes = files.entry(path.to_owned()).or_default();
        let at = match at {
            WriteAt::Offset(offset) => usize::try_from(offset).unwrap(),
            WriteAt::End => bytes.len(),
        };
        bytes.resize(bytes.len().max(at + data.len()), 0);
        bytes[at..at + data.len()].copy_from_slice(data);
        Ok((at + data.len()) as u64)
    }

    async fn remove(&self, path: &str) -> CallResult<bool> {
        Ok(self.files.lock().unwrap().remove(path).is_some())
    }

    async fn list(&self, prefix: &str) -> CallResult<Vec<FileEntry>> {
        let files = self.files.lock().unwrap();
        Ok(files
            .iter()
            .filter(|(path, _)| path.starts_with(prefix))
            .map(|(path, bytes)| FileEntry { path: path.clone(), size: bytes.len() as u64 })
            .collect())
    }

    async fn artifact(&self, _: &CallContext, request: ArtifactRequest) -> CallResult<()> {
        self.artifacts.lock().unwrap().push(request);
        Ok(())
    }
}

/// A script named `scripts/main.lua`.
pub(crate) fn script(text: &str) -> Invocation {
    Invocation::script(Source::new("scripts/main.lua", text))
}

pub(crate) fn limited(text: &str, limits: Limits) -> Invocation {
    Invocation { limits, ..script(text) }
}

/// Runs in a world that is thrown away; on threads and in a worker process, which must come to the same.
pub(crate) async fn run(invocation: Invocation) -> Outcome {
    let here = engine().run(invocation.clone(), Arc::new(World::default()).host_context()).await;
    #[cfg(target_os = "linux")]
    {
        let text = invocation.entry.text.clone();
        // Time that is only played does not pass in another process.
        if text.contains("sleep(") || text.contains("sleep,") || text.contains("/hang") {
            return here;
        }
        let there = worker_engine().run(invocation, Arc::new(World::default()).host_context()).await;
        // What time ends is not reproducible.
        let by_time = |outcome: &Outcome| {
            let codes = [ErrorCode::CpuTimeLimit, ErrorCode::WallTimeLimit];
            outcome.result.as_ref().is_err_and(|error| codes.contains(&error.code))
        };
        if !by_time(&here) && !by_time(&there) {
            assert_eq!(here.result, there.result, "{text}");
            let same = |usage: Usage| Usage { cpu_ms: 0, wall_ms: 0, ..usage };
            assert_eq!(same(here.usage), same(there.usage), "{text}");
        }
    }
    here
}

/// The returned JSON of a script that succeeds.
pub(crate) async fn value(text: &str) -> String {
    match run(script(text)).await.result {
        Ok(json) => json,
        Err(error) => panic!("{text}\n{error:?}"),
    }
}

/// The error of a script that fails.
pub(crate) async fn error(text: &str) -> StepError {
    match run(script(text)).await.result {
        Ok(json) => panic!("{text}\nreturned {json}"),
        Err(error) => error,
    }
}

/// Runs each script and compares what it returns.
pub(crate) async fn assert_values(table: &[(&str, &str)]) {
    for (text, expected) in table {
        assert_eq!(&value(text).await, expected, "{text}");
    }
}
