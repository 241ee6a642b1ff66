//! Flags over environment over file over defaults.

use std::{
    collections::BTreeMap,
    fmt::Write as _,
    fs::File,
    io::{ErrorKind, Read as _},
    path::{Path, PathBuf},
};

use super::{DefaultValue, Environment, GivenFlags, ResolvedSettings, Service, Setting, SettingsError, tables};

/// Variables that belong to other parts of the program.
const COMMON: [&str; 6] =
    ["RESTROY_CONFIG", "RESTROY_CONFIG_DIR", "RESTROY_PASSWORD", "RESTROY_SERVER", "RESTROY_TOKEN", "RESTROY_LOG"];
/// What the file of a secret may have, in bytes.
const MAX_SECRET: u64 = 64 * 1024;
/// What a configuration file may have, in bytes.
const MAX_FILE: u64 = 1024 * 1024;

/// A value and where it is from.
struct SourcedValue {
    text: String,
    place: String,
}

pub(super) fn resolve<S: Service>(
    given: &GivenFlags<S>,
    environment: &Environment,
) -> Result<ResolvedSettings<S>, SettingsError> {
    let mut faults = unknown_variables::<S>(environment);
    let (file, path) = match read_file::<S>(given, environment) {
        Ok((table, path)) => {
            faults.extend(path.as_deref().into_iter().flat_map(|path| unknown_keys::<S>(&table, path)));
            (table, path)
        }
        Err(fault) => {
            faults.push(fault);
            (toml::Table::new(), None)
        }
    };
    let mut values = BTreeMap::new();
    let mut missing = Vec::new();
    for setting in S::TABLE {
        match find(setting, given, environment, &file, path.as_deref()) {
            Ok(Some(found)) => match (setting.check)(&found.text) {
                Ok(()) => _ = values.insert(setting.key, found.text),
                Err(fault) => faults.push(format!("{}: {fault}", found.place)),
            },
            Ok(None) => match setting.unset {
                DefaultValue::Refused => missing.push(setting),
                DefaultValue::Is(default) => _ = values.insert(setting.key, default.to_owned()),
                DefaultValue::Nothing => {}
            },
            Err(fault) => faults.push(fault),
        }
    }
    if !faults.is_empty() {
        // What is missing may be what is misspelt: both are reported.
        faults.extend(absent::<S>(&missing));
        return Err(SettingsError { faults, help: None });
    }
    if let Some(absent) = absent::<S>(&missing) {
        let help = "`restroy init` writes files with new keys for every service; docs/operations.md describes each \
            setting";
        return Err(SettingsError { faults: vec![absent], help: Some(help.to_owned()) });
    }
    let settings = S::build(&values).map_err(|fault| SettingsError { faults: vec![fault], help: None })?;
    let faults = settings.faults();
    if faults.is_empty() {
        Ok(ResolvedSettings { settings, file: path })
    } else {
        Err(SettingsError { faults, help: None })
    }
}

/// Everything that is missing, with what it is for.
fn absent<S: Service>(missing: &[&Setting]) -> Option<String> {
    if missing.is_empty() {
        return None;
    }
    let mut text = format!("`restroy {}` does not start without:", S::COMMAND);
    for setting in missing {
        let variable = setting.variable();
        let ways = if setting.secret {
            format!("{variable} or {}", Setting::in_file(&variable))
        } else {
            format!("{variable} or --{}", setting.key.replace('_', "-"))
        };
        // Writing to a string does not fail.
        let _ = write!(text, "\n  {ways}: {}", setting.help());
    }
    Some(text)
}

/// The value of a setting, from the first place that has one.
fn find<S: Service>(
    setting: &Setting,
    given: &GivenFlags<S>,
    environment: &Environment,
    file: &toml::Table,
    path: Option<&Path>,
) -> Result<Option<SourcedValue>, String> {
    if let Some(text) = given.values.get(setting.key) {
        if setting.secret {
            let place = format!("--{}", Setting::in_file(setting.key).replace('_', "-"));
            return secret(text, &place).map(Some);
        }
        return Ok(Some(SourcedValue { text: text.clone(), place: format!("--{}", setting.key.replace('_', "-")) }));
    }
    // An empty variable is as good as none: composed files leave them behind.
    let variable = |name: &str| environment.get(name).filter(|text| !text.is_empty()).cloned();
    if let Some(found) = either(setting, &setting.variable(), &|name| Ok(variable(name)), "")? {
        return Ok(Some(found));
    }
    let place = path.map_or(String::new(), |path| format!("{}: ", path.display()));
    either(setting, setting.key, &|name| file.get(name).map(|value| text(value, name)).transpose(), &place)
}

/// The value under a name, or, for a secret, in the file that stands under `…_file`.
fn either(
    setting: &Setting,
    name: &str,
    value: &dyn Fn(&str) -> Result<Option<String>, String>,
    place: &str,
) -> Result<Option<SourcedValue>, String> {
    let direct = value(name)?;
    let in_file = Setting::in_file(name);
    let named = if setting.secret { value(&in_file)? } else { None };
    match (direct, named) {
        (Some(_), Some(_)) => Err(format!("{place}{name} and {in_file} are both set: remove one")),
        (Some(text), None) => Ok(Some(SourcedValue { text, place: format!("{place}{name}") })),
        (None, Some(file)) => secret(&file, &format!("{place}{in_file}")).map(Some),
        (None, None) => Ok(None),
    }
}

/// A secret from its file, without the line break at its end.
fn secret(file: &str, place: &str) -> Result<SourcedValue, String> {
    let text = read(Path::new(file), MAX_SECRET).map_err(|error| format!("{place}: cannot read {file}: {error}"))?;
    let text = text.trim().to_owned();
    if text.is_empty() {
        return Err(format!("{place}: {file} is empty"));
    }
    Ok(SourcedValue { text, place: format!("{place} ({file})") })
}

fn read(path: &Path, most: u64) -> std::io::Result<String> {
    let mut text = String::new();
    File::open(path)?.take(most + 1).read_to_string(&mut text)?;
    if text.len() as u64 > most {
        return Err(std::io::Error::new(ErrorKind::FileTooLarge, format!("it has more than {most} bytes")));
    }
    Ok(text)
}

/// A value of the file as a variable would have it.
fn text(value: &toml::Value, key: &str) -> Result<String, String> {
    match value {
        toml::Value::String(text) => Ok(text.clone()),
        toml::Value::Integer(number) => Ok(number.to_string()),
        toml::Value::Boolean(truth) => Ok(truth.to_string()),
        toml::Value::Array(items) => {
            let items = items.iter().map(|item| text(item, key)).collect::<Result<Vec<_>, _>>()?;
            Ok(items.join(","))
        }
        _ => Err(format!("the configuration file's `{key}` is neither text nor a number, `true`, `false` or a list")),
    }
}

fn read_file<S: Service>(
    given: &GivenFlags<S>,
    environment: &Environment,
) -> Result<(toml::Table, Option<PathBuf>), String> {
    let variable = environment.get("RESTROY_CONFIG").filter(|path| !path.is_empty()).map(PathBuf::from);
    let named = given.config.clone().or(variable);
    let Some(path) = named.clone().or_else(|| S::DEFAULT_FILE.map(PathBuf::from)) else {
        return Ok((toml::Table::new(), None));
    };
    let text = match read(&path, MAX_FILE) {
        Ok(text) => text,
        Err(error) if named.is_none() && error.kind() == ErrorKind::NotFound => return Ok((toml::Table::new(), None)),
        Err(error) => return Err(format!("cannot read the configuration file {}: {error}", path.display())),
    };
    match text.parse() {
        Ok(table) => Ok((table, Some(path))),
        Err(error) => Err(not_toml(&path, &text, &error)),
    }
}

/// Where a file is no TOML, and why; without the line itself, which may hold a secret.
fn not_toml(path: &Path, text: &str, error: &toml::de::Error) -> String {
    let before = error.span().and_then(|span| text.get(..span.start)).unwrap_or_default();
    let (line, column) =
        (before.matches('\n').count() + 1, before.chars().rev().take_while(|c| *c != '\n').count() + 1);
    format!("{}:{line}:{column}: {}", path.display(), error.message())
}

/// Whether a setting goes by this name, or names the file of a secret that does.
fn is_named(setting: &Setting, own: &str, name: &str) -> bool {
    own == name || (setting.secret && Setting::in_file(own) == name)
}

/// Why a name that the service does not read is refused; nothing when it is passed over.
fn refusal<S: Service>(name: &str, own: impl Fn(&Setting) -> String, place: &str) -> Option<String> {
    let is = |setting: &Setting| is_named(setting, &own(setting), name);
    if S::TABLE.iter().any(is) {
        return None;
    }
    match tables::all().find(|(_, table)| table.iter().any(is)) {
        Some(_) if S::LENIENT => None,
        Some((owner, _)) => Some(format!("{place}{}", S::foreign(name, owner))),
        None => {
            let settings = S::TABLE.iter().map(own).collect::<Vec<_>>().join(", ");
            Some(format!("{place}{name} is not a setting of `restroy {}`; these are: {settings}", S::COMMAND))
        }
    }
}

/// Variables that nothing reads: a slip of the pen would otherwise go unnoticed.
fn unknown_variables<S: Service>(environment: &Environment) -> Vec<String> {
    let names = environment.keys().filter(|name| name.starts_with("RESTROY_") && !COMMON.contains(&name.as_str()));
    names.filter_map(|name| refusal::<S>(name, Setting::variable, "the environment variable ")).collect()
}

fn unknown_keys<S: Service>(file: &toml::Table, path: &Path) -> Vec<String> {
    let place = format!("{}: ", path.display());
    file.keys().filter_map(|key| refusal::<S>(key, |setting| setting.key.to_owned(), &place)).collect()
}
