//! How an executor is set up.

use std::{fmt, path::PathBuf, time::Duration};

use crate::HttpPolicy;

/// What the scratch folders of all runs may hold together unless set otherwise: 448 MiB, within the 512 MiB that the
/// composition gives an executor.
pub const DEFAULT_SCRATCH_TOTAL: u64 = 448 * 1024 * 1024;

/// How an executor is set up. [`ExecutorConfig::new`] fills in what has a default.
#[derive(Clone)]
pub struct ExecutorConfig {
    /// Where the run API listens: `http://127.0.0.1:9000`. TLS unless it is this very machine.
    pub run_api_url: String,
    /// The certificates (PEM) of the authority that signed the run API's; then only it is trusted, and
    /// else the system's authorities.
    pub run_api_ca: Option<PathBuf>,
    /// The client certificate that the run API is shown, where the credential is bound to one.
    pub run_api_client: Option<ClientIdentity>,
    /// The executor's own credential; good for claiming admitted tasks, and nothing else.
    pub credential: String,
    /// How many tasks at once.
    pub slots: u32,
    /// How many sandboxes of one task at once.
    pub sandboxes_per_task: u32,
    /// Where the scratch folders of runs lie. Made if absent; nobody else may write there.
    pub scratch_dir: PathBuf,
    /// What the scratch folder of one run may hold, in bytes.
    pub scratch_bytes: u64,
    /// What the scratch folders of all runs may hold together, in bytes: at least some megabytes less than there is.
    /// A team may fill as much of it as is left free.
    pub scratch_total_bytes: u64,
    /// What scripts' requests may reach.
    pub http: HttpPolicy,
    /// After the order to stop, how long running tasks may continue. What is not done then is handed back, and done by
    /// another executor.
    pub drain: Duration,
}

/// Where a client certificate and its key are, as PEM.
#[derive(Debug, Clone)]
pub struct ClientIdentity {
    /// The certificate, and those between it and its authority.
    pub certificate: PathBuf,
    /// Its private key.
    pub key: PathBuf,
}

impl ExecutorConfig {
    /// The defaults: four tasks at once, eight sandboxes each.
    pub fn new(run_api_url: impl Into<String>, credential: impl Into<String>, scratch_dir: impl Into<PathBuf>) -> Self {
        Self {
            run_api_url: run_api_url.into(),
            run_api_ca: None,
            run_api_client: None,
            credential: credential.into(),
            slots: 4,
            sandboxes_per_task: 8,
            scratch_dir: scratch_dir.into(),
            scratch_bytes: 50 * 1024 * 1024,
            scratch_total_bytes: DEFAULT_SCRATCH_TOTAL,
            http: HttpPolicy::default(),
            drain: Duration::from_secs(10),
        }
    }
}

impl fmt::Debug for ExecutorConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The credential never reaches a log.
        f.debug_struct("ExecutorConfig")
            .field("run_api_url", &self.run_api_url)
            .field("slots", &self.slots)
            .field("sandboxes_per_task", &self.sandboxes_per_task)
            .field("scratch_dir", &self.scratch_dir)
            .field("http", &self.http)
            .finish_non_exhaustive()
    }
}

/// Why an executor cannot start.
#[derive(Debug, thiserror::Error)]
pub enum ExecutorError {
    /// The address is not one.
    #[error("the run API's address `{0}` is not a URL such as http://127.0.0.1:9000")]
    Address(String),
    /// Plain HTTP to another machine would show secrets to the network.
    #[error(
        "the run API's address `{0}` is neither https nor loopback: plans carry secrets, so use https or run on one machine"
    )]
    Plaintext(String),
    /// The authority's certificates cannot be used.
    #[error("the run API's certificate authority {path} cannot be used: {error}", path = path.display())]
    Authority {
        /// The file's path.
        path: PathBuf,
        /// The error.
        error: String,
    },
    /// The client certificate, or its key, cannot be used.
    #[error("the client certificate for the run API cannot be used: {path}: {error}", path = path.display())]
    Certificate {
        /// The file's path.
        path: PathBuf,
        /// The error.
        error: String,
    },
    /// The threads for scripts cannot be made.
    #[error("cannot start the threads for scripts: {0}")]
    Threads(std::io::Error),
    /// The HTTP client cannot be made.
    #[error("cannot set up outgoing connections: {0}")]
    Http(String),
    /// The scratch folder cannot be made.
    #[error("cannot make the scratch folder {path}: {error}", path = path.display())]
    Scratch {
        /// The file's path.
        path: PathBuf,
        /// The error.
        error: std::io::Error,
    },
}
