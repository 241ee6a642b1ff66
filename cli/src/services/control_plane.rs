//! `restroy control-plane`: API, run API, and the loops that keep runs going.

use std::{sync::Arc, time::Duration};

use axum::routing::get;
use clap::Args as ClapArgs;
use lua_wasm_host::Isolation;
use restroy_control_plane::{
    api,
    auth::{oidc::OidcSettings, token::TokenKeys},
    clock::DatabaseClock,
    executor_api,
    mail::{self, MailSettings},
    metrics::scrape,
    runs, spawn_services,
    state::{AppDeps, AppState, Settings},
    store::{Db, PostgresOptions, stranger_mails::StrangerMails},
};
use restroy_run_queue::{redis::RedisQueue, wake::WakeUps};
use restroy_sdk::time::{Ambient, System};
use secrecy::SecretBox;
use tokio_util::sync::CancellationToken;

use super::{
    listen::{Listener, RunningServers},
    log, signals, tls,
};
use crate::{
    compiler::SandboxCompiler,
    failure::{Failure, Outcome},
    output,
    settings::{GivenFlags, ResolvedSettings, environment, tables::ControlPlane, value::SecretUrl},
};

/// How many sandboxes compile what people send, at once.
const COMPILING: u32 = 16;

/// Serve people and executors, on Postgres and Redis
///
/// API, run API, and the loops that keep runs going; any number of them share the work. Prints the addresses it listens on, one a line. SIGTERM or Ctrl-C ends it in good order, a second
/// one at once; SIGHUP makes it read the run API's certificate again.
#[derive(Debug, ClapArgs)]
pub(crate) struct ControlPlaneArgs {
    #[command(flatten)]
    settings: GivenFlags<ControlPlane>,
}

/// Runs until it is asked to stop.
pub(crate) async fn control_plane(args: ControlPlaneArgs) -> Outcome {
    let settings = ResolvedSettings::resolve(&args.settings, &environment())?.settings;
    log::start(settings.log_format, "info")?;
    let mut process = ControlPlaneProcess::start(settings).await?;
    let ended = tokio::select! {
        failure = process.api.failed() => Err(failure),
        failure = process.operators.failed() => Err(failure),
        () = process.services.failed() => {
            Err(Failure::new("a background service ended unexpectedly").help("See the log for details."))
        }
        () = signals::asked_to_stop() => Ok(()),
    };
    super::abort_on_second_signal(process.stop()).await?;
    ended
}

/// The database with the newest schema, as the control-plane's role.
pub(crate) async fn database(url: &SecretUrl, connections: u32) -> Outcome<Db> {
    let db = Db::open_postgres(&PostgresOptions { connections, ..PostgresOptions::new(url.expose()) }).await.map_err(
        |error| {
            Failure::new(format!("cannot use the database {url:?}: {error}")).help(
                "check RESTROY_DATABASE_URL and that Postgres is running; `restroy migrate` creates schema and role",
            )
        },
    )?;
    match db.migrate().await {
        Ok(()) => Ok(db),
        Err(error) => {
            db.close().await;
            Err(Failure::new(format!("cannot use the database {url:?}: {error}")).help(
                "`restroy migrate`, with RESTROY_DATABASE_OWNER_URL and RESTROY_DATABASE_URL, applies the migrations",
            ))
        }
    }
}

/// How long each of these may take at the end: streams that close, leases given up, connections closed.
const CLOSING: Duration = Duration::from_secs(3);

/// The running parts.
struct ControlPlaneProcess {
    state: AppState,
    /// People's and executors' listeners.
    api: RunningServers,
    /// The operators' listener: reports to the end how things stand.
    operators: RunningServers,
    services: runs::Services,
    /// Ends the services.
    stop: CancellationToken,
    drain: Duration,
}

impl ControlPlaneProcess {
    async fn start(settings: ControlPlane) -> Outcome<Self> {
        // What is decided by time is decided by the database's clock, on every replica.
        let clock = Arc::new(DatabaseClock::system());
        let ambient = Ambient::new(Arc::clone(&clock) as _, Arc::new(System));
        let tls = match (&settings.run_api_tls_cert, &settings.run_api_tls_key) {
            (Some(certificate), Some(key)) => {
                Some(tls::TlsFiles { certificate: certificate.clone(), key: key.clone() })
            }
            _ => None,
        };
        let certificate = tls.as_ref().map(tls::TlsFiles::load).transpose().map_err(|error| {
            Failure::new(format!("the run API's certificate cannot be used: {error}"))
                .help("check RESTROY_RUN_API_TLS_CERT and RESTROY_RUN_API_TLS_KEY")
        })?;
        let redis = super::redis(&settings.redis_url, &settings.redis_prefix, settings.redis_ca.as_deref())?;
        let mail = match (&settings.smtp_url, &settings.smtp_from) {
            (Some(url), Some(from)) => Some(mail_settings(&settings, url, from)?),
            _ => None,
        };
        let oidc = match (&settings.oidc_issuer, &settings.oidc_client_id, &settings.oidc_client_secret) {
            (Some(issuer), Some(id), Some(secret)) => Some(OidcSettings {
                issuer: issuer.clone(),
                client_id: id.clone(),
                client_secret: secret.expose().to_owned().into(),
            }),
            _ => None,
        };
        // Bound first: what is missing for it is known at once, and callers wait instead of failing.
        let listeners = Listener::bind_all(&settings.listen, "RESTROY_LISTEN or --listen")?;
        let run_apis = Listener::bind_all(&settings.run_api_listen, "RESTROY_RUN_API_LISTEN or --run-api-listen")?;
        let operators_listener = Listener::bind(settings.metrics_listen, "RESTROY_METRICS_LISTEN or --metrics-listen")?;
        let (db, engine) = tokio::try_join!(
            database(&settings.database_url, settings.database_connections.0),
            super::engine(COMPILING, settings.engine_cache_dir.clone(), Isolation::Thread)
        )?;
        if let Err(error) = clock.measure(&db).await {
            tracing::warn!(%error, "this machine's clock is followed until the database's is measured");
        }
        let wake = WakeUps::over_redis(&redis, &ambient);
        let state = AppState::new(AppDeps {
            db,
            queue: Arc::new(RedisQueue::start(&redis)),
            wake,
            ambient,
            compiler: Arc::new(
                SandboxCompiler::new(engine)
                    .map_err(|error| Failure::new(format!("the threads that compile do not start: {error}")))?,
            ),
            keys: settings.master_keys.ring().map_err(Failure::new)?,
            tokens: TokenKeys::new(&SecretBox::new(settings.token_key.expose().to_vec().into_boxed_slice()))
                .map_err(|error| Failure::new(error.to_string()).help("see RESTROY_TOKEN_KEY"))?,
            settings: Settings {
                dev: false,
                public_url: settings.public_url.0.clone(),
                allowed_origins: settings.allowed_origins.0.clone(),
                mail,
                oidc,
                registration: settings.registration(),
                stranger_mails: StrangerMails {
                    per_network: settings.stranger_mails_per_network.0,
                    per_installation: settings.stranger_mails_per_hour.0,
                },
                trusted_proxies: settings.trusted_proxies.clone(),
                sign_ins_per_minute: settings.sign_ins_per_minute.0,
                requests_per_minute: settings.requests_per_minute.0,
                runs_per_owner: settings.runs_per_owner.0,
                lease: settings.lease.0,
                ..Settings::default()
            },
        });

        // Where Redis was emptied, or another one is named now, nobody else may have noticed yet.
        if let Err(error) = runs::boot::start_replica(&state).await {
            tracing::warn!(%error, "admitted tasks could not be pushed to the queue at startup; reconciliation pushes them within seconds");
        }
        let stop = CancellationToken::new();
        let services = spawn_services(&state, &stop);
        tokio::spawn(clock.run(state.domain.clone(), stop.clone()));
        let scheme = if certificate.is_some() { "https" } else { "http" };
        let (listening, run_api) = (shown("http", &listeners), shown(scheme, &run_apis));
        let metrics = operators_listener.address;
        if let (Some(files), Some(config)) = (tls, &certificate) {
            let stop = stop.clone();
            tokio::spawn(stop.run_until_cancelled_owned(files.keep_fresh(config.clone())));
        }
        let (mut api, mut operators) = (RunningServers::default(), RunningServers::default());
        let serve = || {
            // One router each, whose bounds hold for all its listeners together.
            let (router, run_router) = (api::router(state.clone()), executor_api::router(state.clone()));
            for listener in listeners {
                api.serve("the API", listener, router.clone(), None)?;
            }
            for listener in run_apis {
                api.serve("the run API", listener, run_router.clone(), certificate.clone())?;
            }
            operators.serve("the metrics", operators_listener, for_operators(&state), None)
        };
        serve().map_err(|error| Failure::new(format!("cannot serve: {error}")))?;
        output::print(&format!("Restroy listens on {listening}\nrun API on {run_api}\nmetrics on http://{metrics}"));
        tracing::info!(%listening, %run_api, %metrics, replica = %state.replica, "the control-plane is serving");
        Ok(Self { state, api, operators, services, stop, drain: settings.drain.0 })
    }

    async fn stop(self) {
        tracing::info!(drain = ?self.drain, "stopping");
        // Not ready from now on, and streams end: whoever sends callers here gets a moment to notice.
        self.state.stopping.cancel();
        tokio::time::sleep(self.drain / 10).await;
        self.api.stop(self.drain).await;
        let watchers = self.state.watchers.clone();
        if tokio::time::timeout(CLOSING, watchers.drained()).await.is_err() {
            tracing::warn!("streams that did not close in time are cut off");
        }
        self.stop.cancel();
        // An e-mail that is being handed over is sent twice when it is cut off.
        let services = self.drain.max(mail::sender::DRAIN_TIMEOUT + CLOSING);
        if tokio::time::timeout(services, self.services.stopped()).await.is_err() {
            tracing::warn!("a service did not end in time: its open work is rolled back");
        }
        // Without the database there is nothing to give up and nothing to wait for.
        match tokio::time::timeout(CLOSING, runs::boot::resign(&self.state)).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::warn!(%error, "others lead only when this replica's leases end"),
            Err(_) => tracing::warn!("others lead only when this replica's leases end: the database does not answer"),
        }
        let _ = tokio::time::timeout(CLOSING, self.state.db.close()).await;
        self.operators.stop(Duration::ZERO).await;
        tracing::info!("stopped");
    }
}

/// The addresses of listeners, for people.
fn shown(scheme: &str, listeners: &[Listener]) -> String {
    listeners.iter().map(|listener| format!("{scheme}://{}", listener.address)).collect::<Vec<_>>().join(", ")
}

fn mail_settings(settings: &ControlPlane, url: &SecretUrl, from: &str) -> Outcome<MailSettings> {
    let mail = MailSettings::new(url.expose(), from)
        .map_err(|error| Failure::new(error.to_string()).help("see RESTROY_SMTP_URL and RESTROY_SMTP_FROM"))?;
    mail.for_teams(settings.tenant_mail_from.as_deref(), settings.tenant_mail_html)
        .map_err(|error| Failure::new(error.to_string()).help("see RESTROY_TENANT_MAIL_FROM"))
}

fn for_operators(state: &AppState) -> axum::Router {
    let figures = state.clone();
    api::health::routes().with_state(state.clone()).route("/metrics", get(async move || scrape(&figures).await))
}
