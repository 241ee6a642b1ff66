//! A claimed task: the plan, and what everybody working on it shares.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use lua_wasm_host::{Engine, Limits, Owner, SandboxThreads, Secrets, Source};
use restroy_run_queue::run_api::{Plan, StepOutput, StepSettings, StepState};
use restroy_sdk::{
    document::Document,
    event::{StepError, StepRef},
    ids::RunId,
    limit::Limit,
    time::{Ambient, Timestamp},
};
use restroy_tenant_executor::{TenantError, TenantExecutor};
use tokio::{sync::Semaphore, time::Instant};
use tokio_util::task::TaskTracker;
use uuid::Uuid;

use super::{
    activity::Activity,
    inputs::Schemas,
    retry::{self, StepProgress},
};
use crate::{
    capability::{files::Scratch, http, http::OutboundHttp},
    client::{LeaseLost, TaskApi},
    lease::Progress,
    mask::{Masker, Secret},
    memory::{TASK_BYTES, TASK_MEMORY_LIMIT, TaskMemory},
    metrics::Metrics,
    report::{self, Reporter},
    signals::Signals,
    tenant_work::WORK_TIMEOUT,
};

/// How often the run API is asked, while no signals are heard, whether a task is still held.
const ASK_INTERVAL: Duration = Duration::from_secs(1);

/// What all tasks of an executor share.
#[derive(Clone)]
pub(crate) struct ExecutorServices {
    pub(crate) engine: Engine,
    /// Where tasks are driven.
    pub(crate) threads: SandboxThreads,
    /// Where work is done whose size a tenant chooses, by turns of the teams.
    pub(crate) tenant_work: TenantExecutor,
    pub(crate) ambient: Ambient,
    pub(crate) outbound: OutboundHttp,
    pub(crate) sandboxes_per_task: usize,
    pub(crate) metrics: Metrics,
}

/// A claimed task.
pub(crate) struct TaskContext {
    pub(crate) tools: ExecutorServices,
    /// What an attempt may use; its wall time is the step's own `timeout`, if it has one.
    pub(crate) limits: Limits,
    pub(crate) api: TaskApi,
    pub(crate) reporter: Reporter,
    pub(crate) progress: Arc<Progress>,
    pub(crate) masker: Masker,
    /// Finds the secrets that scripts must not read: answers to their requests show none.
    pub(crate) usable_only_masker: Masker,
    pub(crate) memory: Arc<TaskMemory>,
    pub(crate) scratch: Arc<Scratch>,
    /// How many sandboxes may run at once.
    pub(crate) sandboxes: Semaphore,
    /// What is under way of it, and what waits.
    pub(crate) activity: Arc<Activity>,
    /// What is running for it: attempts, with their sandboxes and requests.
    pub(crate) at_work: TaskTracker,
    signals: Arc<Signals>,
    /// How many HTTP requests may be under way at once.
    pub(crate) requests: Arc<Semaphore>,
    /// How many items a `for_each` may have.
    pub(crate) most_items: usize,

    pub(crate) run_id: RunId,
    /// Whose sandboxes they are: those of two teams share neither a worker process nor a turn.
    pub(crate) owner: Owner,
    pub(crate) document: Document,
    pub(crate) params: Arc<str>,
    /// What the seeds of its steps are derived from.
    pub(crate) seed: Vec<u8>,
    sources: BTreeMap<String, Source>,
    /// The library's modules, under the names that `require` finds them by.
    library: Vec<Source>,
    settings: BTreeMap<String, StepSettings>,
    /// The secrets of each step that has any.
    secrets: HashMap<String, Arc<Secrets>>,
    pipeline_name: String,
    started_at: Timestamp,
    /// The schemas that inputs are checked against.
    pub(crate) schemas: Schemas,
    /// When it was claimed: what is committed and waits, counts from then.
    claimed_at: Instant,
    /// What is committed, by step and item (0: the step itself), oldest first.
    committed: HashMap<(String, u32), Vec<StepState>>,
    /// Whether the outputs of that are to be fetched.
    pub(crate) outputs_apart: bool,
    /// Those that were, by step and item.
    outputs: Mutex<HashMap<(String, u32), Arc<str>>>,
}

impl TaskContext {
    /// Takes a plan on that was received at `claimed_at`, with what [`prepare`] made of it.
    pub(crate) fn new(
        (plan, claimed_at): (Plan, Instant),
        prepared: PreparedPlan,
        api: TaskApi,
        scratch: Arc<Scratch>,
        tools: ExecutorServices,
        signals: Arc<Signals>,
    ) -> Self {
        let PreparedPlan { seed, masker, usable_only_masker, memory } = prepared;
        let sources = plan.files.into_iter().map(|(path, text)| (path.clone(), Source::new(path, text))).collect();
        // A name without a slash and without `.lua` answers to itself and to nothing else.
        let library = plan.library.into_iter().map(|(name, text)| Source::new(format!("lib.{name}"), text)).collect();
        let mut committed: HashMap<_, Vec<StepState>> = HashMap::new();
        for state in plan.done {
            let key = (state.step.step.clone(), state.step.index.unwrap_or(0));
            committed.entry(key).or_default().push(state);
        }
        Self {
            sandboxes: Semaphore::new(tools.sandboxes_per_task.max(1)),
            activity: Arc::default(),
            at_work: TaskTracker::new(),
            signals,
            requests: Arc::new(Semaphore::new(http::AT_ONCE)),
            most_items: usize::try_from(plan.limits.get(Limit::ItemsPerForEach)).unwrap_or(usize::MAX),
            limits: Limits::from_values(&plan.limits),
            tools,
            api,
            reporter: Reporter::default(),
            progress: Arc::default(),
            masker,
            usable_only_masker,
            memory,
            scratch,
            run_id: plan.run_id,
            owner: Owner(plan.team_id.0.as_u128()),
            document: plan.document,
            params: plan.params.get().into(),
            seed,
            sources,
            library,
            secrets: secrets_of(&plan.steps),
            settings: plan.steps,
            pipeline_name: plan.pipeline_name,
            started_at: plan.started_at,
            schemas: Schemas::default(),
            claimed_at,
            committed,
            outputs_apart: plan.outputs_apart,
            outputs: Mutex::default(),
        }
    }

    /// Does work whose size the tenant chose, in a turn of its team. The task counts as moving meanwhile.
    pub(crate) async fn in_turn<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, TenantError> {
        let team = Uuid::from_u128(self.owner.0);
        let until = Instant::now() + WORK_TIMEOUT;
        self.progress.watch(until, self.tools.tenant_work.run(team, work)).await
    }

    /// Asks the run API whether the task is still held, where it would not be heard if it were not: at most once
    /// a second.
    pub(crate) async fn ensure_held(&self) -> Result<(), LeaseLost> {
        if self.api.lost.is_cancelled() {
            return Err(LeaseLost);
        }
        if self.signals.is_live() || self.api.was_renewed_within(ASK_INTERVAL) {
            return Ok(());
        }
        self.api.confirm_held().await
    }

    /// Waits until nothing of the task is running any more. Whoever waits has dropped what drives it.
    pub(crate) async fn stopped(&self) {
        self.at_work.close();
        self.at_work.wait().await;
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

    /// The secrets that a step's script may read or use.
    pub(crate) fn secrets(&self, step: &str) -> Arc<Secrets> {
        self.secrets.get(step).map(Arc::clone).unwrap_or_default()
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
        // A tuple of borrowed parts is not a key for the map; steps are few and so are lookups.
        self.committed.get(&(step.to_owned(), index.unwrap_or(0))).map_or(&[], Vec::as_slice)
    }

    /// Where a step, or an item of it, stands.
    pub(crate) fn step_progress(&self, step: &str, index: Option<u32>) -> StepProgress<'_> {
        retry::step_progress(self.committed(step, index), self.claimed_at)
    }

    /// Whether anything of a step, or of an item of it, is committed.
    pub(crate) fn has_committed(&self, step: &str) -> bool {
        self.committed.contains_key(&(step.to_owned(), 0)) || self.committed.keys().any(|(name, _)| name == step)
    }

    /// Takes outputs that were fetched.
    pub(crate) fn take_outputs(&self, outputs: Vec<StepOutput>) {
        let mut held = self.outputs.lock().unwrap_or_else(PoisonError::into_inner);
        held.extend(outputs.into_iter().map(|StepOutput { step, index, output }| ((step, index), output.get().into())));
    }

    /// Drops the fetched outputs of a step's items.
    pub(crate) fn forget_items(&self, step: &str) {
        self.outputs.lock().unwrap_or_else(PoisonError::into_inner).retain(|(of, index), _| of != step || *index == 0);
    }

    /// What a committed attempt returned; null where it returned nothing, or where nobody needs it.
    pub(crate) fn output(&self, state: &StepState) -> Arc<str> {
        if let Some(output) = &state.output {
            return output.get().into();
        }
        let key = (state.step.step.clone(), state.step.index.unwrap_or(0));
        let held = self.outputs.lock().unwrap_or_else(PoisonError::into_inner);
        held.get(&key).map_or_else(|| "null".into(), Arc::clone)
    }
}

/// The secrets of the steps that have any, once for all attempts at them.
fn secrets_of(steps: &BTreeMap<String, StepSettings>) -> HashMap<String, Arc<Secrets>> {
    let with_secrets = steps.iter().filter(|(_, step)| !(step.secrets.is_empty() && step.usable_only.is_empty()));
    let secrets_of_step = |(name, step): (&String, &StepSettings)| {
        let mut secrets = Secrets::default();
        for (key, value) in &step.secrets {
            secrets.insert(key, value);
        }
        for (key, value) in &step.usable_only {
            secrets.insert_usable_only(key, value);
        }
        (name.clone(), Arc::new(secrets))
    };
    with_secrets.map(secrets_of_step).collect()
}

/// What takes time to be made of a plan.
pub(crate) struct PreparedPlan {
    seed: Vec<u8>,
    masker: Masker,
    usable_only_masker: Masker,
    memory: Arc<TaskMemory>,
}

/// Prepares a plan; the error says why it cannot be executed, and under which code. Takes up to a few tenths of a
/// second: for a turn of the team.
pub(crate) fn prepare(plan: &Plan) -> Result<PreparedPlan, Box<StepError>> {
    let refused = |code: &str, why: String| Box::new(StepError::new(code, why));
    let seed =
        hex::decode(&plan.seed).map_err(|error| refused("plan_not_executable", format!("the run's seed: {error}")))?;
    let secrets = plan.steps.iter().flat_map(|(step, settings)| {
        settings.secrets.iter().chain(&settings.usable_only).map(move |(key, value)| Secret { step, key, value })
    });
    let masker = Masker::new(secrets).map_err(|error| refused("secrets_too_large", error.to_string()))?;
    let usable_only = plan
        .steps
        .iter()
        .flat_map(|(step, settings)| settings.usable_only.iter().map(move |(key, value)| Secret { step, key, value }));
    let usable_only_masker =
        Masker::new(usable_only).map_err(|error| refused("secrets_too_large", error.to_string()))?;
    let memory = TaskMemory::new(TASK_BYTES);
    let sources = plan.files.values().chain(plan.library.values()).map(String::len).sum::<usize>();
    let outputs = plan.done.iter().filter_map(|state| Some(state.output.as_ref()?.get().len())).sum::<usize>();
    memory
        .hold(
            sources
                + outputs
                + plan.params.get().len()
                + masker.memory_usage()
                + usable_only_masker.memory_usage()
                + report::BUFFER_BYTES,
        )
        .map_err(|error| refused(TASK_MEMORY_LIMIT, error.to_string()))?;
    Ok(PreparedPlan { seed, masker, usable_only_masker, memory })
}
