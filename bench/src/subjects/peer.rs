//! What the peers have in common: installed on demand into the user's cache, workers and a load
//! generator as processes, which speak JSON lines with this one.

use std::{
    error::Error,
    fs,
    io::{BufReader, Write as _},
    path::{Path, PathBuf},
    process::{ChildStdin, ChildStdout, Command, Stdio},
    time::Duration,
};

use serde::Deserialize;
use serde_json::json;
use tempfile::TempDir;
use tokio::sync::mpsc;

use super::{
    Subject,
    process::{Process, drain},
};
use crate::{
    cpu::{Meter, Spent},
    load::{Figures, Load},
    servers::Servers,
};

/// How long a peer may take to start, or to say anything.
const LINE_TIMEOUT: Duration = Duration::from_mins(1);

/// A peer: how it is installed and started.
pub(crate) trait Kind {
    /// What it is, in the table.
    fn name(&self) -> String;
    /// Its commands and settings.
    fn setting(&self) -> String;
    /// What its keys in Redis begin with.
    fn prefix(&self) -> String;
    /// Installs it, unless it is there; the folder it is in.
    fn install(&self) -> Result<PathBuf, Box<dyn Error>>;
    /// The commands of its workers.
    fn workers(&self, folder: &Path, redis_url: &str) -> Vec<Command>;
    /// The command of its load generator.
    fn producer(&self, folder: &Path, redis_url: &str) -> Command;
}

/// A peer running.
pub(crate) struct Peer<K> {
    kind: K,
    workers: Vec<Process>,
    producer: Process,
    input: ChildStdin,
    lines: mpsc::Receiver<PeerMessage>,
    meter: Meter,
    servers: Servers,
    _logs: TempDir,
}

/// A line of the load generator.
#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
enum PeerMessage {
    Ready(bool),
    Window(Window),
    /// From the call that enqueues to the known end, in microseconds.
    Micros(Vec<u32>),
}

impl std::fmt::Debug for PeerMessage {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Ready(ready) => write!(f, "ready: {ready}"),
            Self::Window(window) => write!(f, "window: {window:?}"),
            Self::Micros(micros) => write!(f, "{} times", micros.len()),
        }
    }
}

#[derive(Debug, Deserialize, PartialEq)]
#[serde(rename_all = "snake_case")]
enum Window {
    Open,
    Closed,
}

impl<K: Kind> Peer<K> {
    /// Installs and starts it.
    pub(crate) async fn start(kind: K, servers: &Servers) -> Result<Self, Box<dyn Error>> {
        let folder = kind.install()?;
        let logs = tempfile::tempdir()?;
        let mut workers = Vec::new();
        for (number, mut command) in kind.workers(&folder, &servers.redis_url).into_iter().enumerate() {
            let log = logs.path().join(format!("worker-{number}"));
            let (worker, output) = Process::start(command.current_dir(&folder).stdin(Stdio::null()), &log)?;
            drain(output);
            workers.push(worker);
        }
        let mut command = kind.producer(&folder, &servers.redis_url);
        command.current_dir(&folder).stdin(Stdio::piped());
        let (mut producer, output) = Process::start(&mut command, &logs.path().join("producer"))?;
        let input = producer.input().ok_or("a process without input")?;
        let meter = Meter {
            generator: producer.id(),
            services: workers.iter().map(Process::id).collect(),
            ..servers.meter_of_redis()
        };
        let lines = listen(output);
        let servers = servers.clone();
        let mut peer = Self { kind, workers, producer, input, lines, meter, servers, _logs: logs };
        // It has done a first job by then: the workers are there.
        match peer.next().await? {
            PeerMessage::Ready(true) => Ok(peer),
            other => Err(format!("{} says {other:?} first", peer.kind.name()).into()),
        }
    }

    async fn next(&mut self) -> Result<PeerMessage, Box<dyn Error>> {
        match tokio::time::timeout(LINE_TIMEOUT, self.lines.recv()).await {
            Ok(Some(said)) => Ok(said),
            Ok(None) => Err(format!("{}'s load generator ended:\n{}", self.kind.name(), self.last_words()).into()),
            Err(_) => Err(format!("{}'s load generator hangs:\n{}", self.kind.name(), self.last_words()).into()),
        }
    }

    fn last_words(&self) -> String {
        let all = std::iter::once(&self.producer).chain(&self.workers).map(Process::last_words);
        all.collect::<Vec<_>>().join("\n")
    }

    async fn window(&mut self, wanted: Window) -> Result<Spent, Box<dyn Error>> {
        match self.next().await? {
            PeerMessage::Window(window) if window == wanted => Ok(self.meter.read()),
            other => Err(format!("{} says {other:?} instead of {wanted:?}", self.kind.name()).into()),
        }
    }
}

impl<K: Kind> Subject for Peer<K> {
    fn name(&self) -> String {
        self.kind.name()
    }

    fn setting(&self) -> String {
        self.kind.setting()
    }

    async fn take(&mut self, load: Load) -> Result<Figures, Box<dyn Error>> {
        let ask = json!({
            "steps": load.steps,
            "in_flight": load.in_flight,
            "warm_up_ms": Load::WARM_UP.as_millis(),
            "window_ms": Load::WINDOW.as_millis(),
        });
        writeln!(self.input, "{ask}")?;
        let before = self.window(Window::Open).await?;
        let spent = self.window(Window::Closed).await?.since(&before);
        match self.next().await? {
            PeerMessage::Micros(micros) => {
                let times = micros.into_iter().map(|time| Duration::from_micros(time.into())).collect();
                Ok(Figures { times, spent })
            }
            other => Err(format!("{} says {other:?} instead of its times", self.kind.name()).into()),
        }
    }

    async fn end(self) -> Result<(), Box<dyn Error>> {
        drop(self.input);
        self.producer.end().await;
        for worker in self.workers {
            worker.end().await;
        }
        self.servers.forget(&self.kind.prefix()).await
    }
}

/// Hands each line on; ends with the process.
fn listen(output: BufReader<ChildStdout>) -> mpsc::Receiver<PeerMessage> {
    let (send, receive) = mpsc::channel(16);
    std::thread::spawn(move || {
        let said = serde_json::Deserializer::from_reader(output).into_iter::<PeerMessage>();
        for said in said.map_while(Result::ok) {
            if send.blocking_send(said).is_err() {
                return;
            }
        }
    });
    receive
}

/// The folder of a peer in the user's cache, with these files in it; `install` fills it when the file
/// that pins the versions is new.
pub(crate) fn cached(
    name: &str,
    files: &[(&str, &str)],
    pins: &str,
    install: impl FnOnce(&Path) -> Result<(), Box<dyn Error>>,
) -> Result<PathBuf, Box<dyn Error>> {
    let cache = std::env::var_os("XDG_CACHE_HOME").map(PathBuf::from).filter(|path| path.is_absolute());
    let cache = match cache {
        Some(cache) => cache,
        None => PathBuf::from(std::env::var_os("HOME").ok_or("HOME is not set: where is the cache?")?).join(".cache"),
    };
    let folder = cache.join("restroy-bench").join(name);
    fs::create_dir_all(&folder)?;
    for (path, text) in files {
        fs::write(folder.join(path), text)?;
    }
    // Written last: an installation that broke off is made again.
    let stamp = folder.join("installed");
    if fs::read_to_string(&stamp).is_ok_and(|installed| installed == pins) {
        return Ok(folder);
    }
    eprintln!("installing {name} into {}", folder.display());
    install(&folder)?;
    fs::write(stamp, pins)?;
    Ok(folder)
}
