//! The services of `docker-compose.yml` as processes, with what `restroy init` makes for them: the same
//! commands, settings and files, on the Postgres and Redis of the tests.

use std::{fs, process::Command, time::Instant};

use restroy_sdk::time::Ambient;
use serde_json::Value;
use sqlx::{ConnectOptions as _, postgres::PgConnectOptions};
use url::Url;

use crate::{
    composition::{Made, compose, environment, init, interpolate, interpolated, names, services, succeed},
    postgres::Database,
    process::{PATIENCE, Process, restroy, wait_for},
    services::servers::Redis,
};

/// What `restroy init` made, with the addresses of the tests' Postgres and of a Redis that was started
/// with the configuration that init wrote.
struct Composed {
    made: Made,
    database: Database,
    _redis: Redis,
}

impl Composed {
    fn new() -> Self {
        let (made, database) = (init(&[]), wait_for(Database::new));
        assert!(made.told.contains("docker compose up"), "what is next: {}", made.told);
        let role = format!("restroy-test-{}", Ambient::system().uuid().simple());
        let secrets = made.folder.path().join("secrets");
        let rewrite = |name: &str, text: String| {
            fs::remove_file(secrets.join(name)).unwrap();
            fs::write(secrets.join(name), text).unwrap();
        };
        // Roles belong to the whole server, which other tests use too: this one gets a name of its own,
        // and the password that was made for it.
        let made_url = Url::parse(fs::read_to_string(secrets.join("database-url")).unwrap().trim()).unwrap();
        let mut service = Url::parse(&database.owner_url).unwrap();
        service.set_username(&role).unwrap();
        service.set_password(made_url.password()).unwrap();
        rewrite("database-url", service.to_string());
        rewrite("database-owner-url", database.owner_url.clone());
        let redis = Redis::configured(Some(&secrets.join("redis.conf")));
        for name in ["redis-url", "executor-redis-url"] {
            let url = fs::read_to_string(secrets.join(name)).unwrap();
            rewrite(name, url.replace("redis:6379", &format!("127.0.0.1:{}", redis.port())));
        }
        Self { made, database, _redis: redis }
    }

    /// A service's command with its settings; every listener on a free port of loopback.
    fn command(&self, name: &str) -> Command {
        let (compose, folder) = (compose(), self.made.folder.path());
        let variables = interpolated(&folder.join(".env"));
        let service = services(&compose)[name];
        let mut command = restroy();
        let here = |text: &str| text.replace("/run/secrets/", &format!("{}/secrets/", folder.display()));
        let Some(words) = service["command"].as_array() else { panic!("{name} has no command") };
        assert_eq!(names(&service["command"]).len(), words.len());
        command.args(words.iter().map(|word| here(word.as_str().unwrap()))).current_dir(folder);
        for (key, value) in environment(service) {
            let value = if key.ends_with("_LISTEN") {
                "127.0.0.1:0".to_owned()
            } else {
                interpolate(&here(&value), &variables)
            };
            command.env(key, value);
        }
        command.env("RESTROY_LOG", "warn");
        command
    }

    fn control_plane(&self, name: &str) -> (Process, [String; 3]) {
        self.control_plane_at(name, "127.0.0.1:0")
    }

    fn control_plane_at(&self, name: &str, listen: &str) -> (Process, [String; 3]) {
        let mut command = self.command(name);
        command.env("RESTROY_LISTEN", listen);
        Process::start(command, ["Restroy listens on ", "run API on ", "metrics on "])
    }

    fn executor(&self, name: &str, run_api: &str) -> (Process, [String; 2]) {
        let scratch = tempfile::tempdir_in(self.made.folder.path()).unwrap().keep();
        let mut command = self.command(name);
        command.env("RESTROY_RUN_API_URL", run_api).env("RESTROY_SCRATCH_DIR", scratch);
        Process::start(command, ["Restroy executes ", "metrics on "])
    }

    /// A client's command.
    fn client(&self, arguments: &[&str]) -> Command {
        let mut command = restroy();
        command.args(arguments).current_dir(self.made.folder.path());
        command
            .env("RESTROY_CONFIG_DIR", self.made.folder.path().join("config"))
            .env("RESTROY_PASSWORD", "correct horse battery staple");
        command
    }

    /// Makes the first account as the operator does, and goes the README's way from there: chooses its password at
    /// `other`, signs in at `url`, makes a team with a board.
    fn sign_up(&self, url: &str, other: &str) {
        let login = ["login", "ada@example.com", "--register", "--server", url];
        assert!(!self.client(&login).output().unwrap().status.success(), "accounts are by invitation");
        assert_eq!(self.sql("SELECT CAST(count(*) AS text) FROM users"), "0");
        let mut create = restroy();
        create
            .args(["admin", "account", "create", "ada@example.com"])
            .env("RESTROY_DATABASE_URL_FILE", self.made.folder.path().join("secrets/database-url"));
        let token = succeed(&mut create);
        assert!(!create.output().unwrap().status.success(), "it is made once");
        succeed(&mut self.client(&["password", "--token", token.trim(), "--server", other]));
        let said = succeed(&mut self.client(&["login", "ada@example.com", "--server", url]));
        assert!(said.contains("next: restroy boards --create Main --team NAME"), "{said}");
        succeed(&mut self.client(&["boards", "--create", "Main", "--team", "Sales"]));
    }

    /// Makes a pipeline of one script.
    fn push(&self, script: &str) {
        let folder = self.made.folder.path().join("hello");
        fs::create_dir_all(folder.join("scripts")).unwrap();
        let document = "restroy: 1\nname: Hello\nsteps: { greet: { script: scripts/greet.lua } }\n";
        fs::write(folder.join("pipeline.yaml"), document).unwrap();
        fs::write(folder.join("scripts/greet.lua"), script).unwrap();
        succeed(&mut self.client(&["push", "hello"]));
    }

    fn sql(&self, query: &'static str) -> String {
        wait_for(async || {
            let options: PgConnectOptions = self.database.owner_url.parse().unwrap();
            let mut connection = options.connect().await.unwrap();
            sqlx::query_scalar(query).fetch_one(&mut connection).await.unwrap()
        })
    }
}

#[test]
fn the_composition_runs_pipelines_with_what_init_made() {
    let composed = Composed::new();
    for one_shot in ["migrate", "register-executors", "migrate", "register-executors"] {
        // Twice: `docker compose up` runs them whenever it is run.
        succeed(&mut composed.command(one_shot));
    }
    assert_eq!(composed.sql("SELECT string_agg(name, ' ' ORDER BY name) FROM executors"), "executor-1 executor-2");

    let (_first, [url, run_api, metrics]) = composed.control_plane("control-plane-1");
    let (_second, [other, ..]) = composed.control_plane("control-plane-2");
    assert!(run_api.starts_with("https://"), "{run_api}");
    succeed(restroy().args(["health", &format!("{metrics}/readyz")]));
    let (_executor, [_, executor_metrics]) = composed.executor("executor-2", &run_api);
    succeed(restroy().args(["health", &format!("{executor_metrics}/healthz")]));

    composed.sign_up(&url, &other);
    composed.push("print('hello from ' .. run.step)");
    let told = succeed(&mut composed.client(&["run", "Hello", "--follow"]));
    assert!(told.contains("hello from greet"), "{told}");
}

#[test]
fn after_a_backup_was_restored_nobody_holds_anything() {
    let composed = Composed::new();
    succeed(&mut composed.command("migrate"));
    succeed(&mut composed.command("register-executors"));
    let (mut control_plane, [url, run_api, _]) = composed.control_plane("control-plane-1");
    let (mut executor, _) = composed.executor("executor-1", &run_api);
    composed.sign_up(&url, &url);
    composed.push("print('begun')\nsleep(2)\nprint('ended')");
    let run: Value = serde_json::from_str(&succeed(&mut composed.client(&["run", "Hello", "--json"]))).unwrap();
    let leased = "SELECT coalesce(max(fence), 0)::text FROM tasks WHERE state = 'leased'";
    let since = Instant::now();
    while composed.sql(leased) == "0" {
        assert!(since.elapsed() < PATIENCE, "nobody takes the run on");
    }
    executor.kill();
    control_plane.kill();

    let mut raise = restroy();
    let database_url = composed.made.folder.path().join("secrets/database-url");
    raise.args(["admin", "raise-fences", "--json"]).env("RESTROY_DATABASE_URL_FILE", database_url);
    let raised: Value = serde_json::from_str(&succeed(&mut raise)).unwrap();
    assert_eq!((raised["tasks"].as_u64(), raised["leases"].as_u64()), (Some(1), Some(1)));
    assert_eq!(composed.sql("SELECT fence::text FROM tasks"), "1000001", "beyond all that was lost");
    assert_eq!(
        composed.sql("SELECT count(token_hash)::text FROM tasks"),
        "0",
        "whoever holds a token, holds it in vain"
    );

    let address = url.trim_start_matches("http://");
    let (_control_plane, [_, run_api, _]) = composed.control_plane_at("control-plane-1", address);
    let (_executor, _) = composed.executor("executor-1", &run_api);
    let told = succeed(&mut composed.client(&["logs", run["id"].as_str().unwrap(), "--follow"]));
    assert!(told.contains("ended"), "{told}");
    assert_eq!(composed.sql("SELECT status FROM runs"), "succeeded");
}
