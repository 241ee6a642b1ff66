//! How a command fails: what is wrong, where, what to do about it, and the exit code.

use std::{fmt::Write as _, path::Path};

use restroy_client::Error;
use restroy_sdk::problem::{Problem, ProblemCode};

use crate::style::Paint;

/// The exit codes, as the help reports them.
pub(crate) mod code {
    /// A run, script or request failed, or a check found errors.
    pub(crate) const FAILED: u8 = 1;
    /// The command line is wrong; the same code that the argument parser uses.
    pub(crate) const USAGE: u8 = 2;
    /// The server cannot be reached, or nobody is signed in there.
    pub(crate) const NO_ACCESS: u8 = 3;
    /// Stopped by Ctrl-C: 128 + SIGINT.
    pub(crate) const INTERRUPTED: u8 = 130;
}

/// Why a command failed.
#[derive(Debug)]
pub(crate) struct Failure {
    /// The exit code.
    pub(crate) code: u8,
    /// What is wrong; nothing when it was shown already.
    message: String,
    /// What to do about it.
    help: Option<String>,
    /// Shown before the message as it is: places in files.
    details: String,
}

/// What a command gives.
pub(crate) type Outcome<T = ()> = Result<T, Failure>;

impl Failure {
    /// Something failed.
    pub(crate) fn new(message: impl Into<String>) -> Self {
        Self { code: code::FAILED, message: message.into(), help: None, details: String::new() }
    }

    /// The command line does not make sense.
    pub(crate) fn usage(message: impl Into<String>) -> Self {
        Self { code: code::USAGE, ..Self::new(message) }
    }

    /// What is wrong was shown already.
    pub(crate) fn silent(code: u8) -> Self {
        Self { code, ..Self::new("") }
    }

    /// A file or folder cannot be used.
    pub(crate) fn file(doing: &str, path: &Path, error: &std::io::Error) -> Self {
        Self::new(format!("cannot {doing} {}: {error}", path.display()))
    }

    /// With what to do about it.
    #[must_use]
    pub(crate) fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }

    /// With another exit code.
    #[must_use]
    pub(crate) fn with_code(mut self, code: u8) -> Self {
        self.code = code;
        self
    }

    /// With places in files, shown first.
    #[must_use]
    pub(crate) fn details(mut self, details: impl Into<String>) -> Self {
        self.details = details.into();
        self
    }

    /// As it is shown on standard error; ends with a line break unless it is empty.
    pub(crate) fn show(&self, paint: Paint) -> String {
        let mut text = self.details.clone();
        if !self.message.is_empty() {
            let _ = writeln!(text, "{} {}", paint.red("error:"), self.message);
        }
        if let Some(help) = &self.help {
            let _ = writeln!(text, "  {} {help}", paint.cyan("help:"));
        }
        text
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        match error {
            Error::Problem(problem) => of_problem(&problem),
            Error::Unreachable { address, reason, .. } => {
                Self { code: code::NO_ACCESS, ..Self::new(format!("cannot reach {address}: {reason}")) }
                    .help("start a server with `restroy dev`, or name another with --server or RESTROY_SERVER")
            }
            Error::SignedOut { address } => {
                let address = address.trim_end_matches('/');
                Self { code: code::NO_ACCESS, ..Self::new(format!("not signed in at {address}")) }
                    .help(format!("sign in with `restroy login --server {address}`"))
            }
            Error::ApiToken { .. } => Self { code: code::NO_ACCESS, ..Self::new(error.to_string()) }
                .help("see RESTROY_TOKEN, or sign in again: `restroy login --token-stdin`, or with a password"),
            Error::Address { .. } => Self { code: code::USAGE, ..Self::new(error.to_string()) },
            Error::Store(_) => Self::new(error.to_string())
                .help("check that the file is readable and writable; if it is damaged, delete it and sign in again"),
            Error::Answer { .. } | Error::Tls(_) => Self::new(error.to_string()),
        }
    }
}

fn of_problem(problem: &Problem) -> Failure {
    let failure = Failure::new(problem.to_string());
    match problem.code {
        ProblemCode::InvalidCredentials => failure.help("register first with `restroy login --register`, or try again"),
        ProblemCode::InvalidParams => failure.help("give them with `--param name=value` or `--params-file FILE`"),
        ProblemCode::Unauthorized => Failure { code: code::NO_ACCESS, ..failure }.help("sign in with `restroy login`"),
        ProblemCode::NotFound => {
            failure.help("it does not exist or you have no access; check who you are with `restroy whoami`")
        }
        ProblemCode::TooLarge => {
            failure.help("the parameters of a run take 1 MiB, a pipeline's document and scripts 16 MiB: send less")
        }
        ProblemCode::Internal => match &problem.request_id {
            Some(id) => failure.help(format!("See the server's log for details; the request id is {id}.")),
            None => failure.help("See the server's log for details."),
        },
        _ => failure,
    }
}
