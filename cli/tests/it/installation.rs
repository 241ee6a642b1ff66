//! An installation of production: a database, a Redis prefix and a mail server of its own, the keys,
//! and the services that a test starts on them, as many as it wants.

use std::{
    path::Path,
    process::{Command, Output},
};

use restroy_control_plane::secrets::MasterKey;
use restroy_sdk::time::Ambient;
use tempfile::TempDir;
use tokio::runtime::{Builder, Runtime};

use crate::{
    postgres::Database,
    process::{Process, restroy, wait_for},
    smtp::Sink,
};

/// Where people would reach it. Nothing listens there.
pub const PUBLIC_URL: &str = "http://restroy.example";

/// Where the servers of an installation are.
pub struct Addresses {
    /// The database, for whoever may do anything.
    pub owner: String,
    /// The database, for services.
    pub database: String,
    pub redis: String,
}

/// What the services of an installation share.
pub struct Installation {
    pub at: Addresses,
    pub redis_prefix: String,
    pub master_keys: String,
    pub token_key: String,
    mail: Sink,
    /// The mail server's own, since not every test has one.
    runtime: Option<Runtime>,
    folder: TempDir,
    #[allow(dead_code, reason = "there until the services are gone")]
    database: Option<Database>,
}

/// A control-plane and where it listens.
pub struct ControlPlane {
    pub process: Process,
    pub url: String,
    pub run_api: String,
}

impl Installation {
    /// One with an empty database, on the servers that all tests share.
    pub fn new() -> Self {
        let database = wait_for(Database::new);
        let redis = std::env::var("TEST_REDIS_URL")
            .expect("TEST_REDIS_URL is not set: run the tests by ./with-services cargo nextest run");
        let at = Addresses { owner: database.owner_url.clone(), database: database.service_url.clone(), redis };
        let mut installation = Self::on(at);
        installation.database = Some(database);
        installation
    }

    /// One whose servers a test sees to.
    pub fn on(at: Addresses) -> Self {
        let ambient = Ambient::system();
        let runtime = Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let serving = runtime.handle().clone();
        let mail = wait_for(async || serving.spawn(Sink::start()).await.unwrap());
        Self {
            at,
            redis_prefix: format!("restroy-test-{}", ambient.uuid().simple()),
            master_keys: MasterKey::generate(&ambient, "test").to_string(),
            token_key: format!("{0}{0}", ambient.uuid().simple()),
            mail,
            runtime: Some(runtime),
            folder: tempfile::tempdir().unwrap(),
            database: None,
        }
    }

    /// A folder for the test's own files.
    pub fn work(&self) -> &Path {
        self.folder.path()
    }

    /// The binary with the settings that a control-plane needs; the test adds its own, and which
    /// command it is to be.
    pub fn configured(&self) -> Command {
        let mut command = self.shared();
        command
            .env("RESTROY_DATABASE_URL", &self.at.database)
            .env("RESTROY_DATABASE_CONNECTIONS", "6")
            .env("RESTROY_MASTER_KEYS", &self.master_keys)
            .env("RESTROY_TOKEN_KEY", &self.token_key)
            .env("RESTROY_REQUESTS_PER_MINUTE", "0") // several people come from one address here
            .env("RESTROY_STRANGER_MAILS_PER_NETWORK", "10000")
            .env("RESTROY_REGISTRATION", "open")
            .env("RESTROY_SMTP_URL", &self.mail.url)
            .env("RESTROY_SMTP_FROM", "Restroy <restroy@restroy.example>")
            .env("RESTROY_PUBLIC_URL", PUBLIC_URL);
        command
    }

    /// What control-planes and executors both need.
    fn shared(&self) -> Command {
        let mut command = restroy();
        command
            .env("RESTROY_REDIS_URL", &self.at.redis)
            .env("RESTROY_REDIS_PREFIX", &self.redis_prefix)
            .env("RESTROY_METRICS_LISTEN", "127.0.0.1:0")
            .env("RESTROY_ENGINE_CACHE_DIR", Path::new(env!("CARGO_TARGET_TMPDIR")).join("engine"))
            .env("RESTROY_LOG", "warn")
            .env("RESTROY_LOG_FORMAT", "text")
            .current_dir(self.work());
        command
    }

    /// Starts a control-plane that listens for people at `listen`; port 0 is any.
    pub fn control_plane(&self, listen: &str) -> ControlPlane {
        let mut command = self.configured();
        command.args(["control-plane", "--listen", listen, "--run-api-listen", "127.0.0.1:0"]);
        let (process, [url, run_api]) = Process::start(command, ["Restroy listens on ", "run API on "]);
        ControlPlane { process, url, run_api }
    }

    /// The binary with what an operator's commands need.
    pub fn on_the_database(&self) -> Command {
        let mut command = restroy();
        command.env("RESTROY_DATABASE_URL", &self.at.database).current_dir(self.work());
        command
    }

    /// Does something as the installation's operator; gives what that prints.
    pub fn admin(&self, arguments: &[&str]) -> String {
        said(self.on_the_database().arg("admin").args(arguments))
    }

    /// Makes an executor known; gives its credential.
    pub fn credential(&self, name: &str) -> String {
        self.admin(&["executor", "create", name, "--slots", "256"])
    }

    /// An executor's command, with a scratch folder of its own.
    pub fn executor_command(&self, run_api: &str, credential: &str) -> Command {
        let scratch = tempfile::tempdir_in(self.work()).unwrap().keep();
        let mut command = self.shared();
        command
            .env("RESTROY_RUN_API_URL", run_api)
            .env("RESTROY_CREDENTIAL", credential)
            .env("RESTROY_SCRATCH_DIR", scratch)
            .arg("executor");
        command
    }

    /// Starts an executor.
    pub fn executor(&self, run_api: &str, credential: &str, arguments: &[String]) -> Process {
        let mut command = self.executor_command(run_api, credential);
        command.args(arguments);
        Process::start(command, ["Restroy executes "]).0
    }

    /// The newest token that was mailed to verify an address, as soon as it is there.
    pub fn verification_token(&self, email: &str) -> String {
        let letter = wait_for(async || {
            let mut mails = self.mail.caught();
            loop {
                if let Some(mail) = mails.iter().rfind(|mail| mail.to == [email]) {
                    return mail.readable();
                }
                mails = self.mail.mails(mails.len() + 1).await;
            }
        });
        letter.split_once("/verify-email#").unwrap().1.split_whitespace().next().unwrap().to_owned()
    }

    /// All that the database holds, as text; bytes in hexadecimal.
    pub fn dump(&self) -> String {
        let programs = std::env::var("TEST_POSTGRES_BIN").expect("TEST_POSTGRES_BIN is set by ./with-services");
        said(Command::new(Path::new(&programs).join("pg_dump")).args(["--data-only", "--dbname", &self.at.owner]))
    }
}

impl Drop for Installation {
    fn drop(&mut self) {
        // Not awaited: the test may itself be asynchronous.
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

/// What a command prints that must succeed.
pub fn said(command: &mut Command) -> String {
    let Output { status, stdout, stderr } = command.output().unwrap();
    assert!(status.success(), "{command:?}: {}", String::from_utf8_lossy(&stderr));
    String::from_utf8(stdout).unwrap().trim().to_owned()
}
