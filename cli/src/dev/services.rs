//! The whole installation in one process: the same parts that run apart in production, on SQLite
//! and an in-memory queue.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use lua_wasm_host::{Engine, EngineConfig, Isolation, ProcessConfig};
use restroy_control_plane::{
    api,
    auth::{Registration, token::TokenKeys},
    executor_api,
    runs::{self, executors::Terms},
    secrets::KeyRing,
    spawn_services,
    state::{AppDeps, AppState, Settings as ControlPlaneSettings},
};
use restroy_executor::{Executor, ExecutorConfig, HttpPolicy};
use restroy_run_queue::{memory::MemoryQueue, queue::Queue, wake::WakeUps};
use restroy_sdk::time::Ambient;
use secrecy::SecretBox;
use tokio::{net::TcpListener, task::JoinSet, time::timeout};
use tokio_util::sync::CancellationToken;

use super::{DevError, data_folder::DataFolder, database};
use crate::{
    compiler::SandboxCompiler,
    services::listen::{Listener, RunningServers},
    settings::{tables::Dev, value::IsolationMode},
};

/// How long active runs may continue after the order to stop.
const DRAIN: Duration = Duration::from_secs(3);
/// The file of the key that signs access tokens.
const TOKEN_KEY: &str = "token.key";
/// Who uses the installation owns it: what runs wild is stopped, nobody else is.
const REQUESTS_PER_MINUTE: u32 = 60_000;

/// An installation that runs; ends when it is asked to stop.
pub(super) struct Installation {
    /// Where the API listens.
    pub(super) address: SocketAddr,
    /// Ends the executor; the rest continues until it has reported what it could finish.
    stop_executor: CancellationToken,
    executor: JoinSet<()>,
    stop: CancellationToken,
    parts: JoinSet<()>,
    state: AppState,
    _folder: DataFolder,
}

impl Installation {
    /// Starts every part: nothing is served before all of them are there.
    pub(super) async fn start(settings: &Dev, ambient: Ambient) -> Result<Self, DevError> {
        let folder = DataFolder::open(&settings.data_dir)?;
        let cache = folder.path().join("engine-cache");
        let engine = engine(EngineConfig { cache_dir: Some(cache.clone()), ..EngineConfig::default() }).await?;
        // The compiler's sandboxes are on threads either way.
        let executing = match settings.isolation {
            IsolationMode::Thread => engine.clone(),
            IsolationMode::Process => {
                let isolation = Isolation::Process(ProcessConfig::this_program());
                self::engine(EngineConfig { cache_dir: Some(cache), isolation, ..EngineConfig::default() }).await?
            }
        };

        let listener =
            TcpListener::bind(settings.listen).await.map_err(|error| DevError::Listen(settings.listen, error))?;
        let address = listener.local_addr().map_err(|error| DevError::Listen(settings.listen, error))?;
        let db = database::open(&folder).await?;
        let queue: Arc<dyn Queue> = Arc::new(MemoryQueue::new());
        let (keys, tokens) = keys(&folder, &ambient)?;
        let state = AppState::new(AppDeps {
            db,
            ambient: ambient.clone(),
            queue: Arc::clone(&queue),
            wake: WakeUps::default(),
            compiler: Arc::new(
                SandboxCompiler::new(engine).map_err(|error| DevError::Part("the compiler", error.to_string()))?,
            ),
            keys,
            tokens,
            settings: ControlPlaneSettings {
                dev: true,
                registration: Registration::Open,
                public_url: format!("http://{address}"),
                requests_per_minute: REQUESTS_PER_MINUTE,
                // The slots are one's own.
                runs_per_owner: 0,
                ..ControlPlaneSettings::default()
            },
        });

        // No other process can hold a lease: what the last one left is taken back at once.
        runs::boot::start_embedded(&state).await.map_err(|error| DevError::Part("recovery", error.to_string()))?;
        let terms = Terms { slots: settings.slots.0, ..Terms::default() };
        let credential = runs::executors::create(&state, "embedded", &terms)
            .await
            .map_err(|error| DevError::Part("the executor's credential", error.to_string()))?
            .1;
        let run_api =
            TcpListener::bind("127.0.0.1:0").await.map_err(|error| DevError::Part("the run API", error.to_string()))?;
        let run_api_url = run_api
            .local_addr()
            .map(|address| format!("http://{address}"))
            .map_err(|error| DevError::Part("the run API", error.to_string()))?;
        let executor = Executor::new(
            ExecutorConfig {
                slots: settings.slots.0,
                drain: DRAIN,
                http: HttpPolicy {
                    allow_loopback: settings.allow_loopback_http,
                    denied_networks: settings.denied_networks.0.clone(),
                },
                ..ExecutorConfig::new(run_api_url, credential, folder.scratch())
            },
            executing,
            queue,
            ambient,
        )
        .map_err(|error| DevError::Part("the executor", error.to_string()))?;

        let stop = CancellationToken::new();
        let mut parts = JoinSet::new();
        serve(&mut parts, "the API", listener, api::router(state.clone()), &stop)?;
        serve(&mut parts, "the run API", run_api, executor_api::router(state.clone()), &stop)?;
        let services = spawn_services(&state, &stop);
        parts.spawn(async move { services.stopped().await });
        let stop_executor = CancellationToken::new();
        let mut executing = JoinSet::new();
        executing.spawn(executor.run(stop_executor.clone().cancelled_owned()));
        Ok(Self { address, stop_executor, executor: executing, stop, parts, state, _folder: folder })
    }

    /// Whether a part ended by itself, which it never should.
    pub(super) async fn failed(&mut self) {
        tokio::select! {
            _ = self.parts.join_next() => {}
            _ = self.executor.join_next() => {}
        }
    }

    /// Takes nothing new, finishes what is running within a few seconds, and ends. What is not finished continues at
    /// the next start.
    pub(super) async fn stop(self) {
        self.stop_executor.cancel();
        let _ = timeout(DRAIN * 2, self.executor.join_all()).await;
        self.state.stopping.cancel();
        let _ = timeout(DRAIN, self.state.watchers.drained()).await;
        self.stop.cancel();
        let _ = timeout(DRAIN, self.parts.join_all()).await;
        self.state.db.close().await;
    }
}

async fn engine(config: EngineConfig) -> Result<Engine, DevError> {
    tokio::task::spawn_blocking(move || Engine::new(config))
        .await
        .map_err(|error| DevError::Part("the sandbox engine", error.to_string()))?
        .map_err(|error| DevError::Part("the sandbox engine", error.to_string()))
}

fn keys(folder: &DataFolder, ambient: &Ambient) -> Result<(KeyRing, TokenKeys), DevError> {
    let ring = super::keys::ring(folder, ambient)?;
    let token = folder.secret_text(TOKEN_KEY, || hex::encode(ambient.random::<32>()))?;
    let tokens = TokenKeys::new(&SecretBox::new(token.trim().as_bytes().to_vec().into_boxed_slice()))
        .map_err(|error| DevError::Key(folder.path().join(TOKEN_KEY), error.to_string()))?;
    Ok((ring, tokens))
}

fn serve(
    parts: &mut JoinSet<()>,
    name: &'static str,
    listener: TcpListener,
    router: axum::Router,
    stop: &CancellationToken,
) -> Result<(), DevError> {
    let failed = |error: std::io::Error| DevError::Part(name, error.to_string());
    let mut serving = RunningServers::default();
    let listener = listener.into_std().and_then(Listener::from_socket).map_err(failed)?;
    serving.serve(name, listener, router, None).map_err(failed)?;
    let stop = stop.clone();
    parts.spawn(async move {
        tokio::select! {
            failure = serving.failed() => tracing::error!(?failure, "a listener failed"),
            () = stop.cancelled() => {}
        }
        serving.stop(DRAIN).await;
    });
    Ok(())
}
