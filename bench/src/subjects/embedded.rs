//! Embedded mode: `restroy dev` in a folder of its own.

use std::{error::Error, net::SocketAddr, path::PathBuf};

use restroy_client::Client;
use sqlx::{ConnectOptions as _, SqliteConnection, sqlite::SqliteConnectOptions};
use tempfile::TempDir;

use super::{
    SLOTS, Subject,
    process::{Process, announced, restroy},
    team::{self, MAX_RUNNING, RAISE_STARTS, Team},
};
use crate::{
    cpu::Meter,
    load::{Figures, Load},
};

/// An installation in one process.
pub(crate) struct Embedded {
    server: Process,
    url: String,
    team: Team,
    meter: Meter,
    file: PathBuf,
    _folder: TempDir,
}

impl Embedded {
    /// Starts it, with a team on it.
    pub(crate) async fn start() -> Result<Self, Box<dyn Error>> {
        let folder = tempfile::tempdir()?;
        let data = folder.path().join("data");
        let mut command = restroy()?;
        command.args(["dev", "--listen", "127.0.0.1:0", "--slots", &SLOTS.to_string(), "--data-dir"]).arg(&data);
        let (server, output) = Process::start(&mut command, &folder.path().join("log"))?;
        let [url] = announced(&server, output, ["Restroy listens on "])?;
        team::register(&url).await?;
        let team = Team::new(std::slice::from_ref(&url)).await?;
        let file = data.join("restroy.db");
        let mut database = SqliteConnectOptions::new().filename(&file).connect().await?;
        sqlx::query("UPDATE teams SET max_running = $1").bind(MAX_RUNNING).execute(&mut database).await?;
        sqlx::query(RAISE_STARTS).execute(&mut database).await?;
        let meter = Meter { generator: std::process::id(), services: vec![server.id()], ..Meter::default() };
        Ok(Self { server, url, team, meter, file, _folder: folder })
    }

    /// Where it listens.
    pub(crate) fn address(&self) -> Result<SocketAddr, Box<dyn Error>> {
        Ok(self.url.trim_start_matches("http://").trim_end_matches('/').parse()?)
    }

    /// The URL of its API.
    pub(crate) fn url(&self) -> String {
        self.url.clone()
    }

    /// Its process.
    pub(crate) fn id(&self) -> u32 {
        self.server.id()
    }

    /// The team on it.
    pub(crate) fn team(&self) -> &Team {
        &self.team
    }

    /// A signed-in client.
    pub(crate) fn client(&self) -> Option<&Client> {
        self.team.client()
    }

    /// Its database, for what the API would take too long for.
    pub(crate) async fn database(&self) -> Result<SqliteConnection, sqlx::Error> {
        SqliteConnectOptions::new().filename(&self.file).connect().await
    }

    /// Ends it.
    pub(crate) async fn stop(self) {
        self.server.end().await;
    }
}

impl Subject for Embedded {
    fn name(&self) -> String {
        "Restroy, embedded".into()
    }

    fn setting(&self) -> String {
        format!("`restroy dev --slots {SLOTS}`: one process, SQLite with synchronous=FULL for the start of runs")
    }

    async fn take(&mut self, load: Load) -> Result<Figures, Box<dyn Error>> {
        self.team.take(load, &self.meter).await
    }

    async fn end(self) -> Result<(), Box<dyn Error>> {
        self.stop().await;
        Ok(())
    }
}
