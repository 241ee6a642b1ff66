//! An executor running against a run API in memory.

mod api;
mod rules;

use std::{
    path::PathBuf,
    sync::{Arc, LazyLock},
    time::Duration,
};

use lua_wasm_host::{Engine, EngineConfig};
use restroy_executor::{Executor, ExecutorConfig, HttpPolicy, metrics::Metrics};
use restroy_run_queue::{
    memory::MemoryQueue,
    queue::{Message, Queue},
};
use restroy_sdk::{
    event::{EventKind, StepError},
    ids::TaskId,
    status::{RunStatus, StepStatus},
    time::Ambient,
};
use serde_json::Value;
use tokio::sync::oneshot;

pub(crate) use api::Api;

/// Long enough for any machine; a test that gets here has failed.
const PATIENCE: Duration = Duration::from_mins(1);

static ENGINE: LazyLock<Engine> = LazyLock::new(|| {
    let cache_dir = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("lua-wasm-host");
    Engine::new(EngineConfig { max_sandboxes: 64, cache_dir: Some(cache_dir), ..EngineConfig::default() }).unwrap()
});

/// Waits for something that must happen.
pub(crate) async fn within<T>(what: &str, future: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, future).await.unwrap_or_else(|_| panic!("it does not happen: {what}"))
}

/// An executor that is running.
pub(crate) struct Running {
    queue: Arc<MemoryQueue>,
    pub(crate) metrics: Metrics,
    stop: oneshot::Sender<()>,
    end: tokio::task::JoinHandle<()>,
}

impl Running {
    /// Starts an executor against this run API. When it is stopped it drops what it is doing.
    pub(crate) async fn start(api: &Api, scratch: &std::path::Path, slots: u32) -> Self {
        Self::start_draining(api, scratch, slots, Duration::ZERO).await
    }

    /// The same, with some time for what it is doing when it is stopped.
    async fn start_draining(api: &Api, scratch: &std::path::Path, slots: u32, drain: Duration) -> Self {
        let engine = tokio::task::spawn_blocking(|| ENGINE.clone()).await.unwrap();
        let queue = Arc::new(MemoryQueue::new());
        let config = ExecutorConfig {
            slots,
            http: HttpPolicy { allow_loopback: true, ..HttpPolicy::default() },
            drain,
            ..ExecutorConfig::new(api.url(), "the-credential", scratch)
        };
        let executor = Executor::new(config, engine, Arc::clone(&queue) as _, Ambient::system()).unwrap();
        let metrics = executor.metrics();
        let (stop, stopped) = oneshot::channel::<()>();
        let end = tokio::spawn(executor.run(async move {
            let _ = stopped.await;
        }));
        Self { queue, metrics, stop, end }
    }

    pub(crate) async fn push(&self, task_id: TaskId) {
        self.queue.push(Message { task_id }).await.unwrap();
    }

    pub(crate) async fn stop(self) {
        drop(self.stop);
        within("the executor stops", self.end).await.unwrap();
    }
}

/// A run that came to its end.
pub(crate) struct Report {
    pub(crate) events: Vec<EventKind>,
    pub(crate) api: Api,
}

/// Runs a document (as YAML-like JSON) with its files to the end.
pub(crate) async fn run(document: Value, files: &[(&str, &str)]) -> Report {
    run_with(Api::start(document, files).await).await
}

/// The same, with a run API that was set up before.
pub(crate) async fn run_with(api: Api) -> Report {
    let scratch = tempfile::tempdir().unwrap();
    let executor = Running::start_draining(&api, scratch.path(), 2, PATIENCE).await;
    executor.push(api.task_id()).await;
    within("the run ends", api.finished()).await;
    executor.stop().await;
    assert!(std::fs::read_dir(scratch.path()).unwrap().next().is_none(), "the scratch folder is removed");
    let events = api.events();
    Report { events, api }
}

impl Report {
    /// How the run ended.
    pub(crate) fn status(&self) -> RunStatus {
        self.ending().0
    }

    /// How the run ended and why.
    pub(crate) fn ending(&self) -> (RunStatus, Option<StepError>) {
        match self.events.last() {
            Some(EventKind::RunFinished { status, error }) => (*status, error.clone()),
            other => panic!("the last event is {other:?}"),
        }
    }

    /// How a step ended: its status, output and error.
    pub(crate) fn step(&self, name: &str) -> (StepStatus, Option<Value>, Option<StepError>) {
        self.item(name, None)
    }

    /// How an item of a step ended.
    pub(crate) fn item(&self, name: &str, item: Option<u32>) -> (StepStatus, Option<Value>, Option<StepError>) {
        let mut ends = self.events.iter().filter_map(|event| match event {
            EventKind::StepFinished { step, status, output, error, .. } if step.step == name && step.index == item => {
                Some((*status, output.clone(), error.clone()))
            }
            _ => None,
        });
        let end = ends.next().unwrap_or_else(|| panic!("{name} has not ended: {:#?}", self.events));
        assert!(ends.next().is_none(), "{name} ended twice");
        end
    }

    /// What a step returned.
    pub(crate) fn output(&self, name: &str) -> Value {
        let (status, output, error) = self.step(name);
        assert_eq!(status, StepStatus::Succeeded, "{error:?}");
        output.expect("an output")
    }

    /// The code of a step's error.
    pub(crate) fn code(&self, name: &str) -> String {
        self.step(name).2.unwrap_or_else(|| panic!("{name} has no error")).code
    }

    /// The lines of a step, all its items and attempts together.
    pub(crate) fn lines(&self, name: &str) -> Vec<String> {
        let chunks = self.events.iter().filter_map(|event| match event {
            EventKind::StepOutput { step, lines, .. } if step.step == name => Some(lines),
            _ => None,
        });
        chunks.flatten().map(|line| line.text.clone()).collect()
    }

    /// How many attempts of a step or an item were started.
    pub(crate) fn starts(&self, name: &str, item: Option<u32>) -> usize {
        let is_start = |event: &&EventKind| matches!(event, EventKind::StepStarted { step, .. } if step.step == name && step.index == item);
        self.events.iter().filter(is_start).count()
    }
}
