//! The settings of the commands that run services: flags, then `RESTROY_*` environment, then a TOML
//! file, then defaults.
//!
//! A service is a table ([`tables`]), written with one macro: its fields, how each is read ([`value`]), and what it
//! is when nobody sets it. From the table come the flags, the names of the variables and of the file's keys, what
//! `restroy config` prints, and the struct. What is wrong is reported all at once.
//!
//! A secret has no flag, since others see a process's arguments: it comes from the environment or the
//! file, or, by `…_FILE`, from a file that holds nothing else, as containers get theirs.

mod given;
mod merge;
pub(crate) mod network;
pub(crate) mod registration;
mod table;
pub(crate) mod tables;
#[cfg(test)]
mod tests;
pub(crate) mod value;

use std::{collections::BTreeMap, fmt, path::PathBuf};

pub(crate) use given::GivenFlags;

use crate::failure::Failure;

/// One setting of a service.
#[derive(Debug)]
pub(crate) struct Setting {
    /// Its key in the file: `run_api_listen`; the flag and the variable are made of it.
    pub(crate) key: &'static str,
    /// What it is for, in lines.
    pub(crate) help: &'static [&'static str],
    /// What stands for the value in the help.
    pub(crate) value_name: &'static str,
    /// What holds when nobody sets it.
    pub(crate) unset: DefaultValue,
    /// Whether it must not be seen.
    pub(crate) secret: bool,
    /// Whether the flag alone means yes.
    pub(crate) switch: bool,
    /// Says what is wrong with a value.
    pub(crate) check: fn(&str) -> Result<(), String>,
}

/// What holds when nobody sets a setting.
#[derive(Debug, Clone, Copy)]
pub(crate) enum DefaultValue {
    /// The service does not start.
    Refused,
    /// The default is this value.
    Is(&'static str),
    /// Nothing; the service does without.
    Nothing,
}

impl Setting {
    /// `RESTROY_RUN_API_LISTEN`.
    pub(crate) fn variable(&self) -> String {
        format!("RESTROY_{}", self.key.to_ascii_uppercase())
    }

    /// The variable or key that names the file of a secret.
    pub(crate) fn in_file(name: &str) -> String {
        let suffix = if name.starts_with("RESTROY_") { "_FILE" } else { "_file" };
        format!("{name}{suffix}")
    }

    fn help(&self) -> String {
        self.help.iter().map(|line| line.trim()).collect::<Vec<_>>().join(" ")
    }
}

/// A command with settings; see [`table::settings!`].
pub(crate) trait Service: Sized {
    /// `control-plane`.
    const COMMAND: &'static str;
    /// Its settings.
    const TABLE: &'static [Setting];
    /// The file that is read when it is there and no other is named.
    const DEFAULT_FILE: Option<&'static str> = None;
    /// Whether what belongs to other services is passed over instead of refused.
    const LENIENT: bool = false;

    /// From what was read: each value was checked.
    fn build(values: &BTreeMap<&'static str, String>) -> Result<Self, String>;

    /// What is in force, as it may be shown.
    fn shown(&self) -> Vec<(&'static str, Option<toml::Value>)>;

    /// What is wrong with the settings taken together.
    fn faults(&self) -> Vec<String>;

    /// Why a setting of another service is refused here, and what to do.
    fn foreign(name: &str, owner: &str) -> String {
        format!("{name} belongs to `restroy {owner}` and is not used by `restroy {}`: remove it", Self::COMMAND)
    }
}

/// The environment, passed in.
pub(crate) type Environment = BTreeMap<String, String>;

/// The variables of this process.
pub(crate) fn environment() -> Environment {
    std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.to_string_lossy().into_owned())))
        .collect()
}

/// Settings in force, and the file that had a part in them.
#[derive(Debug)]
pub(crate) struct ResolvedSettings<S> {
    /// The settings.
    pub(crate) settings: S,
    /// The file that was read.
    pub(crate) file: Option<PathBuf>,
}

impl<S: Service> ResolvedSettings<S> {
    /// Merges flags, environment, file and defaults.
    pub(crate) fn resolve(given: &GivenFlags<S>, environment: &Environment) -> Result<Self, SettingsError> {
        merge::resolve(given, environment)
    }

    /// As JSON, secrets masked.
    pub(crate) fn json(&self) -> serde_json::Value {
        let mut shown: serde_json::Map<_, _> = self
            .settings
            .shown()
            .into_iter()
            .map(|(key, value)| (key.to_owned(), serde_json::to_value(value).unwrap_or_default()))
            .collect();
        shown.insert("file".to_owned(), self.file.as_ref().map(|file| file.display().to_string()).into());
        shown.into()
    }
}

impl<S: Service> fmt::Display for ResolvedSettings<S> {
    /// As a TOML file that would give the same settings, were it not for the masked secrets.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.file {
            Some(file) => writeln!(f, "# with {}", file.display())?,
            None => writeln!(f, "# no configuration file")?,
        }
        for (key, value) in self.settings.shown() {
            match value {
                Some(value) => writeln!(f, "{key} = {value}")?,
                None => writeln!(f, "# {key} is not set")?,
            }
        }
        Ok(())
    }
}

/// Why the settings cannot be used: all that is wrong.
#[derive(Debug)]
pub(crate) struct SettingsError {
    faults: Vec<String>,
    help: Option<String>,
}

impl fmt::Display for SettingsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.faults.join("\n"))
    }
}

impl std::error::Error for SettingsError {}

impl From<SettingsError> for Failure {
    fn from(error: SettingsError) -> Self {
        let failure = Self::new(error.to_string());
        match error.help {
            Some(help) => failure.help(help),
            None => failure,
        }
    }
}
