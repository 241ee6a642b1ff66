//! A service as a process, with its log kept. What it wrote is shown when the test fails.

use std::{
    fs::{self, File},
    io::{BufRead as _, BufReader},
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
    sync::mpsc,
    thread,
    time::{Duration, Instant},
};

use crate::process::PATIENCE;

/// How much of a log is shown.
const SHOWN: usize = 6_000;

/// A process that serves. Dies with this value.
pub struct Service {
    name: String,
    child: Child,
    log: PathBuf,
}

impl Service {
    /// Starts a command and waits for the lines that begin with `greetings`, in their order; gives what
    /// stands behind each. The log is kept in `folder`.
    pub fn start<const N: usize>(
        name: &str,
        folder: &Path,
        mut command: Command,
        greetings: [&'static str; N],
    ) -> (Self, [String; N]) {
        let log = folder.join(format!("{name}.log"));
        let file = File::options().create(true).append(true).open(&log).unwrap();
        let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(file).spawn().unwrap();
        let output = BufReader::new(child.stdout.take().unwrap());
        let service = Self { name: name.to_owned(), child, log };
        let (send, receive) = mpsc::channel();
        // The reader continues to the end, so that the service never blocks on a full pipe.
        thread::spawn(move || {
            for line in output.lines().map_while(Result::ok) {
                if let Some(rest) = greetings.iter().find_map(|greeting| line.strip_prefix(greeting)) {
                    let _ = send.send(rest.trim().to_owned());
                }
            }
        });
        let said = greetings.map(|greeting| {
            let rest = receive.recv_timeout(PATIENCE);
            rest.unwrap_or_else(|_| panic!("{name} does not say `{greeting}…`"))
        });
        (service, said)
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Sends it a signal: `TERM`, `KILL`, `STOP`, `CONT`.
    pub fn signal(&self, signal: &str) {
        // The shell's own: a program of that name need not be there.
        let order = format!("kill -{signal} {}", self.pid());
        assert!(Command::new("sh").args(["-c", &order]).status().unwrap().success(), "{order}");
    }

    /// Waits until it has ended.
    pub fn ended(&mut self) -> ExitStatus {
        let since = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status;
            }
            assert!(since.elapsed() < PATIENCE, "{} does not end", self.name);
            thread::sleep(Duration::from_millis(10));
        }
    }

    /// What it wrote to its log so far.
    pub fn log(&self) -> String {
        fs::read_to_string(&self.log).unwrap()
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let end = self.child.wait();
        if thread::panicking() {
            let log = self.log();
            let from = log.len().saturating_sub(SHOWN);
            let tail = String::from_utf8_lossy(&log.as_bytes()[from..]).into_owned();
            eprintln!("--- {} ({end:?}), the end of its log:\n{tail}\n---", self.name);
        }
    }
}

/// Waits until something holds, asking again and again; `what` says what does not when it takes too long.
pub async fn eventually<T>(what: &str, mut holds: impl AsyncFnMut() -> Option<T>) -> T {
    let since = Instant::now();
    loop {
        if let Some(found) = holds().await {
            return found;
        }
        assert!(since.elapsed() < PATIENCE, "{what}: it does not happen");
        tokio::time::sleep(Duration::from_millis(25)).await;
    }
}

/// Waits for something that comes to an end by itself.
pub async fn within<T>(what: &str, future: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, future).await.unwrap_or_else(|_| panic!("{what}: it does not happen"))
}
