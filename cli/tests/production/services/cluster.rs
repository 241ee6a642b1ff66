//! An installation of several services, and what can be asked of it.

use std::{process::Command, time::Duration};

use serde_json::Value;
use sqlx::{AssertSqlSafe, ConnectOptions as _, Row as _, postgres::PgConnectOptions};
use url::Url;

use super::{
    proxy::far_away,
    servers::{Postgres, Redis},
    service::{Service, eventually},
};
pub use crate::process::http;
use crate::{
    installation::{Addresses, Installation, said},
    process::restroy,
};

/// What the services share, and how they are set up.
pub struct Cluster {
    pub installation: Installation,
    /// How long a lease lasts.
    pub lease: &'static str,
}

/// A control-plane and where it listens.
pub struct ControlPlane {
    pub service: Service,
    pub url: String,
    pub run_api: String,
    pub metrics: String,
}

/// An executor and where it says how it stands.
pub struct Executor {
    pub service: Service,
    pub metrics: String,
    pub id: String,
    pub credential: String,
}

impl Cluster {
    /// One on the servers that all tests share.
    pub fn new() -> Self {
        Self { installation: Installation::new(), lease: "30s" }
    }

    /// One on the shared Postgres and a Redis of the test's own.
    pub fn with_redis(redis: &Redis) -> Self {
        let mut cluster = Self::new();
        cluster.installation.at.redis = redis.url();
        cluster
    }

    /// One on servers of the test's own.
    pub async fn with_servers(postgres: &Postgres, redis: &Redis) -> Self {
        let (owner, database) = postgres.database().await;
        let at = Addresses { owner, database, redis: redis.url() };
        let mut migrate = restroy();
        migrate.arg("migrate").env("RESTROY_DATABASE_OWNER_URL", &at.owner);
        said(migrate.env("RESTROY_DATABASE_URL", &at.database));
        Self { installation: Installation::on(at), lease: "30s" }
    }

    /// A control-plane's command with all that it needs, every listener on a free port.
    pub fn control_plane_command(&self) -> Command {
        let mut command = self.installation.configured();
        command
            .arg("control-plane")
            .env("RESTROY_LEASE", self.lease)
            .env("RESTROY_LISTEN", "127.0.0.1:0")
            .env("RESTROY_RUN_API_LISTEN", "127.0.0.1:0")
            .env("RESTROY_DRAIN", "2s")
            .env("RESTROY_LOG", "info");
        command
    }

    /// Starts a control-plane.
    pub fn control_plane(&self, name: &str) -> ControlPlane {
        self.start_control_plane(name, self.control_plane_command())
    }

    /// Starts a control-plane where another one was.
    pub fn control_plane_again(&self, name: &str, before: &ControlPlane) -> ControlPlane {
        let at = |url: &str| url.rsplit('/').next().unwrap().to_owned();
        let mut command = self.control_plane_command();
        command.env("RESTROY_LISTEN", at(&before.url)).env("RESTROY_RUN_API_LISTEN", at(&before.run_api));
        self.start_control_plane(name, command)
    }

    /// Starts a control-plane that is far from its database: every byte takes so long, each way.
    pub async fn control_plane_far_away(&self, name: &str, one_way: Duration) -> ControlPlane {
        let mut database = Url::parse(&self.installation.at.database).unwrap();
        let port = far_away(database.port().unwrap_or(5432), one_way).await;
        database.set_host(Some("127.0.0.1")).unwrap();
        database.set_port(Some(port)).unwrap();
        let mut command = self.control_plane_command();
        command.env("RESTROY_DATABASE_URL", database.as_str());
        self.start_control_plane(name, command)
    }

    /// Starts a control-plane by a command of the test's own.
    pub fn start_control_plane(&self, name: &str, command: Command) -> ControlPlane {
        let greetings = ["Restroy listens on ", "run API on ", "metrics on "];
        let (service, [url, run_api, metrics]) = Service::start(name, self.installation.work(), command, greetings);
        ControlPlane { service, url, run_api, metrics }
    }

    /// Makes an executor known; gives its id and its credential.
    pub fn credential(&self, name: &str) -> (String, String) {
        let made = self.installation.admin(&["executor", "create", name, "--slots", "256", "--json"]);
        let made: Value = serde_json::from_str(&made).unwrap();
        (made["id"].as_str().unwrap().to_owned(), made["credential"].as_str().unwrap().to_owned())
    }

    /// Starts an executor with a credential of its own.
    pub fn executor(&self, name: &str, run_api: &str) -> Executor {
        self.executor_with(name, run_api, &[])
    }

    /// The same, with settings of the test's own.
    pub fn executor_with(&self, name: &str, run_api: &str, settings: &[(&str, &str)]) -> Executor {
        let (id, credential) = self.credential(name);
        let mut command = self.installation.executor_command(run_api, &credential);
        command.env("RESTROY_LOG", "info").envs(settings.iter().copied());
        let greetings = ["Restroy executes ", "metrics on "];
        let (service, [_, metrics]) = Service::start(name, self.installation.work(), command, greetings);
        Executor { service, metrics, id, credential }
    }

    /// Two control-planes.
    pub fn two_control_planes(&self) -> (ControlPlane, ControlPlane) {
        (self.control_plane("control-plane-1"), self.control_plane("control-plane-2"))
    }

    /// Two of each: each executor speaks to one of the control-planes.
    pub fn two_of_each(&self) -> (ControlPlane, ControlPlane, Executor, Executor) {
        let (first, second) = self.two_control_planes();
        let (one, other) = (self.executor("executor-1", &first.run_api), self.executor("executor-2", &second.run_api));
        (first, second, one, other)
    }

    /// The first column of what a query finds, as text.
    pub async fn sql(&self, query: &str) -> Vec<String> {
        let options: PgConnectOptions = self.installation.at.owner.parse().unwrap();
        let mut connection = options.connect().await.unwrap();
        let found = sqlx::raw_sql(AssertSqlSafe(query.to_owned())).fetch_all(&mut connection).await;
        found.unwrap_or_else(|error| panic!("{query}: {error}")).iter().map(|row| row.get::<String, _>(0)).collect()
    }

    /// Waits until a query finds exactly this.
    pub async fn until_sql(&self, query: &str, wanted: &[&str]) {
        eventually(query, async || (self.sql(query).await == wanted).then_some(())).await;
    }

    /// Which of the executors has a run's task.
    pub async fn owner<'a>(&self, run: impl std::fmt::Display, executors: [&'a Executor; 2]) -> &'a Executor {
        let owner = self.sql(&format!("SELECT owner::text FROM tasks WHERE run_id = '{run}'")).await.remove(0);
        executors.into_iter().find(|executor| executor.id == owner).expect("one of the two has it")
    }
}

/// A figure that a service reports, over all its labels, or those that are named with it.
pub async fn figure(metrics: &str, name: &str) -> Option<u64> {
    let text = http().get(format!("{metrics}/metrics")).send().await.ok()?.text().await.ok()?;
    let figures = text
        .lines()
        .filter_map(|line| line.strip_prefix(name))
        .filter(|rest| rest.starts_with([' ', '{', '}']))
        .filter_map(|rest| rest.rsplit(' ').next()?.parse::<u64>().ok());
    Some(figures.sum())
}

/// Waits until a figure is as wanted.
pub async fn until_figure(metrics: &str, name: &str, wanted: impl Fn(u64) -> bool) {
    let what = format!("{name} of {metrics}");
    eventually(&what, async || figure(metrics, name).await.filter(|figure| wanted(*figure)).map(drop)).await;
}
