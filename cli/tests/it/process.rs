//! The binary under test as a process.

use std::{
    io::{BufRead as _, BufReader},
    process::{Child, Command, Stdio},
    sync::mpsc,
    thread,
    time::Duration,
};

/// How long anything may take before a test gives up; generous, for a busy machine.
pub const PATIENCE: Duration = Duration::from_mins(2);

/// The binary under test, with none of the caller's settings.
pub fn restroy() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_restroy"));
    for (name, _) in std::env::vars() {
        if name.starts_with("RESTROY_") || name.starts_with("TEST_") {
            command.env_remove(name);
        }
    }
    command.env("NO_COLOR", "1").stdin(Stdio::null());
    command
}

/// A process that serves. Dies with this value.
pub struct Process {
    child: Child,
}

impl Process {
    /// Starts a command and waits for the lines that begin with `greetings`, in their order; gives
    /// what stands behind each.
    pub fn start<const N: usize>(mut command: Command, greetings: [&'static str; N]) -> (Self, [String; N]) {
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::inherit()).spawn().unwrap();
        let output = BufReader::new(child.stdout.take().unwrap());
        let process = Self { child };
        let (send, receive) = mpsc::channel();
        // The reader continues to the end, so that the server never blocks on a full pipe.
        thread::spawn(move || {
            for line in output.lines().map_while(Result::ok) {
                if let Some(rest) = greetings.iter().find_map(|greeting| line.strip_prefix(greeting)) {
                    let _ = send.send(rest.trim().to_owned());
                }
            }
        });
        let said = greetings.map(|greeting| {
            receive.recv_timeout(PATIENCE).unwrap_or_else(|_| panic!("`{command:?}` does not say `{greeting}…`"))
        });
        (process, said)
    }

    /// Ends it as a power cut would.
    pub fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Its number.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Whether it still runs.
    pub fn is_alive(&mut self) -> bool {
        self.child.try_wait().unwrap().is_none()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Waits for something asynchronous, whether or not the test itself is.
pub fn wait_for<T: Send>(job: impl AsyncFnOnce() -> T + Send) -> T {
    let runtime = || tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    thread::scope(|scope| match scope.spawn(|| runtime().block_on(job())).join() {
        Ok(done) => done,
        Err(panic) => std::panic::resume_unwind(panic),
    })
}

/// A client for requests by hand.
pub fn http() -> reqwest::Client {
    // Once a process; a second time changes nothing.
    let _ = rustls::crypto::ring::default_provider().install_default();
    reqwest::Client::builder().no_proxy().build().unwrap()
}
