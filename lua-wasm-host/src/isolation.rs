//! Where sandboxes run, and what keeps them there.

use std::ffi::OsString;
use std::path::PathBuf;

/// Where sandboxes run. The result of a run and its fuel are the same either way.
#[derive(Debug, Clone, Default)]
pub enum Isolation {
    /// On threads of this process. An error of the engine would give a script all that the process has.
    #[default]
    Thread,
    /// In worker processes, each for one owner at a time, without files, network or rights. Linux only.
    Process(ProcessConfig),
}

/// How worker processes are started.
#[derive(Debug, Clone)]
pub struct ProcessConfig {
    /// What is executed. Its `main` must call `sandbox_worker` before it starts a thread.
    pub program: PathBuf,
    /// With which arguments.
    pub args: Vec<OsString>,
    /// How many workers may wait for more work of their owner. Each costs a few MiB; fewer cost a fork more
    /// often.
    pub idle: usize,
    /// Whether a kernel without system-call filters will do.
    pub allow_partial: bool,
}

impl ProcessConfig {
    /// This very program, with the argument `sandbox-worker`, four idle workers, and nothing missing.
    pub fn this_program() -> Self {
        // Also right when the file was replaced since.
        let program = PathBuf::from("/proc/self/exe");
        Self { program, args: vec!["sandbox-worker".into()], idle: 4, allow_partial: false }
    }
}

/// What keeps worker processes in, on this machine.
#[derive(Debug, Clone, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct IsolationReport {
    /// Any system call but the few that a worker needs ends it.
    pub seccomp: bool,
    /// The kernel refuses it files, connections and signals, whatever the filter says.
    pub landlock: bool,
    /// It cannot gain rights by executing something.
    pub no_new_privs: bool,
    /// What is missing, for people.
    pub notes: Vec<String>,
}
