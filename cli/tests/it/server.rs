//! `restroy dev` as a process of its own, as a newcomer would start it.

use std::{
    io::{BufRead as _, BufReader},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::mpsc,
    time::Duration,
};

use tempfile::TempDir;

/// How long anything may take before a test gives up; generous, for a busy machine.
pub const PATIENCE: Duration = Duration::from_mins(2);

/// The binary under test, with none of the caller's settings.
pub fn restroy() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_restroy"));
    for (name, _) in std::env::vars() {
        if name.starts_with("RESTROY_") {
            command.env_remove(name);
        }
    }
    command.env("NO_COLOR", "1").stdin(Stdio::null());
    command
}

/// A running installation and its data folder.
pub struct Server {
    child: Child,
    folder: TempDir,
    arguments: Vec<String>,
    /// Where its API listens.
    pub url: String,
}

impl Server {
    /// Starts on a free port with an empty data folder.
    pub fn start(arguments: &[&str]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let arguments: Vec<_> = arguments.iter().map(ToString::to_string).collect();
        let (child, url) = spawn(&folder.path().join("data"), "127.0.0.1:0", &arguments);
        Self { child, folder, arguments, url }
    }

    /// The data folder.
    pub fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    /// A folder for the test's own files.
    pub fn work(&self) -> &Path {
        self.folder.path()
    }

    /// Ends the process as a power cut would.
    pub fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Starts again on the same data folder and address.
    pub fn start_again(&mut self) {
        let address = self.url.trim_start_matches("http://").to_owned();
        let (child, url) = spawn(&self.data(), &address, &self.arguments);
        (self.child, self.url) = (child, url);
    }

    /// Whether the process still runs.
    pub fn is_alive(&mut self) -> bool {
        self.child.try_wait().unwrap().is_none()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn spawn(data: &Path, listen: &str, arguments: &[String]) -> (Child, String) {
    let mut child = restroy()
        .args(["dev", "--listen", listen, "--data-dir"])
        .arg(data)
        .args(arguments)
        .stdout(Stdio::piped())
        .stderr(Stdio::inherit())
        .spawn()
        .unwrap();
    let output = BufReader::new(child.stdout.take().unwrap());
    let (send, receive) = mpsc::channel();
    // The reader goes on to the end, so that the server never blocks on a full pipe.
    std::thread::spawn(move || {
        for line in output.lines().map_while(Result::ok) {
            if let Some(address) = line.strip_prefix("Restroy listens on ") {
                let _ = send.send(address.trim().to_owned());
            }
        }
    });
    let url = receive.recv_timeout(PATIENCE).expect("restroy dev says where it listens");
    (child, url)
}
