//! The executor: takes task ids from the queue, claims tasks, has them driven.

use std::{future::Future, pin::pin, sync::Arc, time::Duration};

use lua_wasm_host::{Engine, Running, SandboxThreads};
use restroy_run_queue::{
    queue::{Handler, Message, Queue},
    run_api::{Batch, HeldTask, ReleaseReason},
};
use restroy_sdk::{
    event::EventKind,
    ids::{RunId, TaskId},
    status::RunStatus,
    time::Ambient,
};
use tokio::{sync::watch, time::Instant};
use tokio_util::sync::CancellationToken;
use tracing::Instrument as _;

use crate::{
    capability::{
        files::{FolderDisposition, ScratchFolders},
        http::OutboundHttp,
    },
    client::{LeaseLost, RunApi, TaskApi},
    config::{ExecutorConfig, ExecutorError},
    health::Health,
    lease,
    metrics::Metrics,
    run::{
        run_task,
        task::{ExecutorServices, TaskContext, prepare},
    },
    signals::{self, ReleaseCell, Signals},
    tenant_work,
};

/// How often the executor says that it is there.
const HEARTBEAT: Duration = Duration::from_secs(10);
/// How long the last heartbeat may take, which says that the slots are gone.
const FINAL_HEARTBEAT_TIMEOUT: Duration = Duration::from_secs(1);
/// How long reporting the last and handing a task back may take.
const HAND_BACK: Duration = Duration::from_secs(5);
/// How long the sandboxes of a released task may take to stop before its slot is used again all the same.
const STOP_TIMEOUT: Duration = Duration::from_secs(1);
/// The pauses after which a confirmation that did not get through is sent again.
const CONFIRM_PAUSES: [Duration; 3] = [Duration::from_millis(200), Duration::from_secs(1), Duration::from_secs(5)];
/// How long after a control-plane did not suspend a run that waits, before it is asked again.
const SUSPEND_REFUSED_PAUSE: Duration = Duration::from_secs(30);
/// How long a slot is out of use when it could not even ask for a task.
const STAND_BACK: Duration = Duration::from_secs(2);
/// How often scratch folders that nobody uses are looked for.
const CLEANING: Duration = Duration::from_mins(1);

/// Executes tasks. See the crate's documentation.
pub struct Executor {
    config: ExecutorConfig,
    queue: Arc<dyn Queue>,
    api: Arc<RunApi>,
    signals: Arc<Signals>,
    tools: ExecutorServices,
    folders: Arc<ScratchFolders>,
    health: Health,
    /// Nothing new is taken.
    stopping: CancellationToken,
}

/// How the work on a task ends.
enum TaskEnd {
    /// The run is over.
    Done,
    /// The task is in other hands.
    Lost,
    /// Nothing is left but attempts whose time has not come: it was given back until then.
    Suspended,
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
        let api = RunApi::new(&config, engine_id, metrics.clone())?;
        let api = Arc::new(api);
        let running = if engine.isolation().is_some() { Running::Calls } else { Running::Sandboxes };
        let tools = ExecutorServices {
            engine,
            threads: SandboxThreads::new("tenants", None, running).map_err(ExecutorError::Threads)?,
            tenant_work: tenant_work::executor(&config),
            ambient,
            outbound: OutboundHttp::new(config.http.clone()).map_err(ExecutorError::Http)?,
            sandboxes_per_task: config.sandboxes_per_task as usize,
            metrics,
        };
        let folders =
            Arc::new(ScratchFolders::new(&config.scratch_dir, config.scratch_bytes, config.scratch_total_bytes));
        Ok(Self {
            config,
            queue,
            api,
            signals: Arc::default(),
            tools,
            folders,
            health: Health::default(),
            stopping: CancellationToken::new(),
        })
    }

    /// What it counts; to be asked for before [`Executor::run`] takes the executor.
    pub fn metrics(&self) -> Metrics {
        self.tools.metrics.clone()
    }

    /// How it stands; to be asked for before [`Executor::run`] takes the executor.
    pub fn health(&self) -> Health {
        self.health.clone()
    }

    /// Works until `shutdown` resolves. Then nothing new is taken, running tasks continue for at most
    /// [`ExecutorConfig::drain`], and what is not done by then is handed back, for whoever claims it next.
    pub async fn run(self, shutdown: impl Future<Output = ()> + Send + 'static) {
        let this = Arc::new(self);
        let stopping = this.stopping.clone();
        let abandon = CancellationToken::new();
        let stop = {
            let (stopping, abandon, drain) = (stopping.clone(), abandon.clone(), this.config.drain);
            let health = this.health.clone();
            tokio::spawn(async move {
                shutdown.await;
                health.set_draining();
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
                        if let Some((run_id, leave)) = this.run_claimed(message.task_id, &abandon).await {
                            let folders = Arc::clone(&this.folders);
                            let leave = move || folders.release(run_id, leave, Instant::now());
                            let _ = tokio::task::spawn_blocking(leave).await;
                        }
                    }
                    .instrument(span),
                )
            })
        };
        let stopped = Box::pin(stopping.clone().cancelled_owned());
        let (allowed, mut allows) = watch::channel(None);
        let work = async {
            // The answer to the first heartbeat says how much may be taken; without one it is tried all the same.
            let allowed = tokio::select! {
                answered = allows.wait_for(Option::is_some) => answered.ok().and_then(|allowed| *allowed),
                () = stopping.cancelled() => None,
            };
            this.queue.consume(this.slots(allowed), handler, stopped).await;
        };
        tokio::select! {
            () = work => {}
            () = this.heartbeat_loop(&stopping, &allowed) => {}
            () = this.remove_expired_folders() => {}
            () = signals::listen(&this.api, &this.signals) => {}
        }
        // Word of it must not hold up the end.
        let _ = tokio::time::timeout(FINAL_HEARTBEAT_TIMEOUT, this.api.heartbeat(0)).await;
        stop.abort();
    }

    /// How many tasks it takes at once: as many as it is set up for, within what its operator allows.
    fn slots(&self, allowed: Option<u32>) -> usize {
        let own = self.config.slots.max(1);
        match allowed {
            Some(allowed) if allowed < own => {
                tracing::warn!(
                    own,
                    allowed,
                    "the operator allows fewer slots than this executor is set up for: it takes as many as are allowed \
                     (`restroy admin executor set`)"
                );
                allowed.max(1) as usize
            }
            _ => own as usize,
        }
    }

    /// Says that it is there, with how many slots: none once it drains, so that nothing is admitted on its account.
    /// Reports each time how many slots the answer allows.
    async fn heartbeat_loop(&self, stopping: &CancellationToken, allowed: &watch::Sender<Option<u32>>) {
        loop {
            let draining = stopping.is_cancelled();
            let allows = match self.api.heartbeat(if draining { 0 } else { self.config.slots }).await {
                Ok(answer) => {
                    self.health.heartbeat_accepted();
                    self.health.set_expiry(answer.expires_at.map(|at| at.since(self.tools.ambient.now())));
                    tracing::debug!(executor_id = %answer.executor_id, "heartbeat");
                    answer.slots
                }
                Err(error) => {
                    self.health.heartbeat_refused(&error.to_string());
                    tracing::warn!(%error, "the heartbeat is not heard");
                    None
                }
            };
            allowed.send_replace(Some(allows.unwrap_or(u32::MAX)));
            if let Some(warning) = self.health.warning() {
                tracing::warn!("{warning}");
            }
            tokio::select! {
                () = tokio::time::sleep(HEARTBEAT) => {}
                () = stopping.cancelled(), if !draining => {}
            }
        }
    }

    async fn remove_expired_folders(&self) {
        loop {
            let folders = Arc::clone(&self.folders);
            let cleaned = tokio::task::spawn_blocking(move || folders.remove_expired(Instant::now())).await;
            if let Ok(Err(error)) = cleaned {
                tracing::warn!(%error, "old scratch folders cannot be removed");
            }
            tokio::time::sleep(CLEANING).await;
        }
    }

    /// Puts a task back for the others, and keeps its slot for a while: an executor whose credential was
    /// revoked, or that does not reach the run API, would else always have a slot to spare, and take from
    /// the others what they could do.
    async fn put_back(&self, task_id: TaskId) {
        if let Err(error) = self.queue.push(Message { task_id }).await {
            // The dispatcher notices that nobody has it.
            tracing::debug!(%error, "the task is not returned to the queue");
        }
        let _ = tokio::time::timeout(STAND_BACK, self.stopping.cancelled()).await;
    }

    /// Claims a task and has it driven to its end, or until its lease is lost, or until it is to be
    /// abandoned. Gives the run, if it was claimed, and what becomes of its scratch folder.
    async fn run_claimed(&self, task_id: TaskId, abandon: &CancellationToken) -> Option<(RunId, FolderDisposition)> {
        if abandon.is_cancelled() {
            return None;
        }
        let _busy = self.tools.metrics.busy();
        let (claimed, asked) = match self.api.claim(task_id, self.tools.ambient.uuid()).await {
            Ok(Some(claimed)) => claimed,
            Ok(None) => {
                tracing::debug!("another executor has the task");
                return None;
            }
            Err(error) => {
                tracing::warn!(%error, "the task cannot be claimed: it will be queued again");
                if error.is_executor_fault() {
                    self.put_back(task_id).await;
                }
                return None;
            }
        };
        let claimed_at = Instant::now();
        let run_id = claimed.plan.run_id;
        let fence = claimed.fence;
        tracing::info!(%run_id, fence, "the task is taken");
        let release = ReleaseCell::default();
        let _held = self.signals.hold(HeldTask { task_id, fence }, &release);
        let api = TaskApi::new(
            Arc::clone(&self.api),
            task_id,
            claimed.token,
            claimed.lease_ms,
            asked,
            claimed.egress_left,
            release,
        );
        let plan = claimed.plan;
        let team = plan.team_id.0;
        let prepared = tokio::select! {
            prepared = self.tools.tenant_work.run(team, move || (prepare(&plan), plan)) => prepared,
            () = lease::hold(&api) => {
                tracing::warn!(%run_id, fence, "the task's lease was lost before it began");
                return None;
            }
        };
        let (prepared, plan) = match prepared {
            Ok(prepared) => prepared,
            Err(error) => {
                tracing::error!(%run_id, %error, "the plan is not prepared: the task's lease ends by itself");
                return None;
            }
        };
        // Scratch files take no turn: a folder has at most a thousand entries, and a slot works on one folder at a time.
        let (folders, team_id) = (Arc::clone(&self.folders), plan.team_id);
        let scratch = tokio::task::spawn_blocking(move || folders.open(run_id, team_id)).await.ok()?;
        let (tools, signals) = (self.tools.clone(), Arc::clone(&self.signals));
        let task = match prepared {
            Ok(prepared) => {
                Arc::new(TaskContext::new((plan, claimed_at), prepared, api, Arc::clone(&scratch), tools, signals))
            }
            Err(error) => {
                tracing::warn!(%run_id, code = error.code, error = error.message, "the plan cannot be executed");
                // Whoever takes the task next would come to the same point: the run ends here.
                let error = Some(*error);
                let events = vec![EventKind::RunFinished { status: RunStatus::Failed, error }];
                let batch = Batch { n: 1, engine_id: api.engine_id().to_owned(), events, egress_bytes: 0 };
                let _ = api.events(&batch).await;
                return Some((run_id, FolderDisposition::Remove));
            }
        };
        let mut delivery = pin!(task.reporter.deliver(&task.api));
        let end = tokio::select! {
            // Not on these threads: they renew leases and report, for all tasks.
            () = self.tools.threads.run(run_task(Arc::clone(&task))) => TaskEnd::Done,
            _ = &mut delivery => TaskEnd::Lost,
            () = lease::keep_lease(&task, &self.signals) => TaskEnd::Lost,
            () = suspend_while_waiting(&task) => TaskEnd::Suspended,
            () = task.api.lost.cancelled() => TaskEnd::Lost,
            () = abandon.cancelled() => TaskEnd::Abandoned,
        };
        if matches!(end, TaskEnd::Abandoned) {
            // Its sandboxes are stopped. What they got done is recorded, the rest goes to the next.
            let given_back = async {
                tokio::select! {
                    () = task.reporter.committed(task.reporter.newest()) => {}
                    _ = &mut delivery => {}
                }
                task.api.release().await.is_ok()
            };
            if tokio::time::timeout(HAND_BACK, given_back).await.unwrap_or(false) {
                tracing::info!(%run_id, fence, "the task is released");
            } else {
                tracing::warn!(%run_id, fence, "the task cannot be released: its lease will expire");
            }
            return Some((run_id, FolderDisposition::Keep));
        }
        if matches!(end, TaskEnd::Done) {
            tracing::info!(%run_id, "the run is over");
            return Some((run_id, FolderDisposition::Remove));
        }
        if matches!(end, TaskEnd::Suspended) {
            tracing::info!(%run_id, fence, "the run is suspended until a step is due");
            return Some((run_id, FolderDisposition::Keep));
        }
        let ended = task.api.release_reason() == Some(ReleaseReason::Ended);
        if ended {
            tracing::info!(%run_id, fence, "the run was ended: its sandboxes are stopped");
        } else {
            // If it comes back here its files are still there, for some minutes.
            tracing::warn!(%run_id, fence, "the task's lease was lost: its sandboxes are stopped");
            self.tools.metrics.lease_lost();
        }
        // What drove it is dropped; its sandboxes end with their next yield. The slot is not free before.
        let stopped = tokio::time::timeout(STOP_TIMEOUT, task.stopped()).await.is_ok();
        if ended {
            let confirm = confirm_stop(Arc::clone(&self.api), task_id, Arc::clone(&task));
            tokio::spawn(confirm.in_current_span());
        }
        if !stopped {
            tracing::warn!(%run_id, fence, "a sandbox does not stop");
            return Some((run_id, FolderDisposition::Keep));
        }
        Some((run_id, if ended { FolderDisposition::Remove } else { FolderDisposition::Keep }))
    }
}

/// Gives the task back once all that is left of it waits for long enough; never returns if the control-plane
/// does not take that.
async fn suspend_while_waiting(task: &TaskContext) {
    loop {
        task.activity.freeze().await;
        // What they wait for is recorded first: whoever continues with it finds it.
        task.reporter.committed(task.reporter.newest()).await;
        match task.api.suspend(task.activity.waiting()).await {
            Ok(true) => return,
            // Whoever looks after the lease ends the work.
            Err(LeaseLost) => std::future::pending().await,
            Ok(false) => {
                task.activity.thaw();
                tokio::time::sleep(SUSPEND_REFUSED_PAUSE).await;
            }
        }
    }
}

/// Reports to the run API that nothing is done any more for a task whose run was ended, once that is so: what waits
/// for its place starts then. Should the word get lost, it starts when the lease would have ended.
async fn confirm_stop(api: Arc<RunApi>, task_id: TaskId, task: Arc<TaskContext>) {
    task.stopped().await;
    for pause in CONFIRM_PAUSES {
        match api.stopped(task_id).await {
            Ok(()) => return,
            Err(error) => tracing::debug!(%error, "the stop is not confirmed yet"),
        }
        tokio::time::sleep(pause).await;
    }
}
