//! The executor: takes task ids from the queue, claims tasks, has them driven.

use std::{future::Future, pin::pin, sync::Arc, time::Duration};

use lua_wasm_host::{Engine, SandboxThreads};
use restroy_run_queue::{
    queue::{Handler, Message, Queue},
    run_api::Batch,
};
use restroy_sdk::{
    event::{EventKind, StepError},
    ids::TaskId,
    status::RunStatus,
    time::Ambient,
};
use tokio_util::sync::CancellationToken;
use tracing::Instrument as _;

use crate::{
    capability::{
        files::{Scratch, remove_stale},
        http::Outbound,
    },
    client::{RunApi, TaskApi},
    config::{ExecutorConfig, ExecutorError},
    drive::{
        drive,
        task::{TaskContext, Tools},
    },
    health::Health,
    lease,
    metrics::Metrics,
};

/// How often the executor says that it is there.
const HEARTBEAT: Duration = Duration::from_secs(10);
/// How long the last heartbeat may take, which says that the slots are gone.
const FAREWELL: Duration = Duration::from_secs(1);
/// How long reporting the last and handing a task back may take.
const HAND_BACK: Duration = Duration::from_secs(5);
/// How long a slot is out of use when it could not even ask for a task.
const STAND_BACK: Duration = Duration::from_secs(2);
/// How often scratch folders that nobody uses are looked for.
const CLEANING: Duration = Duration::from_hours(1);

/// Executes tasks. See the crate's documentation.
pub struct Executor {
    config: ExecutorConfig,
    queue: Arc<dyn Queue>,
    api: Arc<RunApi>,
    tools: Tools,
    health: Health,
    /// Nothing new is taken.
    stopping: CancellationToken,
}

/// How the work on a task ends.
enum End {
    /// The run is over.
    Done,
    /// The task is in other hands.
    Lost,
    /// The executor ends before its work does.
    Abandoned,
}

impl std::fmt::Debug for Executor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Executor").field("config", &self.config).finish_non_exhaustive()
    }
}

impl Executor {
    /// An executor that was not started yet. Makes the scratch folder; contacts nobody.
    pub fn new(
        config: ExecutorConfig,
        engine: Engine,
        queue: Arc<dyn Queue>,
        ambient: Ambient,
    ) -> Result<Self, ExecutorError> {
        std::fs::create_dir_all(&config.scratch_dir)
            .map_err(|error| ExecutorError::Scratch { path: config.scratch_dir.clone(), error })?;
        let engine_id = engine.id().as_str();
        let metrics = Metrics::new(engine_id, config.slots.max(1));
        let authority = config.run_api_ca.as_deref();
        let api = RunApi::new(&config.run_api_url, &config.credential, engine_id, authority, metrics.clone())?;
        let api = Arc::new(api);
        let tools = Tools {
            engine,
            threads: SandboxThreads::new("tenants", None).map_err(ExecutorError::Threads)?,
            ambient,
            outbound: Outbound::new(config.http.clone()).map_err(ExecutorError::Http)?,
            limits: config.limits.clamped(),
            sandboxes_per_task: config.sandboxes_per_task as usize,
            metrics,
        };
        Ok(Self { config, queue, api, tools, health: Health::default(), stopping: CancellationToken::new() })
    }

    /// What it counts; to be asked for before [`Executor::run`] takes the executor.
    pub fn metrics(&self) -> Metrics {
        self.tools.metrics.clone()
    }

    /// How it stands; to be asked for before [`Executor::run`] takes the executor.
    pub fn health(&self) -> Health {
        self.health.clone()
    }

    /// Works until `shutdown` resolves. Then nothing new is taken, tasks at work go on for at most
    /// [`ExecutorConfig::drain`], and what is not done by then is handed back, for whoever claims it
    /// next.
    pub async fn run(self, shutdown: impl Future<Output = ()> + Send + 'static) {
        let this = Arc::new(self);
        let stopping = this.stopping.clone();
        let abandon = CancellationToken::new();
        let stop = {
            let (stopping, abandon, drain) = (stopping.clone(), abandon.clone(), this.config.drain);
            let health = this.health.clone();
            tokio::spawn(async move {
                shutdown.await;
                health.drains();
                stopping.cancel();
                tokio::time::sleep(drain).await;
                abandon.cancel();
            })
        };
        let handler: Handler = {
            let this = Arc::clone(&this);
            Arc::new(move |message: Message| {
                let (this, abandon) = (Arc::clone(&this), abandon.clone());
                let span = tracing::info_span!("task", task_id = %message.task_id);
                Box::pin(
                    async move {
                        if let Some(scratch) = this.take(message.task_id, &abandon).await {
                            let _ = tokio::task::spawn_blocking(move || scratch.remove_all()).await;
                        }
                    }
                    .instrument(span),
                )
            })
        };
        let stopped = Box::pin(stopping.clone().cancelled_owned());
        let work = this.queue.consume(this.config.slots.max(1) as usize, handler, stopped);
        tokio::select! {
            () = work => {}
            () = this.say_alive(&stopping) => {}
            () = this.clean() => {}
        }
        // Word of it must not hold up the end.
        let _ = tokio::time::timeout(FAREWELL, this.api.heartbeat(0)).await;
        stop.abort();
    }

    /// Says that it is there, with how many slots: none once it drains, so that nothing is admitted
    /// on its account.
    async fn say_alive(&self, stopping: &CancellationToken) {
        loop {
            let draining = stopping.is_cancelled();
            match self.api.heartbeat(if draining { 0 } else { self.config.slots }).await {
                Ok(answer) => {
                    self.health.heard();
                    tracing::debug!(executor_id = %answer.executor_id, "heartbeat");
                }
                Err(error) => {
                    self.health.refused(&error.to_string());
                    tracing::warn!(%error, "the heartbeat is not heard");
                }
            }
            tokio::select! {
                () = tokio::time::sleep(HEARTBEAT) => {}
                () = stopping.cancelled(), if !draining => {}
            }
        }
    }

    async fn clean(&self) {
        loop {
            let (root, ambient) = (self.config.scratch_dir.clone(), self.tools.ambient.clone());
            let cleaned = tokio::task::spawn_blocking(move || remove_stale(&root, &ambient)).await;
            if let Ok(Err(error)) = cleaned {
                tracing::warn!(%error, "old scratch folders cannot be removed");
            }
            tokio::time::sleep(CLEANING).await;
        }
    }

    /// Puts a task back for the others, and keeps its slot for a while: an executor whose credential was
    /// revoked, or that does not reach the run API, would else always have a slot to spare, and take from
    /// the others what they could do.
    async fn stand_back(&self, task_id: TaskId) {
        if let Err(error) = self.queue.push(Message { task_id }).await {
            // The dispatcher notices that nobody has it.
            tracing::debug!(%error, "the task is not put back");
        }
        let _ = tokio::time::timeout(STAND_BACK, self.stopping.cancelled()).await;
    }

    /// Claims a task and has it driven to its end, or until its lease is lost, or until it is to be
    /// abandoned. Gives the scratch folder of a run that is over.
    async fn take(&self, task_id: TaskId, abandon: &CancellationToken) -> Option<Arc<Scratch>> {
        if abandon.is_cancelled() {
            return None;
        }
        let _busy = self.tools.metrics.busy();
        let (claimed, asked) = match self.api.claim(task_id, self.tools.ambient.uuid()).await {
            Ok(Some(claimed)) => claimed,
            Ok(None) => {
                tracing::debug!("somebody else has the task");
                return None;
            }
            Err(error) => {
                tracing::warn!(%error, "the task cannot be claimed: it will be handed out again");
                if error.is_ours() {
                    self.stand_back(task_id).await;
                }
                return None;
            }
        };
        let run_id = claimed.plan.run_id;
        let fence = claimed.fence;
        tracing::info!(%run_id, fence, "the task is taken");
        let api =
            TaskApi::new(Arc::clone(&self.api), task_id, claimed.token, claimed.lease_ms, asked, claimed.egress_left);
        let scratch = Arc::new(Scratch::new(&self.config.scratch_dir, run_id, self.config.scratch_bytes));
        let task = match TaskContext::new(claimed.plan, api, Arc::clone(&scratch), self.tools.clone()) {
            Ok(task) => Arc::new(task),
            Err((error, api)) => {
                tracing::error!(%run_id, error, "the plan cannot be executed");
                // Whoever takes the task next would come to the same point: the run ends here.
                let error = Some(StepError::new("plan_not_executable", error));
                let events = vec![EventKind::RunFinished { status: RunStatus::Failed, error }];
                let batch = Batch { n: 1, engine_id: api.engine_id().to_owned(), events, egress_bytes: 0 };
                let _ = api.events(&batch).await;
                return None;
            }
        };
        let mut delivery = pin!(task.reporter.deliver(&task.api));
        let end = tokio::select! {
            // Not on these threads: they renew leases and report, for all tasks.
            () = self.tools.threads.run(drive(Arc::clone(&task))) => End::Done,
            _ = &mut delivery => End::Lost,
            () = lease::keep(&task.api, &task.progress) => End::Lost,
            () = task.api.lost.cancelled() => End::Lost,
            () = abandon.cancelled() => End::Abandoned,
        };
        if matches!(end, End::Abandoned) {
            // Its sandboxes are stopped. What they got done is recorded, the rest goes to the next.
            let given_back = async {
                tokio::select! {
                    () = task.reporter.committed(task.reporter.newest()) => {}
                    _ = &mut delivery => {}
                }
                task.api.release().await.is_ok()
            };
            if tokio::time::timeout(HAND_BACK, given_back).await.unwrap_or(false) {
                tracing::info!(%run_id, fence, "the task is handed back");
            } else {
                tracing::warn!(%run_id, fence, "the task cannot be handed back: its lease ends by itself");
            }
            return None;
        }
        if matches!(end, End::Done) {
            tracing::info!(%run_id, "the run is over");
            Some(scratch)
        } else {
            // The run may have been cancelled, or go on elsewhere; if it comes back here its files
            // are still there, and if not they are removed when they are old.
            tracing::warn!(%run_id, fence, "the task's lease was lost: its sandboxes are stopped");
            self.tools.metrics.lease_lost();
            None
        }
    }
}
