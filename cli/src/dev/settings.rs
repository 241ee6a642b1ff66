//! The settings of `restroy dev`: flags, then environment, then a TOML file, then defaults.

use std::{
    fmt,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    path::{Path, PathBuf},
};

use clap::Args;
use serde::{Deserialize, Serialize};

/// The file that is read when it is there and no other is named.
const DEFAULT_FILE: &str = "restroy.toml";

/// Environment variables that belong to other commands.
const OTHER_VARIABLES: [&str; 5] =
    ["RESTROY_CONFIG", "RESTROY_CONFIG_DIR", "RESTROY_PASSWORD", "RESTROY_SERVER", "RESTROY_LOG"];

/// What can be set, as flags and environment variables.
#[derive(Debug, Clone, Default, Args)]
pub(crate) struct SettingArgs {
    /// A TOML file with the same keys [default: restroy.toml, when it is there]
    #[arg(long, env = "RESTROY_CONFIG", value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,

    /// Where the API listens [default: 127.0.0.1:8080]
    #[arg(long, env = "RESTROY_LISTEN", value_name = "ADDRESS:PORT")]
    pub(crate) listen: Option<SocketAddr>,

    /// Where everything is kept: database, keys, scratch files [default: ./.restroy]
    #[arg(long, env = "RESTROY_DATA_DIR", value_name = "DIR")]
    pub(crate) data_dir: Option<PathBuf>,

    /// How many runs are executed at once [default: 4]
    #[arg(long, env = "RESTROY_SLOTS", value_name = "N")]
    pub(crate) slots: Option<u16>,

    /// Listen on an address that others can reach. Embedded mode has no wall between the database
    /// and the sandboxes: it is for one's own scripts
    #[arg(long, env = "RESTROY_ALLOW_REMOTE", value_name = "BOOL", num_args = 0..=1, default_missing_value = "true")]
    pub(crate) allow_remote: Option<bool>,

    /// Let scripts call http services on this machine's loopback addresses
    #[arg(long, env = "RESTROY_ALLOW_LOOPBACK_HTTP", value_name = "BOOL", num_args = 0..=1, default_missing_value = "true")]
    pub(crate) allow_loopback_http: Option<bool>,
}

/// The file's keys.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    listen: Option<SocketAddr>,
    data_dir: Option<PathBuf>,
    slots: Option<u16>,
    allow_remote: Option<bool>,
    allow_loopback_http: Option<bool>,
}

/// What is in force.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Settings {
    /// Where the API listens.
    pub(crate) listen: SocketAddr,
    /// Where everything is kept.
    pub(crate) data_dir: PathBuf,
    /// How many runs are executed at once; 1 to 64.
    pub(crate) slots: u16,
    /// Whether `listen` may be an address that others can reach.
    pub(crate) allow_remote: bool,
    /// Whether scripts may call loopback addresses.
    pub(crate) allow_loopback_http: bool,
    /// The file that was read.
    pub(crate) file: Option<PathBuf>,
}

/// Why the settings cannot be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SettingsError {
    /// The file cannot be read.
    #[error("cannot read the configuration file {0}: {1}")]
    Unreadable(PathBuf, std::io::Error),
    /// The file is not right.
    #[error("{0}: {1}")]
    Invalid(PathBuf, String),
    /// A variable that nothing reads: a slip of the pen would otherwise go unnoticed.
    #[error("the environment variable {0} is not one that restroy reads; it reads {1}")]
    UnknownVariable(String, String),
    /// A value out of its bounds.
    #[error("{0}")]
    OutOfBounds(String),
}

impl Settings {
    /// Merges the arguments with the file and the defaults, and checks the outcome.
    pub(crate) fn resolve(args: &SettingArgs, variables: impl Iterator<Item = String>) -> Result<Self, SettingsError> {
        refuse_unknown(variables)?;
        let (file, path) = read_file(args.config.as_deref())?;
        let settings = Self {
            listen: args.listen.or(file.listen).unwrap_or(SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 8080)),
            data_dir: args.data_dir.clone().or(file.data_dir).unwrap_or_else(|| PathBuf::from(".restroy")),
            slots: args.slots.or(file.slots).unwrap_or(4),
            allow_remote: args.allow_remote.or(file.allow_remote).unwrap_or(false),
            allow_loopback_http: args.allow_loopback_http.or(file.allow_loopback_http).unwrap_or(false),
            file: path,
        };
        settings.check()?;
        Ok(settings)
    }

    fn check(&self) -> Result<(), SettingsError> {
        if !(1..=64).contains(&self.slots) {
            return Err(SettingsError::OutOfBounds(format!("slots must be 1 to 64, not {}", self.slots)));
        }
        if !self.listen.ip().is_loopback() && !self.allow_remote {
            return Err(SettingsError::OutOfBounds(format!(
                "{} can be reached by others, and embedded mode is for one's own scripts: listen on 127.0.0.1, or add \
                 --allow-remote if you know who can reach it",
                self.listen
            )));
        }
        Ok(())
    }
}

impl fmt::Display for Settings {
    /// As a TOML file that would give the same settings.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.file {
            Some(file) => writeln!(f, "# with {}", file.display())?,
            None => writeln!(f, "# no configuration file")?,
        }
        writeln!(f, "listen = \"{}\"", self.listen)?;
        writeln!(f, "data_dir = {:?}", self.data_dir.display().to_string())?;
        writeln!(f, "slots = {}", self.slots)?;
        writeln!(f, "allow_remote = {}", self.allow_remote)?;
        writeln!(f, "allow_loopback_http = {}", self.allow_loopback_http)?;
        writeln!(
            f,
            "# kept in the data folder, made at the first start: master.key = \"********\", token.key = \"********\""
        )
    }
}

fn read_file(named: Option<&Path>) -> Result<(File, Option<PathBuf>), SettingsError> {
    let path = named.unwrap_or(Path::new(DEFAULT_FILE));
    let text = match std::fs::read_to_string(path) {
        Ok(text) => text,
        Err(error) if named.is_none() && error.kind() == std::io::ErrorKind::NotFound => {
            return Ok((File::default(), None));
        }
        Err(error) => return Err(SettingsError::Unreadable(path.to_owned(), error)),
    };
    let file = toml::from_str(&text).map_err(|error| SettingsError::Invalid(path.to_owned(), error.to_string()))?;
    Ok((file, Some(path.to_owned())))
}

fn refuse_unknown(variables: impl Iterator<Item = String>) -> Result<(), SettingsError> {
    let own =
        ["RESTROY_LISTEN", "RESTROY_DATA_DIR", "RESTROY_SLOTS", "RESTROY_ALLOW_REMOTE", "RESTROY_ALLOW_LOOPBACK_HTTP"];
    for variable in variables.filter(|name| name.starts_with("RESTROY_")) {
        if !own.contains(&variable.as_str()) && !OTHER_VARIABLES.contains(&variable.as_str()) {
            let known = own.iter().chain(&OTHER_VARIABLES).copied().collect::<Vec<_>>().join(", ");
            return Err(SettingsError::UnknownVariable(variable, known));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with_file(text: &str) -> Result<Settings, SettingsError> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("restroy.toml");
        std::fs::write(&path, text).unwrap();
        let args = SettingArgs { config: Some(path), slots: Some(7), ..SettingArgs::default() };
        Settings::resolve(&args, std::iter::empty())
    }

    #[test]
    fn flags_come_before_the_file_and_the_file_before_defaults() {
        let settings = with_file("slots = 2\nlisten = \"127.0.0.1:9\"").unwrap();
        assert_eq!((settings.slots, settings.listen.port()), (7, 9));
        assert_eq!(settings.data_dir, PathBuf::from(".restroy"));
    }

    #[test]
    fn unknown_keys_are_errors_that_name_them() {
        assert!(with_file("slotz = 2").unwrap_err().to_string().contains("slotz"));
        let args = SettingArgs::default();
        let error = Settings::resolve(&args, ["RESTROY_SLOTZ".to_owned()].into_iter()).unwrap_err();
        assert!(error.to_string().contains("RESTROY_SLOTZ"));
    }

    #[test]
    fn an_address_that_others_reach_needs_consent() {
        assert!(with_file("listen = \"0.0.0.0:80\"").unwrap_err().to_string().contains("--allow-remote"));
        assert!(with_file("listen = \"0.0.0.0:80\"\nallow_remote = true").is_ok());
    }
}
