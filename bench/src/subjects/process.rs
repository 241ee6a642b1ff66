//! Processes under measurement: started in a group of their own, ended together.

use std::{
    error::Error,
    fs::File,
    io::{BufRead as _, BufReader},
    os::unix::process::CommandExt as _,
    path::{Path, PathBuf},
    process::{ChildStdout, Command, Stdio},
    time::Duration,
};

/// How long a process may take to end when it is asked to.
const EXIT_TIMEOUT: Duration = Duration::from_secs(5);
/// How much of a process's errors is shown when it fails, in lines.
const SHOWN: usize = 10;

/// A process with all that descend from it. Dropped, it is killed.
pub(crate) struct Process {
    child: std::process::Child,
    /// Where its standard error goes.
    log: PathBuf,
}

impl Process {
    /// Starts a command; its standard error goes into the file `log`, its output is piped.
    pub(crate) fn start(command: &mut Command, log: &Path) -> Result<(Self, BufReader<ChildStdout>), Box<dyn Error>> {
        let program = command.get_program().to_string_lossy().into_owned();
        command.stdout(Stdio::piped()).stderr(File::create(log)?).process_group(0);
        let mut child = command.spawn().map_err(|error| format!("cannot start {program}: {error}"))?;
        let output = child.stdout.take().ok_or("a process without output")?;
        Ok((Self { child, log: log.to_owned() }, BufReader::new(output)))
    }

    /// Its id.
    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// What it is fed through, when its input was piped.
    pub(crate) fn input(&mut self) -> Option<std::process::ChildStdin> {
        self.child.stdin.take()
    }

    /// What it said last, for the message of a failure.
    pub(crate) fn last_words(&self) -> String {
        let text = std::fs::read_to_string(&self.log).unwrap_or_default();
        let lines: Vec<_> = text.lines().rev().take(SHOWN).collect();
        lines.into_iter().rev().collect::<Vec<_>>().join("\n")
    }

    /// Asks it to end, and waits for a while.
    pub(crate) async fn end(mut self) {
        signal("-TERM", &self.child.id().to_string());
        let ended = async {
            while matches!(self.child.try_wait(), Ok(None)) {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        let _ = tokio::time::timeout(EXIT_TIMEOUT, ended).await;
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // The group, since workers have workers of their own; it may be gone already.
        signal("-KILL", &format!("-{}", self.child.id()));
        let _ = self.child.wait();
    }
}

fn signal(which: &str, whom: &str) {
    let _ = Command::new("kill").args([which, "--", whom]).stderr(Stdio::null()).status();
}

/// The rest of what follows `prefix` in each of the wanted lines, in the order wanted. What comes later is
/// dropped, so that the process never blocks on a full pipe.
pub(crate) fn announced<const N: usize>(
    process: &Process,
    mut output: BufReader<ChildStdout>,
    prefixes: [&str; N],
) -> Result<[String; N], Box<dyn Error>> {
    let mut found = prefixes.map(|_| None);
    let mut line = String::new();
    while found.iter().any(Option::is_none) {
        line.clear();
        if output.read_line(&mut line)? == 0 {
            return Err(format!("a process ended before it was ready:\n{}", process.last_words()).into());
        }
        for (prefix, place) in prefixes.iter().zip(&mut found) {
            if let Some(rest) = line.strip_prefix(prefix) {
                *place = Some(rest.trim().to_owned());
            }
        }
    }
    drain(output);
    Ok(found.map(Option::unwrap_or_default))
}

/// Reads what a process prints and drops it.
pub(crate) fn drain(mut output: BufReader<ChildStdout>) {
    std::thread::spawn(move || std::io::copy(&mut output, &mut std::io::sink()));
}

/// The server's binary, built in the same profile, without the caller's settings.
pub(crate) fn restroy() -> Result<Command, Box<dyn Error>> {
    let program = std::env::current_exe()?.with_file_name("restroy");
    if !program.exists() {
        let release = if cfg!(debug_assertions) { "" } else { " --release" };
        return Err(format!("{} is not there: run `cargo build{release}` first", program.display()).into());
    }
    let mut command = Command::new(program);
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("RESTROY_") {
            command.env_remove(name);
        }
    }
    command.stdin(Stdio::null());
    Ok(command)
}

/// Runs a command to its end; its output, or why it failed.
pub(crate) fn output(command: &mut Command) -> Result<String, Box<dyn Error>> {
    let program = command.get_program().to_string_lossy().into_owned();
    let output = command.output().map_err(|error| format!("cannot start {program}: {error}"))?;
    if output.status.success() {
        return Ok(String::from_utf8(output.stdout)?.trim().to_owned());
    }
    Err(format!("{program} failed ({}):\n{}", output.status, String::from_utf8_lossy(&output.stderr).trim()).into())
}
