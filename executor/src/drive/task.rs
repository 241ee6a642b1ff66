//! A claimed task: the plan, and what everybody at work on it shares.

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
};

use lua_wasm_host::{Engine, Limits, Source};
use restroy_run_queue::run_api::{Plan, StepSettings, StepState};
use restroy_sdk::{
    document::Document,
    event::StepRef,
    ids::RunId,
    time::{Ambient, Timestamp},
};
use tokio::sync::Semaphore;

use crate::{
    capability::{files::Scratch, http, http::Outbound},
    client::TaskApi,
    lease::Progress,
    mask::Masker,
    metrics::Metrics,
    report::Reporter,
};

/// What all tasks of an executor share.
#[derive(Clone)]
pub(crate) struct Tools {
    pub(crate) engine: Engine,
    pub(crate) ambient: Ambient,
    pub(crate) outbound: Outbound,
    pub(crate) limits: Limits,
    pub(crate) sandboxes_per_task: usize,
    pub(crate) metrics: Metrics,
}

/// A claimed task.
pub(crate) struct TaskContext {
    pub(crate) tools: Tools,
    pub(crate) api: TaskApi,
    pub(crate) reporter: Reporter,
    pub(crate) progress: Arc<Progress>,
    pub(crate) masker: Masker,
    pub(crate) scratch: Arc<Scratch>,
    /// How many sandboxes may run at once.
    pub(crate) sandboxes: Semaphore,
    /// How many HTTP requests may be under way at once.
    pub(crate) requests: Arc<Semaphore>,

    pub(crate) run_id: RunId,
    pub(crate) document: Document,
    pub(crate) params: Arc<str>,
    /// What the seeds of its steps are derived from.
    pub(crate) seed: Vec<u8>,
    sources: BTreeMap<String, Source>,
    /// The library's modules, under the names that `require` finds them by.
    library: Vec<Source>,
    settings: BTreeMap<String, StepSettings>,
    pipeline_name: String,
    started_at: Timestamp,
    /// What is committed, by step and item (0: the step itself), oldest first.
    committed: HashMap<(String, u32), Vec<StepState>>,
}

impl TaskContext {
    /// Takes a plan on. Fails when the plan cannot be executed, and gives the way to say so back.
    pub(crate) fn new(
        plan: Plan,
        api: TaskApi,
        scratch: Arc<Scratch>,
        tools: Tools,
    ) -> Result<Self, (String, Box<TaskApi>)> {
        let secrets = plan.steps.values().flat_map(|settings| settings.secrets.values());
        let prepared = hex::decode(&plan.seed)
            .map_err(|error| format!("the run's seed: {error}"))
            .and_then(|seed| Ok((seed, Masker::new(secrets.map(String::as_str))?)));
        let (seed, masker) = match prepared {
            Ok(prepared) => prepared,
            Err(error) => return Err((error, Box::new(api))),
        };
        let sources = plan.files.into_iter().map(|(path, text)| (path.clone(), Source::new(path, text))).collect();
        // A name without a slash and without `.lua` answers to itself and to nothing else.
        let library = plan.library.into_iter().map(|(name, text)| Source::new(format!("lib.{name}"), text)).collect();
        let mut committed: HashMap<_, Vec<StepState>> = HashMap::new();
        for state in plan.done {
            let key = (state.step.step.clone(), state.step.index.unwrap_or(0));
            committed.entry(key).or_default().push(state);
        }
        Ok(Self {
            sandboxes: Semaphore::new(tools.sandboxes_per_task.max(1)),
            requests: Arc::new(Semaphore::new(http::AT_ONCE)),
            tools,
            api,
            reporter: Reporter::default(),
            progress: Arc::default(),
            masker,
            scratch,
            run_id: plan.run_id,
            document: plan.document,
            params: plan.params.get().into(),
            seed,
            sources,
            library,
            settings: plan.steps,
            pipeline_name: plan.pipeline_name,
            started_at: plan.started_at,
            committed,
        })
    }

    /// A file of the pipeline.
    pub(crate) fn source(&self, path: &str) -> Option<&Source> {
        self.sources.get(path)
    }

    /// What a script can `require`: every Lua file but itself, and the library's modules.
    pub(crate) fn modules(&self, entry: &str) -> Vec<Source> {
        let is_lua = |path: &str| std::path::Path::new(path).extension().is_some_and(|extension| extension == "lua");
        let others = self.sources.iter().filter(|(path, _)| path.as_str() != entry && is_lua(path));
        others.map(|(_, source)| source).chain(&self.library).cloned().collect()
    }

    /// A step's secrets that nobody has set.
    pub(crate) fn missing_secrets(&self, step: &str) -> &[String] {
        self.settings.get(step).map_or(&[], |settings| &settings.missing)
    }

    /// A step's configuration as JSON: plain values, and secrets if they are wanted.
    pub(crate) fn config(&self, step: &str, secrets: bool) -> Arc<str> {
        let mut config = serde_json::Map::new();
        if let Some(settings) = self.settings.get(step) {
            let secrets = settings.secrets.iter().filter(|_| secrets);
            for (key, value) in settings.config.iter().chain(secrets) {
                config.insert(key.clone(), value.clone().into());
            }
        }
        serde_json::Value::Object(config).to_string().into()
    }

    /// What a script may know of its run, as JSON.
    pub(crate) fn run(&self, step: &StepRef) -> Arc<str> {
        let run = serde_json::json!({
            "id": self.run_id,
            "retry": step.attempt.saturating_sub(1),
            "pipeline": self.pipeline_name,
            "step": step.step,
            "started_at": self.started_at,
        });
        run.to_string().into()
    }

    /// The committed attempts at a step or an item of it, oldest first.
    pub(crate) fn committed(&self, step: &str, index: Option<u32>) -> &[StepState] {
        // A tuple of borrowed parts is no key for the map; steps are few and so are lookups.
        self.committed.get(&(step.to_owned(), index.unwrap_or(0))).map_or(&[], Vec::as_slice)
    }
}
