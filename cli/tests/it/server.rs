//! An installation running, as the mode has it: `restroy dev`, or a control-plane and an executor.

use std::{
    io::{BufRead as _, BufReader},
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
};

use restroy_client::Client;
use restroy_control_plane::secrets::MasterKey;
use restroy_sdk::time::Ambient;
use tempfile::TempDir;

pub use crate::process::{PATIENCE, restroy};
use crate::{
    installation::{ControlPlane, Installation, PUBLIC_URL},
    process::{Process, wait_for},
};

/// Whether this is the suite of production.
pub const PRODUCTION: bool = matches!(env!("CARGO_CRATE_NAME").as_bytes(), b"production");

/// A running installation and what it keeps.
pub struct Server {
    mode: Mode,
    /// Of what executes: `--slots`, `--allow-loopback-http`.
    arguments: Vec<String>,
    /// Where its API listens.
    pub url: String,
}

enum Mode {
    Embedded { process: Process, folder: TempDir },
    Production { control_plane: ControlPlane, executor: Process, credential: String, installation: Box<Installation> },
}

impl Server {
    /// Starts on a free port with nothing in it.
    pub fn start(arguments: &[&str]) -> Self {
        let arguments: Vec<_> = arguments.iter().map(ToString::to_string).collect();
        if PRODUCTION {
            let installation = Box::new(Installation::new());
            let control_plane = installation.control_plane("127.0.0.1:0");
            let credential = installation.credential("one");
            let executor = installation.executor(&control_plane.run_api, &credential, &arguments);
            let url = control_plane.url.clone();
            Self { mode: Mode::Production { control_plane, executor, credential, installation }, arguments, url }
        } else {
            let folder = tempfile::tempdir().unwrap();
            let (process, url) = dev(folder.path(), "127.0.0.1:0", &arguments);
            Self { mode: Mode::Embedded { process, folder }, arguments, url }
        }
    }

    /// A folder for the test's own files.
    pub fn work(&self) -> &Path {
        match &self.mode {
            Mode::Embedded { folder, .. } => folder.path(),
            Mode::Production { installation, .. } => installation.work(),
        }
    }

    /// Where it runs as services: what it stands on.
    #[allow(dead_code, reason = "one mode of the tests asks for it")]
    pub fn installation(&self) -> Option<&Installation> {
        match &self.mode {
            Mode::Embedded { .. } => None,
            Mode::Production { installation, .. } => Some(installation),
        }
    }

    /// The origin of its own pages.
    pub fn origin(&self) -> String {
        if PRODUCTION { PUBLIC_URL.to_owned() } else { self.url.clone() }
    }

    /// Ends all its processes as a power cut would.
    pub fn kill(&mut self) {
        match &mut self.mode {
            Mode::Embedded { process, .. } => process.kill(),
            Mode::Production { control_plane, executor, .. } => {
                control_plane.process.kill();
                executor.kill();
            }
        }
    }

    /// Starts again on the same data and address.
    pub fn start_again(&mut self) {
        let address = self.url.trim_start_matches("http://");
        match &mut self.mode {
            Mode::Embedded { process, folder } => (*process, _) = dev(folder.path(), address, &self.arguments),
            Mode::Production { control_plane, executor, credential, installation } => {
                *control_plane = installation.control_plane(address);
                *executor = installation.executor(&control_plane.run_api, credential, &self.arguments);
            }
        }
    }

    /// `restroy keys …` on what it keeps.
    pub fn keys(&self, arguments: &[&str]) -> Output {
        self.keys_command(arguments).output().unwrap()
    }

    /// `restroy keys …`, killed when it has said so many lines about how far it is; whether it got that far.
    pub fn breaks_off_keys(&self, arguments: &[&str], lines: usize) -> bool {
        let mut process = self.keys_command(arguments).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
        let told = BufReader::new(process.stderr.take().unwrap()).lines().take(lines).count();
        if told == lines {
            process.kill().unwrap();
            process.wait().unwrap();
            return true;
        }
        assert!(process.wait().unwrap().success());
        false
    }

    fn keys_command(&self, arguments: &[&str]) -> Command {
        let mut command = match &self.mode {
            Mode::Embedded { .. } => restroy(),
            Mode::Production { installation, .. } => installation.configured(),
        };
        command.arg("keys").args(arguments).current_dir(self.work());
        if let Mode::Embedded { folder, .. } = &self.mode {
            command.arg("--data-dir").arg(data(folder.path()));
        }
        command
    }

    /// Rotates the master keys as `docs/operations.md` says; in production without the old one at the end.
    pub fn rotates_keys(&mut self) {
        let Mode::Production { installation, .. } = &self.mode else {
            self.kill();
            assert!(self.keys(&["rotate"]).status.success());
            return self.start_again();
        };
        let old = installation.master_keys.clone();
        let new = MasterKey::generate(&Ambient::system(), "second").to_string();
        self.starts_again_with(&format!("{old},{new}"));
        self.starts_again_with(&format!("{new},{old}"));
        assert!(self.keys(&["rotate"]).status.success(), "while it runs");
        self.starts_again_with(&new);
    }

    fn starts_again_with(&mut self, master_keys: &str) {
        if let Mode::Production { installation, .. } = &mut self.mode {
            master_keys.clone_into(&mut installation.master_keys);
        }
        self.kill();
        self.start_again();
    }

    /// Whether its processes still run.
    pub fn is_alive(&mut self) -> bool {
        match &mut self.mode {
            Mode::Embedded { process, .. } => process.is_alive(),
            Mode::Production { control_plane, executor, .. } => control_plane.process.is_alive() && executor.is_alive(),
        }
    }

    /// Its processes: what each is, and its number.
    pub fn processes(&self) -> Vec<(&'static str, u32)> {
        match &self.mode {
            Mode::Embedded { process, .. } => vec![("dev", process.id())],
            Mode::Production { control_plane, executor, .. } => {
                vec![("control-plane", control_plane.process.id()), ("executor", executor.id())]
            }
        }
    }

    /// Does what whoever has just registered does before the first login: in production, verify the
    /// address with the token from the e-mail and the password.
    pub fn verify(&self, email: &str, password: &str) {
        if PRODUCTION {
            let token = self.mailed_token(email);
            wait_for(async || Client::new(&self.url).unwrap().verify_email(&token, password).await.unwrap());
        }
    }

    /// The token that verifies an address.
    pub fn mailed_token(&self, email: &str) -> String {
        match &self.mode {
            Mode::Embedded { .. } => panic!("here an address counts as verified at once"),
            Mode::Production { installation, .. } => installation.verification_token(email),
        }
    }

    /// Whether its database holds a text in the clear.
    pub fn stores(&self, text: &str) -> bool {
        match &self.mode {
            Mode::Embedded { folder, .. } => ["restroy.db", "restroy.db-wal"].iter().any(|file| {
                let bytes = std::fs::read(data(folder.path()).join(file)).unwrap_or_default();
                bytes.windows(text.len()).any(|window| window == text.as_bytes())
            }),
            Mode::Production { installation, .. } => {
                let dump = installation.dump();
                dump.contains(text) || dump.contains(&hex::encode(text))
            }
        }
    }
}

/// The data folder of `restroy dev` in a folder of a test.
pub fn data(folder: &Path) -> PathBuf {
    folder.join("data")
}

fn dev(folder: &Path, listen: &str, arguments: &[String]) -> (Process, String) {
    let mut command = restroy();
    command.args(["dev", "--listen", listen, "--data-dir"]).arg(data(folder)).args(arguments);
    let (process, [url]) = Process::start(command, ["Restroy listens on "]);
    (process, url)
}
