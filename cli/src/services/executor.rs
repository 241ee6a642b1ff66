//! `restroy executor`: executes runs for a control-plane.

use std::{sync::Arc, time::Duration};

use axum::{
    Json, Router,
    http::{StatusCode, header},
    routing::get,
};
use clap::Args as ClapArgs;
use lua_wasm_host::{Engine, Isolation, ProcessConfig};
use restroy_executor::{
    ClientIdentity, Executor, ExecutorConfig, ExecutorError, Health, HttpPolicy, metrics, metrics::Metrics,
};
use restroy_run_queue::{queue::Queue, redis::RedisQueue};
use restroy_sdk::time::Ambient;
use serde_json::json;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::{
    listen::{Listener, RunningServers},
    log, signals,
};
use crate::{
    failure::{Failure, Outcome},
    output,
    settings::{GivenFlags, ResolvedSettings, environment, tables, value::IsolationMode},
};

/// How long the end may take once the drain is over: handing back, and saying so.
const HANDING_BACK: Duration = Duration::from_secs(10);

/// Execute runs for control-planes
///
/// Any number of them, anywhere; each knows the run API and the queue, and no database. SIGTERM or Ctrl-C ends it in good order: it takes nothing new, finishes what it can, and hands the
/// rest back. A second one ends it at once.
#[derive(Debug, ClapArgs)]
pub(crate) struct ExecutorArgs {
    #[command(flatten)]
    settings: GivenFlags<tables::Executor>,
}

/// Runs until it is asked to stop.
pub(crate) async fn executor(args: ExecutorArgs) -> Outcome {
    let settings = ResolvedSettings::resolve(&args.settings, &environment())?.settings;
    log::start(settings.log_format, "info")?;
    let mut process = ExecutorProcess::start(settings).await?;
    let ended = tokio::select! {
        failure = process.operators.failed() => Err(failure),
        _ = &mut process.executing => {
            return Err(Failure::new("the executor ended unexpectedly").help("See its log for details."));
        }
        () = signals::asked_to_stop() => Ok(()),
    };
    super::abort_on_second_signal(process.stop()).await?;
    ended
}

/// The running parts.
struct ExecutorProcess {
    operators: RunningServers,
    executing: JoinHandle<()>,
    stop: CancellationToken,
    drain: Duration,
}

impl ExecutorProcess {
    async fn start(settings: tables::Executor) -> Outcome<Self> {
        let ambient = Ambient::system();
        let redis = super::redis(&settings.redis_url, &settings.redis_prefix, settings.redis_ca.as_deref())?;
        let listener = Listener::bind(settings.metrics_listen, "RESTROY_METRICS_LISTEN or --metrics-listen")?;
        let isolation = match settings.isolation {
            IsolationMode::Thread => Isolation::Thread,
            IsolationMode::Process => Isolation::Process(ProcessConfig {
                idle: settings.idle_workers.0 as usize,
                allow_partial: settings.isolation_allow_partial,
                ..ProcessConfig::this_program()
            }),
        };
        let (slots, drain) = (settings.slots.0, settings.drain.0);
        let config = ExecutorConfig {
            slots,
            drain,
            http: HttpPolicy {
                allow_loopback: settings.allow_loopback_http,
                denied_networks: settings.denied_networks.0,
            },
            run_api_ca: settings.run_api_ca,
            run_api_client: settings
                .run_api_client_cert
                .zip(settings.run_api_client_key)
                .map(|(certificate, key)| ClientIdentity { certificate, key }),
            scratch_total_bytes: settings.scratch_total.0,
            ..ExecutorConfig::new(settings.run_api_url.0, settings.credential.expose(), settings.scratch_dir)
        };
        let sandboxes = slots.saturating_mul(config.sandboxes_per_task).clamp(16, 512);
        let engine = super::engine(sandboxes, settings.engine_cache_dir, isolation).await?;
        let isolation = IsolationNotes::from_engine(&engine);
        let queue = Arc::new(RedisQueue::start(&redis));
        let executor = Executor::new(config, engine, Arc::clone(&queue) as Arc<dyn Queue>, ambient)
            .map_err(|error| start_error(&error))?;
        let stop = CancellationToken::new();
        let mut operators = RunningServers::default();
        let metrics = listener.address;
        operators
            .serve(
                "the metrics",
                listener,
                for_operators(executor.health(), executor.metrics(), Arc::clone(&queue), isolation.clone()),
                None,
            )
            .map_err(|error| Failure::new(format!("cannot serve: {error}")))?;
        let executing = tokio::spawn(executor.run(stop.clone().cancelled_owned()));
        output::print(&format!(
            "Restroy executes {slots} runs at once\nmetrics on http://{metrics}\nscripts run {}",
            isolation.mode
        ));
        for note in &isolation.notes {
            output::print(&format!("note: {note}"));
            tracing::warn!(note, "scripts are less isolated than they could be");
        }
        tracing::info!(slots, %metrics, "the executor is running");
        Ok(Self { operators, executing, stop, drain })
    }

    async fn stop(self) {
        tracing::info!(drain = ?self.drain, "stopping: no new tasks are taken");
        self.stop.cancel();
        if tokio::time::timeout(self.drain + HANDING_BACK, self.executing).await.is_err() {
            tracing::error!("the executor does not stop: its tasks are reclaimed when their leases expire");
        }
        self.operators.stop(Duration::ZERO).await;
        tracing::info!("stopped");
    }
}

/// What keeps scripts in, for operators.
#[derive(Debug, Clone)]
struct IsolationNotes {
    /// Completes "scripts run …".
    mode: &'static str,
    /// What is missing.
    notes: Vec<String>,
}

impl IsolationNotes {
    fn from_engine(engine: &Engine) -> Self {
        match engine.isolation() {
            Some(report) => {
                let mode = match (report.seccomp, report.landlock) {
                    (true, true) => "in worker processes, kept in by seccomp and Landlock",
                    (true, false) => "in worker processes, kept in by seccomp",
                    _ => "in worker processes",
                };
                Self { mode, notes: report.notes.clone() }
            }
            None => Self {
                mode: "on threads of this process",
                notes: vec![
                    "RESTROY_ISOLATION=thread: a fault of the sandbox engine would give a script all that this process has"
                        .to_owned(),
                ],
            },
        }
    }
}

fn start_error(error: &ExecutorError) -> Failure {
    let failure = Failure::new(error.to_string());
    match error {
        ExecutorError::Address(_) | ExecutorError::Plaintext(_) => failure.help("see RESTROY_RUN_API_URL"),
        ExecutorError::Authority { .. } => failure.help("see RESTROY_RUN_API_CA"),
        ExecutorError::Certificate { .. } => {
            failure.help("see RESTROY_RUN_API_CLIENT_CERT and RESTROY_RUN_API_CLIENT_KEY")
        }
        ExecutorError::Scratch { .. } => failure.help("see RESTROY_SCRATCH_DIR"),
        ExecutorError::Http(_) | ExecutorError::Threads(_) => failure,
    }
}

/// `/healthz`, `/readyz` and `/metrics`.
fn for_operators(health: Health, metrics: Metrics, queue: Arc<RedisQueue>, isolation: IsolationNotes) -> Router {
    let ready = {
        let queue = Arc::clone(&queue);
        async move || {
            let mut trouble = health.problems();
            // Without the queue no work comes in, so here it is no mere note.
            if let Err(unusable) = queue.check().await {
                trouble.push(format!("no tasks arrive: {unusable}"));
            }
            let (code, status) = if trouble.is_empty() {
                (StatusCode::OK, "ready")
            } else {
                (StatusCode::SERVICE_UNAVAILABLE, "unready")
            };
            let notes: Vec<String> = isolation.notes.iter().cloned().chain(health.warning()).collect();
            (code, Json(json!({ "status": status, "reasons": trouble, "notes": notes })))
        }
    };
    let figures = async move || {
        metrics.redis_connected(queue.connected());
        ([(header::CONTENT_TYPE, metrics::CONTENT_TYPE)], metrics.text())
    };
    Router::new()
        .route("/healthz", get(async || Json(json!({ "status": "ok" }))))
        .route("/readyz", get(ready))
        .route("/metrics", get(figures))
}
