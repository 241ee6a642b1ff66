//! What the command line says about a service's settings.

use std::{collections::BTreeMap, marker::PhantomData, path::PathBuf};

use clap::{Arg, ArgMatches, Args, Command, Error, FromArgMatches, value_parser};

use super::{DefaultValue, Service, Setting};

/// The argument that names the file.
const CONFIG: &str = "config";

/// The flags of a service, as they were given.
#[derive(Debug, Clone)]
pub(crate) struct GivenFlags<S> {
    /// The file that was named, by flag or variable.
    pub(super) config: Option<PathBuf>,
    /// The values by key; for a secret, the file that it is in.
    pub(super) values: BTreeMap<&'static str, String>,
    service: PhantomData<fn() -> S>,
}

impl<S> Default for GivenFlags<S> {
    fn default() -> Self {
        Self { config: None, values: BTreeMap::new(), service: PhantomData }
    }
}

#[cfg(test)]
impl<S> GivenFlags<S> {
    /// As if the file had been named and the flags been given.
    pub(super) fn of(config: Option<PathBuf>, values: &[(&'static str, &str)]) -> Self {
        let values = values.iter().map(|(key, value)| (*key, (*value).to_owned())).collect();
        Self { config, values, service: PhantomData }
    }
}

/// The flag of a setting, without the dashes before it.
fn flag(setting: &Setting) -> String {
    let name = if setting.secret { Setting::in_file(setting.key) } else { setting.key.to_owned() };
    name.replace('_', "-")
}

fn argument(setting: &'static Setting) -> Arg {
    let variable = setting.variable();
    let mut help = setting.help();
    if let DefaultValue::Is(default) = setting.unset
        && !setting.switch
        && !default.is_empty()
    {
        help = format!("{help} [default: {default}]");
    }
    let arg = Arg::new(setting.key).long(flag(setting));
    if setting.secret {
        let (read, named) = (format!("[env: {variable}]"), Setting::in_file(&variable));
        return arg.value_name("FILE").help(format!("A file that holds: {help} {read} [env for the file: {named}]"));
    }
    let check = setting.check;
    let arg = arg
        .value_name(setting.value_name)
        .help(format!("{help} [env: {variable}]"))
        .value_parser(move |text: &str| check(text).map(|()| text.to_owned()));
    if setting.switch { arg.num_args(0..=1).default_missing_value("true") } else { arg }
}

impl<S: Service> Args for GivenFlags<S> {
    fn augment_args(command: Command) -> Command {
        let default = S::DEFAULT_FILE.map_or(String::new(), |file| format!(" [default: {file}, when it is there]"));
        let config = Arg::new(CONFIG)
            .long(CONFIG)
            .value_name("FILE")
            .value_parser(value_parser!(PathBuf))
            .help(format!("A TOML file with the same keys{default} [env: RESTROY_CONFIG]"));
        command.arg(config).args(S::TABLE.iter().map(argument))
    }

    fn augment_args_for_update(command: Command) -> Command {
        Self::augment_args(command)
    }
}

impl<S: Service> FromArgMatches for GivenFlags<S> {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, Error> {
        let mut given = Self::default();
        given.update_from_arg_matches(matches)?;
        Ok(given)
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), Error> {
        self.config = matches.get_one::<PathBuf>(CONFIG).cloned();
        for setting in S::TABLE {
            if let Some(value) = matches.get_one::<String>(setting.key) {
                self.values.insert(setting.key, value.clone());
            }
        }
        Ok(())
    }
}
