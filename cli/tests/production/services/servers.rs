//! A Postgres and a Redis of one test, to be stopped and started again.

use std::{
    fs,
    net::TcpListener,
    os::unix::process::CommandExt as _,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::{Arc, Mutex},
    thread,
    time::{Duration, Instant},
};

use restroy_sdk::time::Ambient;
use sqlx::{AssertSqlSafe, ConnectOptions as _, postgres::PgConnectOptions};
use tempfile::TempDir;
use tokio::{
    io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader},
    net::TcpStream,
};

use super::service::within;
use crate::process::PATIENCE;

const PASSWORD: &str = "only-of-this-test";
/// How often another port is tried, when somebody was quicker.
const TRIES: usize = 10;

fn given(name: &str) -> String {
    std::env::var(name).unwrap_or_else(|_| panic!("{name} is not set: run the tests by ./with-services"))
}

fn free_port() -> u16 {
    TcpListener::bind(("127.0.0.1", 0)).unwrap().local_addr().unwrap().port()
}

/// A Postgres. Stopped with this value.
pub struct Postgres {
    folder: PathBuf,
    port: u16,
}

impl Postgres {
    /// One with nothing in it.
    pub fn start() -> Self {
        let name = Ambient::system().uuid().simple().to_string();
        let folder = Path::new(&given("TEST_SERVERS_DIR")).join(&name[20..]);
        let password = folder.with_extension("password");
        fs::write(&password, PASSWORD).unwrap();
        let mut initdb = program("initdb");
        initdb.args(["--username", "postgres", "--auth", "md5", "--encoding", "UTF8", "--locale", "C.UTF-8"]);
        initdb.arg("--no-sync").arg("--pwfile").arg(&password).arg("--pgdata").arg(&folder);
        run(&mut initdb);
        let conf = folder.join("postgresql.conf");
        let mut text = fs::read_to_string(&conf).unwrap();
        text.push_str(
            "listen_addresses = '127.0.0.1'\nunix_socket_directories = ''\nmax_connections = 60\n\
             shared_buffers = 32MB\nfsync = off\nfull_page_writes = off\npassword_encryption = md5\njit = off\n",
        );
        fs::write(&conf, text).unwrap();
        for _ in 0..TRIES {
            let postgres = Self { folder: folder.clone(), port: free_port() };
            if postgres.control(&["start"]) {
                return postgres;
            }
        }
        panic!("Postgres does not start: {}", fs::read_to_string(folder.join("log")).unwrap_or_default())
    }

    fn control(&self, order: &[&str]) -> bool {
        let mut command = program("pg_ctl");
        command.args(order).arg("-w").arg("-D").arg(&self.folder).arg("-l").arg(self.folder.join("log"));
        command.arg("-o").arg(format!("-p {}", self.port));
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).status().unwrap().success()
    }

    /// Stops it in good order.
    pub fn stop(&self) {
        assert!(self.control(&["stop", "-m", "fast"]), "Postgres does not stop");
    }

    /// Starts it again.
    pub fn start_again(&self) {
        assert!(self.control(&["start"]), "Postgres does not start again");
    }

    /// Stops it and starts it again; `mode` as `pg_ctl` knows it.
    pub fn restart(&self, mode: &str) {
        assert!(self.control(&["restart", "-m", mode]), "Postgres does not restart");
    }

    /// Makes a database; gives its URL for whoever may do anything, and for the services.
    pub async fn database(&self) -> (String, String) {
        let at =
            |user: &str, database: &str| format!("postgres://{user}:{PASSWORD}@127.0.0.1:{}/{database}", self.port);
        let options: PgConnectOptions = at("postgres", "postgres").parse().unwrap();
        let mut connection = options.connect().await.unwrap();
        sqlx::raw_sql(AssertSqlSafe("CREATE DATABASE restroy")).execute(&mut connection).await.unwrap();
        (at("postgres", "restroy"), at("restroy_service", "restroy"))
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        self.control(&["stop", "-m", "immediate"]);
        let _ = fs::remove_dir_all(&self.folder);
    }
}

/// A program of Postgres, as whom it agrees to run as.
fn program(name: &str) -> Command {
    let mut command = Command::new(Path::new(&given("TEST_POSTGRES_BIN")).join(name));
    let user = given("TEST_UNPRIVILEGED_USER");
    if !user.is_empty() {
        let id = |kind: &str| {
            let said = Command::new("id").args([kind, &user]).output().unwrap().stdout;
            String::from_utf8(said).unwrap().trim().parse::<u32>().unwrap()
        };
        command.uid(id("-u")).gid(id("-g"));
    }
    command.current_dir("/").env("LC_ALL", "C");
    command
}

fn run(command: &mut Command) {
    let output = command.stdin(Stdio::null()).output().unwrap();
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
}

/// A Redis, empty at every start. Dies with this value.
pub struct Redis {
    folder: TempDir,
    port: u16,
    /// A file with its users; without one there is a password.
    configuration: Option<PathBuf>,
    server: Option<Child>,
}

impl Redis {
    pub fn start() -> Self {
        Self::configured(None)
    }

    /// With the users of a configuration, if there is one.
    pub fn configured(configuration: Option<&Path>) -> Self {
        for _ in 0..TRIES {
            let folder = tempfile::tempdir().unwrap();
            let configuration = configuration.map(Path::to_owned);
            let mut redis = Self { folder, port: free_port(), configuration, server: None };
            if redis.launch() {
                return redis;
            }
        }
        panic!("Redis does not start")
    }

    fn launch(&mut self) -> bool {
        let log = self.folder.path().join("log");
        let _ = fs::remove_file(&log);
        let mut command = Command::new(given("TEST_REDIS_SERVER"));
        match &self.configuration {
            Some(file) => command.arg(file),
            None => command.args(["--requirepass", PASSWORD]),
        };
        command.args(["--bind", "127.0.0.1", "--port", &self.port.to_string()]);
        command.args(["--save", "", "--appendonly", "no", "--dir"]).arg(self.folder.path()).arg("--logfile").arg(&log);
        let server = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        let server = self.server.insert(server);
        let since = Instant::now();
        while server.try_wait().unwrap().is_none() {
            if fs::read_to_string(&log).unwrap_or_default().contains("eady to accept connections") {
                return true;
            }
            assert!(since.elapsed() < PATIENCE, "Redis does not start");
            thread::sleep(Duration::from_millis(10));
        }
        false
    }

    /// Ends it at once, with all that it holds.
    pub fn stop(&mut self) {
        let mut server = self.server.take().unwrap();
        server.kill().unwrap();
        server.wait().unwrap();
    }

    /// Starts it again, empty.
    pub fn start_again(&mut self) {
        assert!(self.launch(), "Redis does not start again");
    }

    /// Has it carry out a command; gives the first line of its answer.
    pub async fn order(&self, words: &[&str]) -> String {
        let mut connection = self.connection().await;
        let asked = format!("*{}\r\n{}", words.len(), words.iter().map(|word| bulk(word)).collect::<String>());
        connection.write_all(asked.as_bytes()).await.unwrap();
        line(&mut connection).await
    }

    /// Everything that anybody has it do from now on, as `MONITOR` shows it.
    pub async fn monitor(&self) -> Arc<Mutex<String>> {
        let mut connection = self.connection().await;
        connection.write_all(b"MONITOR\r\n").await.unwrap();
        assert_eq!(line(&mut connection).await, "+OK");
        let seen = Arc::new(Mutex::new(String::new()));
        let keep = Arc::clone(&seen);
        tokio::spawn(async move {
            let mut text = String::new();
            while connection.read_line(&mut text).await.is_ok_and(|read| read > 0) {
                keep.lock().unwrap().push_str(&text);
                text.clear();
            }
        });
        seen
    }

    async fn connection(&self) -> BufReader<TcpStream> {
        let mut connection = BufReader::new(TcpStream::connect(("127.0.0.1", self.port)).await.unwrap());
        connection.write_all(format!("AUTH {PASSWORD}\r\n").as_bytes()).await.unwrap();
        assert_eq!(line(&mut connection).await, "+OK");
        connection
    }

    pub fn port(&self) -> u16 {
        self.port
    }

    pub fn url(&self) -> String {
        format!("redis://default:{PASSWORD}@127.0.0.1:{}/", self.port)
    }
}

/// A bulk string of RESP.
fn bulk(word: &str) -> String {
    format!("${}\r\n{word}\r\n", word.len())
}

async fn line(connection: &mut BufReader<TcpStream>) -> String {
    let mut line = String::new();
    within("an answer of Redis", connection.read_line(&mut line)).await.unwrap();
    line.trim_end().to_owned()
}

impl Drop for Redis {
    fn drop(&mut self) {
        if let Some(mut server) = self.server.take() {
            let _ = server.kill();
            let _ = server.wait();
        }
    }
}
