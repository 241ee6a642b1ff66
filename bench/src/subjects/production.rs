//! Production mode: control-planes and executors as processes of their own, on Postgres and Redis.

use std::{error::Error, path::Path, process::Command};

use restroy_sdk::time::Ambient;
use sqlx::{AssertSqlSafe, Connection as _, PgConnection};
use tempfile::TempDir;
use url::Url;

use super::{
    SLOTS, Subject,
    process::{Process, announced, output, restroy},
    team::{self, MAX_RUNNING, RAISE_STARTS, Team},
};
use crate::{
    cpu::Meter,
    load::{Figures, Load},
    servers::Servers,
};

/// An installation of so many of each service, in a database and under a prefix of its own.
pub(crate) struct Production {
    size: usize,
    url: String,
    team: Team,
    meter: Meter,
    executors: Vec<Process>,
    control_planes: Vec<Process>,
    name: String,
    servers: Servers,
    _folder: TempDir,
}

/// What the services are reported.
struct Settings {
    owner_url: String,
    database_url: String,
    redis_url: String,
    prefix: String,
    master_keys: String,
    token_key: String,
}

impl Production {
    /// Starts `size` control-planes and as many executors, with a team on them.
    pub(crate) async fn start(size: usize, servers: &Servers) -> Result<Self, Box<dyn Error>> {
        let folder = tempfile::tempdir()?;
        let ambient = Ambient::system();
        let name = format!("restroy_bench_{}_{size}", std::process::id());
        let mut admin = PgConnection::connect(&servers.postgres_url).await?;
        sqlx::query(AssertSqlSafe(format!("CREATE DATABASE {name}"))).execute(&mut admin).await?;
        let settings = Settings::new(servers, &name, &ambient)?;
        output(
            restroy()?
                .arg("migrate")
                .env("RESTROY_DATABASE_OWNER_URL", &settings.owner_url)
                .env("RESTROY_DATABASE_URL", &settings.database_url),
        )?;

        let (mut control_planes, mut urls, mut run_apis) = (Vec::new(), Vec::new(), Vec::new());
        for number in 1..=size {
            let log = folder.path().join(format!("control-plane-{number}.log"));
            let (process, printed) = Process::start(&mut settings.control_plane(folder.path())?, &log)?;
            let [url, run_api] = announced(&process, printed, ["Restroy listens on ", "run API on "])?;
            control_planes.push(process);
            urls.push(url);
            run_apis.push(run_api);
        }
        let mut executors = Vec::new();
        for (number, run_api) in run_apis.iter().enumerate() {
            let log = folder.path().join(format!("executor-{number}.log"));
            let mut command = settings.executor(run_api, number, folder.path())?;
            let (process, printed) = Process::start(&mut command, &log)?;
            announced(&process, printed, ["Restroy executes "])?;
            executors.push(process);
        }

        let [first, ..] = urls.as_slice() else { return Err("an installation has a control-plane".into()) };
        team::register(first).await?;
        let mut owner = PgConnection::connect(&settings.owner_url).await?;
        // What the link in the e-mail would do.
        sqlx::query("UPDATE users SET email_verified_at = created_at").execute(&mut owner).await?;
        let team = Team::new(&urls).await?;
        sqlx::query("UPDATE teams SET max_running = $1").bind(MAX_RUNNING).execute(&mut owner).await?;
        sqlx::query(RAISE_STARTS).execute(&mut owner).await?;
        let url = first.clone();
        let meter = Meter {
            generator: std::process::id(),
            services: control_planes.iter().chain(&executors).map(Process::id).collect(),
            ..servers.meter()
        };
        let servers = servers.clone();
        Ok(Self { size, url, team, meter, executors, control_planes, name, servers, _folder: folder })
    }

    /// Its processes.
    pub(crate) fn processes(&self) -> Vec<(&'static str, u32)> {
        let control_planes = self.control_planes.iter().map(|process| ("control-plane", process.id()));
        control_planes.chain(self.executors.iter().map(|process| ("executor", process.id()))).collect()
    }

    /// The team on it.
    pub(crate) fn team(&self) -> &Team {
        &self.team
    }

    /// The URL of the first control-plane's API.
    pub(crate) fn url(&self) -> String {
        self.url.clone()
    }
}

impl Settings {
    fn new(servers: &Servers, name: &str, ambient: &Ambient) -> Result<Self, Box<dyn Error>> {
        let random = || hex::encode(ambient.random::<32>());
        let mut owner = Url::parse(&servers.postgres_url)?;
        owner.set_path(name);
        let mut service = owner.clone();
        // A role lives in the server, not in the database: its name must not be another run's.
        let named = service.set_username(name).and_then(|()| service.set_password(Some(&random())));
        named.map_err(|()| "the URL of Postgres takes no user")?;
        Ok(Self {
            owner_url: owner.into(),
            database_url: service.into(),
            redis_url: servers.redis_url.clone(),
            prefix: name.to_owned(),
            master_keys: format!("bench:{}", random()),
            token_key: random(),
        })
    }

    fn control_plane(&self, folder: &Path) -> Result<Command, Box<dyn Error>> {
        let mut command = restroy()?;
        command
            .args(["control-plane", "--listen", "127.0.0.1:0", "--run-api-listen", "127.0.0.1:0"])
            .args(["--metrics-listen", "127.0.0.1:0", "--public-url", "http://127.0.0.1:8080", "--engine-cache-dir"])
            .arg(folder.join("engine-cache"))
            .env("RESTROY_DATABASE_URL", &self.database_url)
            .env("RESTROY_REDIS_URL", &self.redis_url)
            .env("RESTROY_REDIS_PREFIX", &self.prefix)
            .env("RESTROY_MASTER_KEYS", &self.master_keys)
            .env("RESTROY_TOKEN_KEY", &self.token_key)
            .env("RESTROY_REGISTRATION", "open")
            .env("RESTROY_STRANGER_MAILS_PER_NETWORK", "1000000")
            .env("RESTROY_STRANGER_MAILS_PER_HOUR", "1000000")
            .env("RESTROY_REQUESTS_PER_MINUTE", "0"); // it is not the limit that is measured
        Ok(command)
    }

    fn executor(&self, run_api: &str, number: usize, folder: &Path) -> Result<Command, Box<dyn Error>> {
        let name = format!("bench-{number}");
        let credential = output(
            restroy()?
                .args(["admin", "executor", "create", &name, "--slots", &SLOTS.to_string()])
                .env("RESTROY_DATABASE_URL", &self.database_url),
        )?;
        let mut command = restroy()?;
        command
            .args(["executor", "--run-api-url", run_api, "--slots", &SLOTS.to_string()])
            .args(["--metrics-listen", "127.0.0.1:0", "--scratch-dir"])
            .arg(folder.join(format!("scratch-{number}")))
            .arg("--engine-cache-dir")
            .arg(folder.join("engine-cache"))
            .env("RESTROY_CREDENTIAL", credential)
            .env("RESTROY_REDIS_URL", &self.redis_url)
            .env("RESTROY_REDIS_PREFIX", &self.prefix);
        Ok(command)
    }
}

impl Subject for Production {
    fn name(&self) -> String {
        format!("Restroy, production {0}+{0}", self.size)
    }

    fn setting(&self) -> String {
        let where_watched = if self.size > 1 { "; each run is started at one and watched at the other" } else { "" };
        format!(
            "`restroy control-plane` ×{0} and `restroy executor --slots {SLOTS}` ×{0}, all else as it comes{where_watched}",
            self.size
        )
    }

    async fn take(&mut self, load: Load) -> Result<Figures, Box<dyn Error>> {
        let took = self.team.take(load, &self.meter).await;
        took.map_err(|error| {
            let words = self.control_planes.iter().chain(&self.executors).map(Process::last_words);
            format!("{error}\n{}", words.collect::<Vec<_>>().join("\n")).into()
        })
    }

    async fn end(self) -> Result<(), Box<dyn Error>> {
        for process in self.executors.into_iter().chain(self.control_planes) {
            process.end().await;
        }
        self.servers.forget(&self.name).await?;
        let mut admin = PgConnection::connect(&self.servers.postgres_url).await?;
        for statement in ["DROP DATABASE", "DROP ROLE"] {
            sqlx::query(AssertSqlSafe(format!("{statement} {}", self.name))).execute(&mut admin).await?;
        }
        Ok(())
    }
}
